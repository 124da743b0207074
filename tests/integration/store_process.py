"""A process of its own on a store, told what to do on its command line; `test_store_processes.py` starts it.

It says `ready` when the store is open, and begins when it is told to on stdin.
"""

import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from domain.errors import StoreError, StoreUnavailable
from domain.faultpoints import arm
from domain.store.opening import open_sqlite_store
from domain.triggers import PauseWorkflow, ResumeWorkflow
from tests.contracts.recorder_contract import recorded
from tests.contracts.stage import Stage


def opened(path: Path, owner: str = "one") -> Stage:
    return Stage(lambda **more: open_sqlite_store(path, **more), owner)


def ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def decide(path: Path, name: str, count: str) -> None:
    """Pause and resume one workflow, again and again, while others do so too; say how many events that made."""
    stage = opened(path)
    ready()
    made = 0
    for number in range(int(count)):
        trigger = (PauseWorkflow, ResumeWorkflow)[number % 2](by=name, reason=f"{name}-{number}")
        (decided,) = stage.decide(stage.ask("wf_1", trigger, f"{name}-{number}"))
        while decided.error is not None:
            (decided,) = stage.decide(decided.request)
        made += len(decided.events)
    print(made, flush=True)


def write(path: Path, name: str, count: str) -> None:
    """Append events, in transactions of one to three."""
    stage = opened(path)
    ready()
    version = 0
    while version < int(count):
        events = [recorded(name, version + number) for number in range(1, 2 + version % 3)]
        version += len(events)
        stage.store.events.put(events)
    print(version, flush=True)


def open_(path: Path) -> None:
    """Open the store, as many others do at the same moment."""
    ready()
    opened(path).begin(f"wf_{os.getpid()}")
    print("opened", flush=True)


def die(path: Path, point: str) -> None:
    """Be killed at a fault point, while outcomes of two workflows are being saved."""
    stage = opened(path)
    commands = stage.begin("wf_1", "wf_2")

    def kill(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    ready()
    arm(kill)
    stage.go_on(commands)
    print("alive", flush=True)


def fill(path: Path) -> None:
    """Meet the end of the space that a file may take; go on when there is more."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    stage = opened(path)
    commands = stage.begin(*[f"wf_{number}" for number in range(60)])
    ready()
    size = max(file.stat().st_size for file in path.parent.iterdir())
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, most))
    said = ""
    try:
        while commands:
            commands = stage.go_on(commands)
    except StoreUnavailable as error:
        said = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    kept = {name: len(stage.checked(name)) for name in stage.store.workflow_ids()}
    stage.finish(commands)
    ended = {stage.store.load(name).ended for name in kept}
    print(said, flush=True)
    print(len(kept), sorted(str(one) for one in ended), flush=True)


def hold(path: Path) -> None:
    """Keep the store locked until told otherwise."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ready()
    connection.execute("ROLLBACK")


ACTS: dict[str, Callable[..., None]] = {
    "decide": decide,
    "write": write,
    "open": open_,
    "die": die,
    "fill": fill,
    "hold": hold,
}

if __name__ == "__main__":
    act, place, *rest = sys.argv[1:]
    try:
        ACTS[act](Path(place), *rest)
    except StoreError as trouble:
        print(f"{type(trouble).__name__}: {trouble}", flush=True)
        sys.exit(4)
