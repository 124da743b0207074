"""A store with histories as chance makes them, and archiving as the command does it, with a clock of the test's."""

import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploy.archiving.choosing import Leaving, Ripe, Wanted
from deploy.archiving.files import filed, verify, write
from deploy.archiving.removing import By, Removed, Removing
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.workflow import Workflow
from producers.relay import RELAY
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rebuilding import Rebuild, Report
from tests.integration.command_line import CommandLine
from tests.integration.exports.stock import fill
from tests.unit.projections.histories import FIXED, PLANNED, Script

BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
LATER = datetime(2040, 1, 1, tzinfo=UTC)
"""Long after everything that happens here."""
BY = By("ann", "old", "/archive/may.jsonl")


def histories(workflows: int, seed: int, *, decisions: int = 60) -> list[list[RecordedEvent]]:
    """So many histories that go whatever way chance takes them to an end; each tenth, and so the last, is open."""
    made: list[list[RecordedEvent]] = []
    for number in range(1, workflows + 1):
        chance, workflow = random.Random(seed * 1_000 + number), Workflow(f"wf_{number:03d}")
        script = Script(chance, (FIXED, PLANNED)[number % 2], workflow, BEGINNING)
        made.append(list(script.events(decisions if number % 10 else 2)))
    return made


def stock(store: WorkflowStore, made: Sequence[Sequence[RecordedEvent]]) -> None:
    """Save the histories; everybody follows to the end."""
    fill(store, made)
    follow(store)


def follow(store: WorkflowStore) -> None:
    """Have the views and the relay come to the end of the log."""
    catch_up(Keeper(store), LogReader(store.recorder, store.mapper.read))
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO positions (name, position) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            (RELAY, store.newest()),
        )


def wanted(definition: str | None = None, before: datetime = LATER) -> Wanted:
    return Wanted(before, definition)


class Archive:
    """One file, and what becomes of the workflows in it."""

    def __init__(self, store: WorkflowStore, target: Path, which: Wanted | None = None) -> None:
        self.store = store
        self.target = target
        self.wanted = which or wanted()
        self.kept: Counter[str] = Counter()
        self.pauses: list[float] = []
        self.now = 0.0

    def write(self) -> bool:
        ripe = Ripe(self.store.query, self.wanted)
        leaving = Leaving(self.store, self.store.mapper.clear, self.wanted, ripe)
        written = write(self.target, leaving, None, lambda _workflows, _events: None)
        self.kept = ripe.kept
        return written

    def remove(self, *, rate: float = 500.0) -> Removed:
        removing = Removing(
            self.store,
            self.wanted,
            BY,
            clock=lambda: LATER,
            seconds=lambda: self.now,
            pause=self._pause,
            rate=rate,
        )
        return removing.run(self.target, verify(self.target, None))

    def run(self) -> Removed:
        if not self.target.exists() and not self.write():
            return Removed(kept=self.kept)
        return self.remove()

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def names_in(target: Path) -> list[str]:
    """The workflows of a file."""
    return [one.workflow_id for one in filed(target)]


def sealed(store: WorkflowStore) -> bytes:
    """The bytes of a seal of the store."""
    made = JsonLines(Selection(), Redaction(()), seal=True)
    return b"".join(made.lines(Histories(store, store.mapper.clear, Selection())))


def compared(store: WorkflowStore) -> Report:
    """The views against the log, row for row."""
    return Rebuild(store, LogReader(store.recorder, store.mapper.read)).run(mend=False, now=LATER)


TABLES = (
    ("stored_events", "originator_id"),
    ("stored_snapshots", "originator_id"),
    *(
        (table, "workflow_id")
        for table in (
            "workflow_keys", "timers", "subscriptions", "approvals_pending", "relay_parked", "workflows", "steps",
            "waits", "attempts", "parked_views", "replay_mismatches",
        )
    ),
)  # fmt: skip


def left_of(store: WorkflowStore, names: Sequence[str]) -> dict[str, int]:
    """How many rows there are of these workflows, by table; tables without any are left out."""
    marks = ", ".join("?" * len(names))
    found = {
        table: int(store.query(f"SELECT count(*) FROM {table} WHERE {column} IN ({marks})", names)[0][0])
        for table, column in TABLES
    }
    return {table: number for table, number in found.items() if number}


def everything(store: WorkflowStore) -> Iterator[str]:
    """Every workflow that has an event."""
    for (name,) in store.query("SELECT DISTINCT originator_id FROM stored_events ORDER BY originator_id"):
        yield name


def open_home(handrail: CommandLine) -> contextlib.closing[WorkflowStore]:
    return contextlib.closing(open_store(handrail.home, LoadedDefinitions()))


def at_home(handrail: CommandLine) -> set[str]:
    """A home with histories of long ago; their ids."""
    with open_home(handrail) as store:
        stock(store, histories(30, 1))
        return set(everything(store))
