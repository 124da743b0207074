"""Removes from the store what a verified file holds: each workflow whole, in one transaction with its tombstone.

Theory of operation. The file says which workflows, each with the version and the digest of its last event. Of each the
store is asked again whether it may go, and whether it still is what is in the file; what is not stays. A transaction
holds the views' position, so that nobody folds these events once more, takes everything away, and only then has those
wait who add to the log: they wait for a look at whether anybody has added to one of these workflows meanwhile, and for
the commit. Then the tombstones are there, and the database refuses whatever was decided on what is gone.

Killed anywhere, a workflow is in the store with all its events, or gone with its tombstone in its place; the same file
once more does what is left. Between transactions there is a pause: others have the store most of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from consumers.inbox import in_chunks
from deploy.archiving.choosing import Closed, Ripe, Wanted
from deploy.archiving.files import Filed, Verified, filed
from domain.errors import EventCorrupt, EventUnknown, PayloadWithheld, VersionConflict
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.store.covers import erasures_of
from domain.store.positions import position_of
from domain.store.recorder import EVENTS, SNAPSHOTS
from domain.store.tombstones import Bury, Tombstone, heads_still_there, tombstones_of
from producers.relay import RELAY
from projections.exporting.rows import Row, parted
from projections.leaving import Failed, Leave, failures_of
from projections.mending import hold_position, tell_projector
from projections.sql import text_of
from projections.views import ViewBroken

PAGE: Final = 250
AT_ONCE: Final = 50
EVENTS_AT_ONCE: Final = 1_000
"""Workflows, and events, that go in one transaction at most; a longer workflow goes by itself, since it goes whole."""
EVENTS_A_READ: Final = 2_000
MARK_SECONDS: Final = 10.0
"""How often the projector is told at most: it begins again each time, and has to come to writing in between."""
DEFAULT_RATE: Final = 500.0
POINT: Final = "project"

_ROOMS: Final = ("workflow_keys", "timers", "subscriptions")
UNDER_WAY: Final = "a command of it is under way"
CHANGED: Final = "it is not, or no longer, what is in the file"
UNREADABLE: Final = "its events cannot be read by this version of Handrail"


class By(NamedTuple):
    """Who archives, why, and where to."""

    who: str
    reason: str
    file: str


@dataclass(slots=True)
class Removed:
    """What became of the workflows of a file."""

    workflows: int = 0
    events: int = 0
    before: int = 0
    """Those that were archived earlier."""
    kept: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Going:
    """One workflow that is about to go."""

    filed: Filed
    closed: Closed
    failures: tuple[Failed, ...]


class _AddedTo(Exception):
    """Somebody added to one of these workflows meanwhile: roll back."""


class Removing:
    """Removes the workflows of one file."""

    def __init__(
        self,
        store: WorkflowStore,
        wanted: Wanted,
        by: By,
        *,
        clock: Callable[[], datetime],
        seconds: Callable[[], float],
        pause: Callable[[float], None],
        rate: float = DEFAULT_RATE,
        tell: Callable[[Removed], None] = lambda _: None,
    ) -> None:
        """`rate` are workflows a second at most; `seconds` is a clock that only goes forward."""
        self._store = store
        self._wanted = wanted
        self._by = by
        self._clock = clock
        self._seconds = seconds
        self._pause = pause
        self._rate = rate
        self._tell = tell
        self._told_projector = seconds()
        self._to_tell = False
        self.removed = Removed()

    def run(self, target: Path, verified: Verified) -> Removed:
        """Remove what may go of a file that was verified. Raises StoreUnavailable; then the same file goes on."""
        began = self._seconds()
        for page in _pages(filed(target)):
            for batch in _batches(self._going(page)):
                self._remove(batch, verified.root)
                self._tell(self.removed)
                self._pause(max(0.0, began + self.removed.workflows / self._rate - self._seconds()))
        self._finish()
        return self.removed

    # --- which may go -----------------------------------------------------------------------------------------------

    def _going(self, page: Sequence[Filed]) -> Iterator[_Going]:
        """Those of a page that may go still."""
        query = self._store.query
        gone = tombstones_of(query, [one.workflow_id for one in page])
        self.removed.before += len(gone)
        there = [one for one in page if one.workflow_id not in gone]
        ripe = Ripe(query, self._wanted)
        closed = ripe.closed([one.workflow_id for one in there])
        may = set(ripe.among([one.workflow_id for one in there]))
        self.removed.kept.update(ripe.kept)
        busy = self._under_way([message for one in there for message in one.messages])
        for one in there:
            if one.workflow_id not in may:
                continue
            if not busy.isdisjoint(one.messages):
                self.removed.kept[UNDER_WAY] += 1
                continue
            failures = self._failures(one)
            if failures is None:
                self.removed.kept[UNREADABLE] += 1
            else:
                yield _Going(one, closed[one.workflow_id], failures)

    def _under_way(self, messages: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for chunk, places in in_chunks(messages):
            rows = self._store.query(
                f"SELECT message_id FROM inbox WHERE message_id IN ({places}) "  # noqa: S608 - marks
                "AND state IN ('open', 'claimed', 'handed_over')",
                chunk,
            )
            found.update(name for (name,) in rows)
        return found

    def _failures(self, one: Filed) -> tuple[Failed, ...] | None:
        """What it added to the counted failures; None where that cannot be told."""
        if not one.failed:
            return ()
        try:
            return tuple(failures_of(one.workflow_id, self._events(one.workflow_id)))
        except PayloadWithheld:
            return ()  # erased: nobody who folds it anew counts them either
        except (EventCorrupt, EventUnknown, ViewBroken):
            return None

    def _events(self, name: str) -> Iterator[RecordedEvent]:
        after = 0
        while True:
            rows = self._store.query(
                f"SELECT originator_version, topic, state FROM {EVENTS} WHERE originator_id = ? "  # noqa: S608 - ours
                "AND originator_version > ? ORDER BY originator_version LIMIT ?",
                (name, after, EVENTS_A_READ),
            )
            for version, topic, state in rows:
                yield self._store.mapper.read(name, version, topic, state)
            if len(rows) < EVENTS_A_READ:
                return
            after = rows[-1][0]

    # --- removing ---------------------------------------------------------------------------------------------------

    def _remove(self, batch: Sequence[_Going], root: str) -> None:
        """Remove these in one transaction; where somebody added to one of them meanwhile, each by itself."""
        try:
            with self._store.transaction(POINT) as cursor:
                gone = self._remove_all(cursor, batch, root)
        except (_AddedTo, VersionConflict):
            if len(batch) == 1:
                self.removed.kept[CHANGED] += 1
                return
            for one in batch:
                self._remove([one], root)
            return
        self.removed.workflows += len(gone)
        self.removed.events += sum(one.filed.last for one in gone)
        if len(gone) < len(batch):
            self.removed.kept[CHANGED] += len(batch) - len(gone)

    def _remove_all(self, cursor: Cursor, batch: Sequence[_Going], root: str) -> list[_Going]:
        position = hold_position(cursor)
        passed = min(position, position_of(cursor, RELAY))
        places = _places(cursor, [one.filed for one in batch])
        gone = [one for one in batch if places.get(one.filed.workflow_id, (0, passed + 1))[1] <= passed]
        if not gone:
            return []
        names = [one.filed.workflow_id for one in gone]
        marks = ", ".join("?" * len(names))
        for table in (EVENTS, SNAPSHOTS):
            cursor.execute(f"DELETE FROM {table} WHERE originator_id IN ({marks})", names)  # noqa: S608 - marks
        for table in _ROOMS:
            cursor.execute(f"DELETE FROM {table} WHERE workflow_id IN ({marks})", names)  # noqa: S608 - the same
        Leave(names, [failure for one in gone for failure in one.failures]).run(cursor)
        if self._seconds() - self._told_projector >= MARK_SECONDS:
            tell_projector(cursor, position)
            self._told_projector, self._to_tell = self._seconds(), False
        else:
            self._to_tell = True
        self._store.recorder.hold_up_inserts(cursor)
        if heads_still_there(cursor, names):
            raise _AddedTo
        at = text_of(self._clock()) or ""
        Bury([self._tombstone(one, places[one.filed.workflow_id], at, root) for one in gone]).run(cursor)
        return gone

    def _tombstone(self, one: _Going, place: tuple[int, int], at: str, root: str) -> Tombstone:
        closed = one.closed
        return Tombstone(
            closed.workflow_id,
            closed.definition,
            closed.definition_version,
            closed.status,
            one.filed.last,
            one.filed.head,
            *place,
            closed.started_at,
            closed.ended_at or "",
            at,
            self._by.who,
            self._by.reason,
            self._by.file,
            root,
        )

    def _finish(self) -> None:
        """What is to be done once: also by a run that finds that another one was killed behind its last removal."""
        if not (self._to_tell or self.removed.before):
            return
        with self._store.transaction(POINT) as cursor:
            position = hold_position(cursor)
            # Whoever decided on one of them again while it went may have said then that it comes out otherwise.
            cursor.execute(
                "DELETE FROM replay_mismatches WHERE EXISTS "
                "(SELECT 1 FROM tombstones WHERE tombstones.workflow_id = replay_mismatches.workflow_id)"
            )
            tell_projector(cursor, position)


def _places(cursor: Cursor, batch: Sequence[Filed]) -> dict[str, tuple[int, int]]:
    """Of those that are what the file says, to the last event, the positions of the first and the last."""
    marks = ", ".join("?" * len(batch))
    names = [one.workflow_id for one in batch]
    rows = cursor.query(
        "SELECT originator_id, min(id), max(id), max(originator_version), count(*) "  # noqa: S608 - marks
        f"FROM {EVENTS} WHERE originator_id IN ({marks}) GROUP BY originator_id",
        names,
    )
    found = {row[0]: row[1:] for row in rows}
    values = ", ".join(["(?, CAST(? AS BIGINT))"] * len(batch))
    rows = cursor.query(
        f"WITH wanted(workflow_id, version) AS (VALUES {values}) "  # noqa: S608 - marks
        f"SELECT originator_id, originator_version, topic, state FROM wanted CROSS JOIN {EVENTS} "
        "WHERE originator_id = wanted.workflow_id AND originator_version = wanted.version",
        [part for one in batch for part in (one.workflow_id, one.last)],
    )
    erased = erasures_of(cursor.query, names)
    heads = {row[0]: parted(Row(row[0], row[1], row[2], bytes(row[3]))).digest for row in rows}
    return {
        one.workflow_id: (int(found[one.workflow_id][0]), int(found[one.workflow_id][1]))
        for one in batch
        if heads.get(one.workflow_id) == one.head
        and found[one.workflow_id][2:] == (one.last, one.last)
        # Digests are the same with payloads and without: what was erased since is in clear in the file, and what was
        # erased then, and is there again by a restore, is not in it.
        and (one.workflow_id in erased) == one.withheld
    }


def _pages(workflows: Iterator[Filed]) -> Iterator[list[Filed]]:
    page: list[Filed] = []
    for one in workflows:
        page.append(one)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _batches(going: Iterator[_Going]) -> Iterator[list[_Going]]:
    batch: list[_Going] = []
    events = 0
    for one in going:
        if batch and (len(batch) == AT_ONCE or events + one.filed.last > EVENTS_AT_ONCE):
            yield batch
            batch, events = [], 0
        batch.append(one)
        events += one.filed.last
    if batch:
        yield batch
