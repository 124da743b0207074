"""Killed while it is blocked, and started again when everything has fallen due: the same decisions, in the same order.

The process asks its question at a terminal and is killed there. From the folder that it leaves, one home is resumed
just after each instant at which something falls due, the other one only when all of them are long past.
"""

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.recorded import RecordedEvent
from tests.crash.checks import look, opened, record_of
from tests.crash.outside import Outside
from tests.crash.person import Person
from tests.crash.processes import Place
from tests.crash.starting import LIMIT_SECONDS, ROOT, FromNothing

QUESTION = b"approve, reject or later?"
MOMENT = timedelta(seconds=2)
MOST_TIMERS = 10

ENDS = {
    "patient": ("completed", ["WaitTimedOut", "ApprovalEscalated", "ApprovalExpired", "ApprovalGranted"]),
    "expiring": ("compensated", ["ApprovalEscalated", "ApprovalExpired", "StepCompensated"]),
    "overdue": ("compensated", ["ApprovalEscalated", "StoppingBegan", "StepCompensated"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_started_late_it_decides_as_if_it_had_run(name: str, worlds: Callable[[], Outside], tmp_path: Path) -> None:
    blocked = Place(tmp_path / "blocked", worlds())
    person = Person(name, f"crash {name}")
    kill_at_the_question(blocked, person)
    punctual = copied(blocked, tmp_path / "punctual", worlds())
    late = copied(blocked, tmp_path / "late", worlds())

    on_time(punctual, person)
    ended = ahead(late, timedelta(days=30)).run(*person.go_on())

    status, expected = ENDS[name]
    assert (record_of(late).statuses, record_of(late).wrong) == ({name: status}, ()), ended
    assert (record_of(punctual).statuses, record_of(punctual).wrong) == ({name: status}, ())
    told = decisions(late, name)
    assert told == decisions(punctual, name)
    names = [event for event, _, _ in told]
    assert [event for event in names if event in expected] == expected


def kill_at_the_question(place: Place, person: Person) -> None:
    """Start at a terminal, wait until the person is asked, and kill the process there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.cli.main", *place.arguments(*person.begin())],
        cwd=ROOT,
        env={**place.environment(), "TERM": "dumb", "COLUMNS": "200"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        try:
            shown = b""
            while QUESTION not in shown:
                readable, _, _ = select.select([ours], [], [], LIMIT_SECONDS)
                assert readable, shown.decode()
                shown += os.read(ours, 4_096)
        finally:
            process.kill()
            process.communicate(timeout=LIMIT_SECONDS)
            os.close(ours)


def copied(place: Place, home: Path, outside: Outside) -> Place:
    shutil.copytree(place.home, home, symlinks=True)
    return Place(home, place.outside.copied(outside.world))


def ahead(place: Place, by: timedelta) -> Place:
    """The same place, where commands find the clock that much ahead."""
    return Place(place.home, place.outside, FromNothing("tests.crash.late", str(by.total_seconds())))


def on_time(place: Place, person: Person) -> None:
    """Resume just after each instant at which something falls due."""
    for _ in range(MOST_TIMERS):
        state = look(place, person.workflow)
        assert state is not None
        if state.ended is not None:
            return
        assert state.next_due is not None, state.waits
        ended = ahead(place, state.next_due - datetime.now(UTC) + MOMENT).run(*person.go_on())
        assert ended.code in {0, 1, 3}, ended
    raise AssertionError(f"{person.workflow} does not end")


def decisions(place: Place, workflow: str) -> list[tuple[str, str, datetime | None]]:
    """What was decided, for which step, and for which due instant."""
    with opened(place) as store:
        return [told(recorded) for recorded in store.read(workflow)]


def told(recorded: RecordedEvent) -> tuple[str, str, datetime | None]:
    return recorded.name, getattr(recorded.event, "step", ""), getattr(recorded.event, "due_at", None)
