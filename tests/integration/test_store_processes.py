"""Several real processes on one SQLite store."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.errors import StoreUnavailable
from domain.ports import Notification
from domain.state import Status
from domain.store.opening import open_sqlite_store
from domain.store.recorder_sqlite import SQLiteStoreRecorder
from tests.contracts.stage import Stage

ROOT = Path(__file__).resolve().parents[2]

Process = subprocess.Popen[str]
Started = Callable[..., Process]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def stage(path: Path) -> Iterator[Stage]:
    stage = Stage(lambda **more: open_sqlite_store(path, **more))
    yield stage
    stage.store.close()


@pytest.fixture
def started(path: Path) -> Iterator[Started]:
    processes: list[Process] = []

    def start(act: str, *arguments: str) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.store_process", act, str(path), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def said(process: Process) -> list[str]:
    printed, _ = process.communicate(timeout=60)
    return printed.splitlines()


def test_processes_that_decide_for_one_workflow_lose_nothing(stage: Stage, started: Started) -> None:
    stage.begin("wf_1")
    before = len(stage.checked("wf_1"))
    processes = [started("decide", name, "60") for name in ("ann", "bob", "cid")]
    for process in processes:
        go(process)
    made = [int(said(process)[-1]) for process in processes]
    events = stage.checked("wf_1")[before:]
    assert len(events) == sum(made) > 0
    assert {event.cause.split("-")[0] for event in events} == {"ann", "bob", "cid"}
    assert stage.store.load("wf_1") == stage.store.load("wf_1", upto=before + len(events))


async def test_a_follower_among_writing_processes_misses_nothing(stage: Stage, started: Started) -> None:
    processes = [started("write", name, "200") for name in ("ann", "bob", "cid")]
    follower = stage.store.follow(0, poll=timedelta(milliseconds=1))
    for process in processes:
        go(process)
    seen: list[Notification] = []
    ours = 0
    while len(seen) < ours + 3 * 200:
        seen += await follower.next_batch(7)
        if ours < 30:
            ours += sum(len(one.events) for one in stage.done(stage.start(f"wf_{ours}")))
    wanted = sum(int(said(process)[-1]) for process in processes) + ours
    while len(seen) < wanted:
        seen += await follower.next_batch(7)
    assert seen == stage.store.select(0, 10_000)
    positions = [notification.position for notification in seen]
    assert positions == list(range(1, wanted + 1))


def test_processes_may_open_a_new_store_at_the_same_moment(started: Started, stage: Stage) -> None:
    stage.store.close()
    place = Path(stage.store.recorder.place)
    place.unlink()
    processes = [started("open") for _ in range(6)]
    for process in processes:
        go(process)
    assert [said(process)[-1] for process in processes] == ["opened"] * 6
    reader = open_sqlite_store(place, definitions=stage.store.deciding.definitions)
    assert len(reader.workflow_ids()) == 6
    reader.close()


@pytest.mark.parametrize(("point", "saved"), [("commit.before", False), ("commit.after", True)])
def test_a_killed_process_leaves_a_turn_whole_or_absent(
    started: Started, stage: Stage, point: str, *, saved: bool
) -> None:
    process = started("die", point)
    before = {name: len(stage.checked(name)) for name in ("wf_1", "wf_2")}
    go(process)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert [len(stage.checked(name)) > count for name, count in before.items()] == [saved] * 2
    states = sorted(stage.row_states().values())
    assert states == (["claimed", "claimed", "done", "done"] if saved else ["claimed", "claimed"])


def test_a_file_that_may_not_grow_loses_nothing(started: Started, stage: Stage) -> None:
    process = started("fill")
    go(process)
    trouble, kept = said(process)
    assert "store.sqlite cannot be written" in trouble or "store.sqlite is on a full disk" in trouble
    assert "nothing was lost" in trouble
    assert kept == "60 ['completed']"
    assert {stage.store.load(f"wf_{number}").status for number in range(60)} == {Status.COMPLETED}


def test_a_store_that_another_process_keeps_locked_says_so(started: Started, stage: Stage) -> None:
    (command,) = stage.begin("wf_1")
    assert isinstance(stage.store.recorder, SQLiteStoreRecorder)
    stage.store.recorder.datastore.connection.execute("PRAGMA busy_timeout = 50")
    holder = started("hold")
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        stage.go_on([command])
    go(holder)
    holder.wait(timeout=60)
    stage.finish([command])
    assert stage.store.load("wf_1").status is Status.COMPLETED
