"""Keeps the views' rows up to the log: folds notifications in memory, and writes what changed with the position.

Rows and position move in one transaction, the position by compare-and-set: of two keepers one wins, and the other
forgets all that it holds and begins again from what is in the store. So it does not matter who keeps the views, or how
many try. What a batch changed is written once a row, however many events changed it.

A workflow that cannot be folded, or has an event that cannot be read, is parked: its rows stay as they were, a row of
`parked_views` says what was wrong, and the log goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from domain.errors import FenceMissed
from domain.ports import Cursor, Notification
from domain.store.positions import MovePosition, position_of
from projections.rows import SETTLED, WorkflowRow
from projections.sql import POSITION, Forget, ViewsAlong, load_parked, load_steps, load_workflows
from projections.views import ViewBroken, fold, mentioned_steps

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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event of the log that cannot be decoded: where it is, whose, and what is wrong with it."""

    position: int
    workflow_id: str
    error: str


Entry = Notification | Unreadable


class Keeper:
    """The views' rows at hand, the position they are folded up to, and the one that is written."""

    def __init__(self, database: Database, *, rows_at_hand: int = ROWS_AT_HAND) -> None:
        """Nothing is read until `begin`."""
        self._database = database
        self._rows_at_hand = rows_at_hand
        self._rows: OrderedDict[str, WorkflowRow] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._parked: dict[str, str] = {}
        self._to_park: list[tuple[str, int, str]] = []
        self._written = 0
        self.position = 0
        """Position of the last event folded."""

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
        with self._database.reading() as cursor:
            self._written = self.position = position_of(cursor, POSITION)
            self._parked = load_parked(cursor.query)
        return self.position

    def take(self, entries: Sequence[Entry]) -> None:
        """Fold what follows the position."""
        self._fetch(entries)
        for entry in entries:
            if isinstance(entry, Unreadable):
                self._park(entry.workflow_id, entry.position, entry.error)
            else:
                self._fold(entry)
            self.position = entry.position

    def write(self) -> bool:
        """Write what changed, and the position. False: somebody else was first, and all is forgotten."""
        if not self.pending:
            return True
        changed = [self._rows[name] for name in self._changed]
        along = ViewsAlong(changed, self._to_park)
        try:
            with self._database.transaction("project") as cursor:
                MovePosition(POSITION, self._written, self.position).run(cursor)
                along.run(cursor)
        except FenceMissed:
            self.begin()
            return False
        self._written = self.position
        self._to_park.clear()
        self._tidy(changed)
        return True

    def rebuild(self) -> None:
        """Empty the views and begin again from the first event. Raises FenceMissed where somebody else was first."""
        self.begin()
        with self._database.transaction("project") as cursor:
            if self._written:
                MovePosition(POSITION, self._written, 0).run(cursor)
            Forget().run(cursor)
        self.begin()

    def _fold(self, notification: Notification) -> None:
        recorded = notification.event
        workflow_id = recorded.originator_id
        if workflow_id in self._parked:
            return
        row = self._rows.get(workflow_id)
        if row is None:
            row = self._rows[workflow_id] = WorkflowRow(workflow_id)
        try:
            fold(row, recorded)
        except ViewBroken as error:
            self._park(workflow_id, notification.position, str(error))
            return
        self._changed[workflow_id] = None

    def _park(self, workflow_id: str, position: int, error: str) -> None:
        if workflow_id in self._parked:
            return
        self._parked[workflow_id] = error[:ERROR_CHARACTERS]
        self._to_park.append((workflow_id, position, error[:ERROR_CHARACTERS]))
        # Half a fold is no row: what was written before stays.
        self._rows.pop(workflow_id, None)
        self._changed.pop(workflow_id, None)

    def _fetch(self, entries: Iterable[Entry]) -> None:
        """Read the rows that folding needs and that are not at hand: two queries a few hundred of them."""
        known: dict[str, None] = {}
        cold: dict[str, None] = {}
        steps: dict[tuple[str, str], None] = {}
        for entry in entries:
            if isinstance(entry, Unreadable):
                continue
            recorded = entry.event
            workflow_id = recorded.originator_id
            row = self._rows.get(workflow_id)
            if row is not None:
                self._rows.move_to_end(workflow_id)
            elif recorded.originator_version == 1:
                known[workflow_id] = None
            elif workflow_id not in known:
                cold[workflow_id] = None
            if workflow_id in known:
                continue
            for step in mentioned_steps(recorded.event):
                if not step.startswith("_") and (row is None or step not in row.steps):
                    steps[workflow_id, step] = None
        if not cold and not steps:
            return
        with self._database.reading() as cursor:
            self._rows.update(load_workflows(cursor.query, [name for name in cold if name not in self._parked]))
            for workflow_id, step_row in load_steps(cursor.query, list(steps)):
                if workflow_id in self._rows:
                    self._rows[workflow_id].steps.setdefault(step_row.step, step_row)

    def _tidy(self, written: Iterable[WorkflowRow]) -> None:
        """Keep what is still under way: neither ended workflows nor settled steps are asked for again soon."""
        self._changed.clear()
        for row in written:
            row.changed.clear()
            if row.standing.ended is not None:
                self._rows.pop(row.workflow_id, None)
                continue
            for name in [name for name, step in row.steps.items() if step.status in SETTLED]:
                del row.steps[name]
        while len(self._rows) > self._rows_at_hand:
            self._rows.popitem(last=False)
