"""Keeps the views' rows up to the log: folds notifications in memory, and writes what changed with the position.

Rows and position move in one transaction, the position by compare-and-set: of two keepers one wins, and the other
forgets all that it holds and begins again from what is in the store. What is judged moves no position; that rows are
others by now is counted, and whoever has counted otherwise begins again as well. So it does not matter who keeps the
views, or how many try. What a batch changed is written once a row, however many events changed it.

A workflow that cannot be folded, or has an event that cannot be read, is parked: its rows stay as they were, a row of
`parked_views` says what was wrong, and the log goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol

from domain.errors import FenceMissed
from domain.ports import Cursor, Notification
from domain.store.covers import texts_of
from domain.store.positions import MovePosition, position_of
from projections.mending import tell_projector
from projections.rows import SETTLED, StepRow, WorkflowRow
from projections.schema import JUDGED_BY, MENDED
from projections.sql import (
    DUE,
    LOOK,
    NOTE_JUDGED,
    OPEN,
    Forget,
    JudgedAlong,
    ViewsAlong,
    awaited,
    load_parked,
    load_steps,
    load_workflows,
    text_of,
)
from projections.stuck import Judgement, first_look, rounded, still
from projections.tables import LIVE, Tables
from projections.thresholds import AT_ONCE, Thresholds
from projections.totals import Totals
from projections.views import ViewBroken, fold, mentioned_step
from projections.withheld import Withheld, fold_withheld

ROWS_AT_HAND: Final = 4_096
"""Bound of the workflows whose rows stay in memory between batches."""

ERROR_CHARACTERS: Final = 500


class Database(Protocol):
    """Where rows and position are: the part of the store's recorder that the views need."""

    def transaction(self, point: str = "commit") -> AbstractContextManager[Cursor]:
        """A transaction for writing; `point` names the fault points around its commit."""
        ...

    def reading(self) -> AbstractContextManager[Cursor]:
        """A consistent view for reading."""
        ...

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT, which needs no view of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event of the log that cannot be decoded: where it is, whose, and what is wrong with it."""

    position: int
    workflow_id: str
    error: str


Entry = Notification | Unreadable | Withheld


class Keeper:
    """The views' rows at hand, the position they are folded up to, and the one that is written."""

    def __init__(
        self,
        database: Database,
        *,
        thresholds: Thresholds | None = None,
        rows_at_hand: int = ROWS_AT_HAND,
        tables: Tables = LIVE,
        totals: Totals | None = None,
    ) -> None:
        """Nothing is read until `begin`. `tables` are those of the live views, or a rebuild's.

        `thresholds` are given by whoever judges with it, too: by others', rows might not be looked at for days.
        `totals` are kept along with what is written, for whoever shows them.
        """
        self._database = database
        self._thresholds = thresholds or AT_ONCE
        self._rows_at_hand = rows_at_hand
        self._tables = tables
        self._totals = totals
        self._rows: OrderedDict[str, WorkflowRow] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._parked: dict[str, str] = {}
        self._to_park: list[tuple[str, int, str]] = []
        self._written = 0
        self._mended = 0
        self.position = 0
        """Position of the last event folded."""
        self.beginnings = 0
        """How often it began from what is in the store."""

    @property
    def pending(self) -> bool:
        """Whether something was folded that is not written yet."""
        return self.position > self._written

    @property
    def parked(self) -> int:
        """How many workflows are parked."""
        return len(self._parked)

    def begin(self) -> int:
        """Forget what is at hand, and begin from what is in the store; the position."""
        self._rows.clear()
        self._changed.clear()
        self._to_park.clear()
        self.beginnings += 1
        with self._database.reading() as cursor:
            self._written = self.position = position_of(cursor, self._tables.position)
            self._mended = position_of(cursor, MENDED)
            self._parked = load_parked(cursor.query, self._tables)
            if self._totals is not None:
                self._totals.load(cursor.query, len(self._parked))
        return self.position

    def take(self, entries: Sequence[Entry]) -> None:
        """Fold what follows the position."""
        rows, changed = self._rows, self._changed
        for number, entry in enumerate(entries):
            if isinstance(entry, Unreadable):
                self._park(entry.workflow_id, entry.position, entry.error)
                continue
            workflow_id, version = _whose(entry)
            row = rows.get(workflow_id) or self._row_for(workflow_id, version, entries, number)
            if row is None:
                continue
            try:
                if isinstance(entry, Withheld):
                    fold_withheld(row, entry)
                else:
                    fold(row, entry.event)
            except ViewBroken as error:
                if error.__cause__ is not None:
                    # Half a fold is no row: what was written before stays.
                    rows.pop(workflow_id, None)
                    changed.pop(workflow_id, None)
                self._park(workflow_id, entry.position, str(error))
            else:
                changed[workflow_id] = None
        if entries:
            self.position = entries[-1].position

    def write(self) -> bool:
        """Write what changed, and the position. False: somebody else was first, and all is forgotten."""
        if not self.pending:
            return True
        changed = [self._rows[name] for name in self._changed]
        for row in changed:
            self._note(row)
        along = ViewsAlong(changed, self._to_park, self._tables, texts_of(self._database))
        try:
            with self._database.transaction("project") as cursor:
                self._move(self.position).run(cursor)
                if self._written == 0:
                    # What an earlier version folded is not to be mixed with what this one folds.
                    Forget(self._tables).run(cursor)
                along.run(cursor)
        except FenceMissed:
            self.begin()
            return False
        if self._totals is not None:
            if self._written == 0:
                self._totals.clear()
            self._totals.wrote(changed, len(self._parked))
        self._written = self.position
        self._to_park.clear()
        self._tidy(changed)
        return True

    def to_judge(self, now: datetime, limit: int) -> list[WorkflowRow]:
        """Up to `limit` workflows that are to be looked at by now, the longest due first; all is written before.

        Nothing where somebody else was first.
        """
        if not self.write():
            return []
        # One statement by itself: it is asked for as long as the process runs, and mostly finds nothing.
        due = self._database.query(DUE, (MENDED, text_of(now), limit))
        if due[0][0] != self._mended:
            # Who was judged by somebody else may not be due any more: there might be nothing to hear of it by.
            self.begin()
        names = [name for _, name in due if name is not None]
        if not names:
            return []
        with self._database.reading() as cursor:
            found = load_workflows(cursor.query, [name for name in names if name not in self._rows], self._tables)
        # One that was found due may have been removed since.
        rows = (self._rows.get(name) or found.get(name) for name in names)
        return [row for row in rows if row is not None]

    def judged(self, judgements: Sequence[tuple[WorkflowRow, Judgement]]) -> bool:
        """Write what was found of the workflows, and the tallies with it. False: somebody else was first."""
        for row, judgement in judgements:
            row.stuck = judgement.stuck
            row.look_at = rounded(judgement.look_at) if judgement.look_at is not None else None
        try:
            with self._database.transaction("project") as cursor:
                self._move(self._written).run(cursor)
                unheard = any(judgement.unheard for _, judgement in judgements)
                JudgedAlong([row for row, _ in judgements], unheard=unheard).run(cursor)
                if judgements:
                    tell_projector(cursor, self._written)
        except FenceMissed:
            self.begin()
            return False
        if judgements:
            self._mended += 1
        if self._totals is not None:
            self._totals.judged([row for row, _ in judgements])
        for row, _ in judgements:
            row.counted = row.counts_as
        return True

    def judged_by(self) -> int:
        """The digest of the thresholds that all rows are looked at by; 0: nobody knows."""
        with self._database.reading() as cursor:
            return position_of(cursor, JUDGED_BY)

    def note_judged_by(self, digest: int) -> None:
        """All rows are looked at by these thresholds now."""
        with self._database.transaction("project") as cursor:
            cursor.execute(NOTE_JUDGED, (JUDGED_BY, digest))

    def look_sooner(self, after: str, now: datetime, limit: int) -> str | None:
        """Have up to `limit` open workflows looked at as soon as the thresholds of now say, and those stuck at once.

        They are those behind the id `after`, in the order of their ids; the last one's, None where there is none.
        """
        if not self.write():
            return after
        names = [name for (name,) in self._database.query(OPEN, (after, limit))]
        if not names:
            return None
        with self._database.reading() as cursor:
            rows = load_workflows(cursor.query, names, self._tables)
        sooner: dict[str, datetime] = {}
        for name, row in rows.items():
            look_at = now if row.stuck is not None else first_look(row, self._thresholds)
            if look_at is not None and (row.look_at is None or rounded(look_at) < row.look_at):
                sooner[name] = rounded(look_at)
        try:
            with self._database.transaction("project") as cursor:
                self._move(self._written).run(cursor)
                cursor.executemany(LOOK, [(text_of(look_at), name) for name, look_at in sooner.items()])
        except FenceMissed:
            self.begin()
            return after
        for name in sooner.keys() & self._rows.keys():
            self._rows[name].look_at = sooner[name]
        last: str = names[-1]
        return last

    def at_hand(self, workflow_id: str) -> WorkflowRow | None:
        """The row of a workflow as it is folded by now; None where it is not at hand, as after its end was written."""
        return self._rows.get(workflow_id)

    def rebuild(self) -> None:
        """Empty the views and begin again from the first event. Raises FenceMissed where somebody else was first."""
        self.begin()
        with self._database.transaction("project") as cursor:
            if self._written:
                self._move(0).run(cursor)
            Forget(self._tables).run(cursor)
        self.begin()

    def _move(self, after: int) -> MovePosition:
        """Move the position, unless it is elsewhere by now, or rows at hand are not what is in the store any more."""
        # What is mended, or judged, are rows of the live tables.
        also = (MENDED, self._mended) if self._tables is LIVE else None
        return MovePosition(self._tables.position, self._written, after, also=also)

    def _note(self, row: WorkflowRow) -> None:
        """Write down when to look at a workflow next; it stays stuck for as long as what it is stuck by is there."""
        look_at = first_look(row, self._thresholds)
        row.look_at = rounded(look_at) if look_at is not None else None
        if row.stuck is not None and not still(row, row.stuck):
            row.stuck = None

    def _row_for(self, workflow_id: str, version: int, entries: Sequence[Entry], number: int) -> WorkflowRow | None:
        """The row of a workflow that is not at hand; None for one that is parked, or is now for want of a row."""
        if workflow_id in self._parked:
            return None
        if version == 1:
            return self._hold(WorkflowRow(workflow_id))
        self._fetch(entries[number:])
        row = self._rows.get(workflow_id)
        if row is None:
            missing = f"there is no row for event {version}"
            self._park(workflow_id, entries[number].position, missing)
        return row

    def _park(self, workflow_id: str, position: int, error: str) -> None:
        if workflow_id in self._parked:
            return
        self._parked[workflow_id] = error[:ERROR_CHARACTERS]
        self._to_park.append((workflow_id, position, error[:ERROR_CHARACTERS]))

    def _fetch(self, entries: Iterable[Entry]) -> None:
        """Read the rows that folding these needs and that are not at hand: two queries a few hundred of them."""
        cold: dict[str, None] = {}
        steps: dict[tuple[str, str], None] = {}
        begun: set[str] = set()
        for entry in entries:
            if isinstance(entry, Unreadable):
                continue
            workflow_id, version = _whose(entry)
            if version == 1:
                begun.add(workflow_id)
            if workflow_id in self._rows or workflow_id in self._parked or workflow_id in begun:
                continue
            cold[workflow_id] = None
            step = None if isinstance(entry, Withheld) else mentioned_step(entry.event.event)
            if step is not None:
                steps[workflow_id, step] = None
        with self._database.reading() as cursor:
            for row in load_workflows(cursor.query, list(cold), self._tables).values():
                self._hold(row)
            for workflow_id, step_row in load_steps(cursor.query, list(steps), self._tables):
                if workflow_id in self._rows:
                    self._rows[workflow_id].steps[step_row.step] = step_row

    def _hold(self, row: WorkflowRow) -> WorkflowRow:
        row.steps.ask = partial(self._ask, row.workflow_id)
        self._rows[row.workflow_id] = row
        return row

    def _ask(self, workflow_id: str, step: str) -> StepRow | None:
        with self._database.reading() as cursor:
            found = load_steps(cursor.query, [(workflow_id, step)], self._tables)
        return found[0][1] if found else None

    def _tidy(self, written: Iterable[WorkflowRow]) -> None:
        """Keep what is still under way: neither ended workflows nor settled steps are asked for again soon."""
        self._changed.clear()
        for row in written:
            row.changed.clear()
            row.counted = row.counts_as
            row.notes.clear()
            row.noted = awaited(row)
            self._rows.move_to_end(row.workflow_id)
            if row.standing.ended is not None:
                self._rows.pop(row.workflow_id, None)
                continue
            for name in [name for name, step in row.steps.items() if step.status in SETTLED]:
                del row.steps[name]
        while len(self._rows) > self._rows_at_hand:
            self._rows.popitem(last=False)


def _whose(entry: Notification | Withheld) -> tuple[str, int]:
    """Workflow and version of an event."""
    if isinstance(entry, Withheld):
        return entry.workflow_id, entry.version
    return entry.event.originator_id, entry.event.originator_version
