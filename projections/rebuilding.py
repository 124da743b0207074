"""Builds the views anew beside the live ones, compares row for row, and mends the rows that differ, all at once.

Theory of operation. A keeper of its own folds the log from the first event into the shadow tables, up to where the live
views are, which go on serving and moving. Then both are compared page by page, without holding anybody up: what differs
is suspect, and so is whatever an event touches from then on. The last transaction holds the live position, folds the
few events that the shadow lacks still, and looks at the suspects again: now both are at the same event, and what
differs does differ. Mending replaces those rows, takes away what is too many and puts in what is lacking, in that same
transaction. So a rebuild that is killed anywhere leaves the live views whole, as they were or as they should be; the
next one begins by emptying the shadow.

One rebuild at a time: each begins by taking the next number, and the transactions of those with an older one fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.errors import FenceMissed, InputInvalid, StoreUnavailable
from domain.ports import Cursor, Notification
from domain.store.covers import Texts, texts_of
from domain.store.positions import MovePosition, position_of
from projections.comparing import (
    COUNTED,
    NAMES,
    PARKED,
    TALLIES,
    VIEWS,
    WORKFLOWS,
    Difference,
    View,
    differences,
    tallies_differing,
)
from projections.keeper import Database, Entry, Keeper
from projections.mending import hold_position, tell_projector
from projections.projector import WRITE_EVENTS, Log
from projections.schema import ARCHIVED, POSITION
from projections.sql import KEYS_PER_QUERY, load_parked, text_of
from projections.tables import SHADOW

ALL: Final = "all"
REBUILDS: Final = "views-rebuilds"
"""Name of the row in the table of positions that counts the rebuilds."""
NEAR_EVENTS: Final = 2_000
"""How far the shadow may be behind when the live views are held up for it."""
MOST_SUSPECTS: Final = 20_000
"""Workflows that are remembered to be looked at again; where there are more, everything is."""
MOST_ROUNDS: Final = 10
"""How often it is tried to come near enough to the live views."""
MOST_PASSES: Final = 50
"""How often in a row the shadow follows to where the live views have come meanwhile."""
SHOWN: Final = 20
"""Differences of each view that are kept to be shown."""
EMPTIED_AT_ONCE: Final = 5_000
LOOKED_AT: Final = 1_000
"""Mended workflows that are judged at the next chance; of more than that, each is when its time has come."""


@dataclass(slots=True)
class Report:
    """What a comparison found: how many rows of each view differ, and some of them. `position` is where both were."""

    position: int = 0
    differing: dict[str, int] = field(default_factory=dict)
    shown: list[Difference] = field(default_factory=list)
    parked: int = 0
    mended: bool = False

    @property
    def total(self) -> int:
        """How many rows differ."""
        return sum(self.differing.values())

    def add(self, found: Sequence[Difference]) -> None:
        """Count differences of one view."""
        for one in found:
            number = self.differing[one.view] = self.differing.get(one.view, 0) + 1
            if number <= SHOWN:
                self.shown.append(one)


SHADOWED: Final = ("workflows", "steps", "waits", "attempts", "parked_views")
"""Tables of the shadow that have rows of workflows."""


class TooFar(Exception):
    """The live views have gone on too far: roll back, and come nearer first."""


def chosen(name: str) -> tuple[str, ...]:
    """The views that a name means; raises InputInvalid where there is none."""
    if name == ALL:
        return NAMES
    if name not in NAMES:
        raise InputInvalid(f"there is no view {name[:80]!r}: choose of {', '.join(NAMES)}, or {ALL}")
    return (name,)


class Rebuild:
    """One rebuild, or one verification."""

    def __init__(
        self,
        database: Database,
        log: Log,
        *,
        views: Collection[str] = NAMES,
        tell: Callable[[int, int], None] = lambda _at, _goal: None,
    ) -> None:
        """Nothing is read yet. `tell` hears how far the shadow is, and how far it is to come."""
        self._database = database
        self._log = log
        self._views = [view for view in VIEWS if view.name in views]
        self._tallies = TALLIES in views
        self._tell = tell
        self._touched: set[str] | None = set()
        self._archived = 0

    def run(self, *, mend: bool, now: datetime) -> Report:
        """Fold, compare and, with `mend`, replace what differs.

        Raises FenceMissed where another rebuild began meanwhile, StoreUnavailable where the views run away from it or
        workflows are archived.
        """
        fenced = _Fenced.begin(self._database)
        with self._database.reading() as cursor:
            self._archived = position_of(cursor, ARCHIVED)
        _empty(fenced)
        keeper = Keeper(fenced, tables=SHADOW)
        keeper.begin()
        for _ in range(MOST_ROUNDS):
            self._follow(fenced, keeper)
            self._touched = set()
            suspects = self._suspects()
            self._follow(fenced, keeper)
            try:
                report = self._end(fenced, suspects, mend=mend, now=now)
            except TooFar:
                keeper.begin()
                continue
            # What was compared and mended is said, also where the next rebuild has the shadow already.
            with contextlib.suppress(FenceMissed):
                _empty(fenced)
            return report
        _empty(fenced)
        raise StoreUnavailable(
            f"the views went on faster than they could be compared, {MOST_ROUNDS} times: try again when there is less "
            "to do; nothing was changed"
        )

    # --- folding ----------------------------------------------------------------------------------------------------

    def _follow(self, fenced: _Fenced, keeper: Keeper) -> None:
        """Fold until the shadow is near the live views, or they have run away often enough."""
        for _ in range(MOST_PASSES):
            goal, folded = fenced.live_position(), 0
            if goal < keeper.position:
                raise StoreUnavailable("the views began again meanwhile: run this once more; nothing was changed")
            while keeper.position < goal and (number := self._fold(keeper, goal, WRITE_EVENTS)):
                folded += number
                if not keeper.write():
                    # It has begun again from what is in the store; unless another rebuild has taken that over.
                    fenced.check()
                self._tell(keeper.position, goal)
            if folded <= NEAR_EVENTS:
                return

    def _fold(self, keeper: Keeper, goal: int, limit: int) -> int:
        """Fold what follows, not beyond the goal; how many events."""
        entries = [one for one in self._log.read(keeper.position, limit) if one.position <= goal]
        keeper.take(entries)
        if self._touched is not None:
            self._touched.update(_workflow(one) for one in entries)
            if len(self._touched) > MOST_SUSPECTS:
                self._touched = None
        return len(entries)

    # --- comparing --------------------------------------------------------------------------------------------------

    def _suspects(self) -> set[str] | None:
        """The workflows with a row that seems to differ; None where they are too many to remember."""
        suspects: set[str] = set()
        for view in self._views:
            if not view.of_workflows:
                continue
            for found in differences(self._database.query, view):
                suspects.update(str(one.key[0]) for one in found)
                if len(suspects) > MOST_SUSPECTS:
                    return None
        return suspects

    def _end(self, fenced: _Fenced, suspects: set[str] | None, *, mend: bool, now: datetime) -> Report:
        """Compare at one position, and mend. Raises TooFar, having changed nothing."""
        with fenced.transaction("project") as cursor:
            position = hold_position(cursor)
            if position_of(cursor, ARCHIVED) != self._archived:
                # What was folded of their failures would be counted once more with those of the archived.
                raise StoreUnavailable(
                    "workflows were archived meanwhile: run this once more when that has ended; nothing was changed"
                )
            self._catch_up(cursor, position)
            cursor.execute(SHADOW.count_archived)
            only = None if suspects is None or self._touched is None else sorted(suspects | self._touched)
            unfolded = load_parked(cursor.query, SHADOW)
            report = Report(position, parked=len(unfolded))
            miscounted = tallies_differing(cursor.query) if self._tallies else []
            looked_at: list[str] = []
            for view in self._views:
                leave_out = () if view is PARKED else unfolded
                for page in differences(cursor.query, view, only=only, leave_out=leave_out):
                    found = _without_gone(cursor, page) if view.of_workflows else page
                    report.add(found)
                    if mend:
                        _mend(cursor, view, found, looked_at)
            report.add(miscounted)
            if mend and report.total:
                count_again = not report.differing.keys().isdisjoint({WORKFLOWS.name, TALLIES})
                _settle(cursor, position, looked_at, now, count_again=count_again)
                report.mended = True
        return report

    def _catch_up(self, cursor: Cursor, position: int) -> None:
        """Fold the events that the live views are ahead by, within the transaction that holds them there."""
        keeper = Keeper(_Within(cursor, texts_of(self._database)), tables=SHADOW)
        too_many = NEAR_EVENTS + 1
        if position < keeper.begin() or self._fold(keeper, position, too_many) == too_many or not keeper.write():
            raise TooFar


def _without_gone(cursor: Cursor, found: Sequence[Difference]) -> list[Difference]:
    """Those without rows that only seem to be lacking: a workflow without events was removed since it was folded."""
    lacking = sorted({str(one.key[0]) for one in found if one.live is None})
    there: set[str] = set()
    for start in range(0, len(lacking), KEYS_PER_QUERY):
        ids = lacking[start : start + KEYS_PER_QUERY]
        marks = ", ".join("?" * len(ids))
        statement = f"SELECT DISTINCT originator_id FROM stored_events WHERE originator_id IN ({marks})"  # noqa: S608
        there.update(name for (name,) in cursor.query(statement, ids))
    return [one for one in found if one.live is not None or one.key[0] in there]


def _mend(cursor: Cursor, view: View, found: Sequence[Difference], looked_at: list[str]) -> None:
    """Have these rows be as they were folded."""
    where = " AND ".join(f"{name} = ?" for name in view.key)
    gone = [one.key for one in found if one.live is not None]
    if gone:
        cursor.executemany(f"DELETE FROM {view.name} WHERE {where}", gone)  # noqa: S608 - names of ours
    rows = [one.folded for one in found if one.folded is not None]
    if rows:
        columns, marks = ", ".join(view.columns), ", ".join("?" * len(view.columns))
        cursor.executemany(f"INSERT INTO {view.name} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - the same
    if view.of_workflows and len(looked_at) < LOOKED_AT:
        looked_at += [str(one.key[0]) for one in found]


def _settle(cursor: Cursor, position: int, looked_at: Sequence[str], now: datetime, *, count_again: bool) -> None:
    """What goes with rows that were mended: tallies, when to look at them, and that the projector hears of it."""
    if count_again:
        cursor.execute("DELETE FROM tallies")
        cursor.execute(f"INSERT INTO tallies (definition, status, cause, number) {COUNTED}")
    look = "UPDATE workflows SET look_at = ? WHERE workflow_id"
    at = text_of(now)
    cursor.executemany(f"{look} = ?", [(at, name) for name in sorted(set(looked_at))])
    cursor.execute(f"{look} IN (SELECT workflow_id FROM replay_mismatches)", (at,))  # noqa: S608 - ours
    tell_projector(cursor, position)


def _empty(fenced: _Fenced) -> None:
    """Empty the shadow, in parts."""
    with fenced.transaction("project") as cursor:
        cursor.execute("DELETE FROM positions WHERE name = ?", (SHADOW.position,))
        cursor.execute(f"DELETE FROM {SHADOW.prefix}{TALLIES}")  # noqa: S608 - as few as definitions and statuses
    for view in VIEWS:
        table, key = f"{SHADOW.prefix}{view.name}", ", ".join(view.key)
        marks = ", ".join("?" for _ in view.key)
        # By a range of the key, which its index finds: a list of keys is searched once a row where statistics are old.
        next_last = f"SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {EMPTIED_AT_ONCE - 1}"  # noqa: S608 - names of ours
        more = True
        while more:
            with fenced.transaction("project") as cursor:
                last = cursor.query(next_last)
                more = bool(last)
                up_to = f" WHERE ({key}) <= ({marks})" if more else ""
                cursor.execute(f"DELETE FROM {table}{up_to}", last[0] if more else ())  # noqa: S608 - the same


class _Fenced:
    """The store as one rebuild uses it: its transactions fail as soon as another one has begun."""

    def __init__(self, database: Database, number: int) -> None:
        """`number` is the rebuild's own."""
        self._database = database
        self._number = number
        self.texts = texts_of(database)

    @classmethod
    def begin(cls, database: Database) -> _Fenced:
        """Take the next number. Raises FenceMissed where another rebuild took it at the same moment."""
        with database.transaction("project") as cursor:
            before = position_of(cursor, REBUILDS)
            MovePosition(REBUILDS, before, before + 1).run(cursor)
        return cls(database, before + 1)

    @contextlib.contextmanager
    def transaction(self, point: str = "commit") -> Iterator[Cursor]:
        """As the port."""
        with self._database.transaction(point) as cursor:
            self._hold(cursor)
            yield cursor

    def reading(self) -> contextlib.AbstractContextManager[Cursor]:
        """As the port."""
        return self._database.reading()

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """As the port."""
        return self._database.query(statement, parameters)

    def check(self) -> None:
        """Raise FenceMissed where another rebuild has begun."""
        with self._database.reading() as cursor:
            if position_of(cursor, REBUILDS) != self._number:
                raise _another()

    def live_position(self) -> int:
        """How far the live views are."""
        with self._database.reading() as cursor:
            return position_of(cursor, POSITION)

    def _hold(self, cursor: Cursor) -> None:
        try:
            MovePosition(REBUILDS, self._number, self._number).run(cursor)
        except FenceMissed:
            raise _another() from None


class _Within:
    """The port `Database` within a transaction that is open already."""

    def __init__(self, cursor: Cursor, texts: Texts) -> None:
        """Everything goes through this cursor; `texts` is how the database keeps texts."""
        self._cursor = cursor
        self.texts = texts

    @contextlib.contextmanager
    def transaction(self, point: str = "commit") -> Iterator[Cursor]:  # noqa: ARG002 - committed with the one around
        """The transaction around."""
        yield self._cursor

    @contextlib.contextmanager
    def reading(self) -> Iterator[Cursor]:
        """What the transaction sees."""
        yield self._cursor

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT."""
        return self._cursor.query(statement, parameters)


def fence_off(cursor: Cursor, workflow_id: str) -> None:
    """Have a rebuild that runs end, and take away what it has folded of a workflow: that is not to come back."""
    before = position_of(cursor, REBUILDS)
    MovePosition(REBUILDS, before, before + 1).run(cursor)
    for table in SHADOWED:
        cursor.execute(f"DELETE FROM {SHADOW.prefix}{table} WHERE workflow_id = ?", (workflow_id,))  # noqa: S608 - ours


def _another() -> FenceMissed:
    return FenceMissed("another rebuild or verification of the views has begun: this one ends, and changed nothing")


def _workflow(entry: Entry) -> str:
    return entry.event.originator_id if isinstance(entry, Notification) else entry.workflow_id
