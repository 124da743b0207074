"""What the views come to, in memory: for whoever tells of them often, and may not ask the store each time.

The keeper's tallies move with each of its writes, so that telling of them costs the same for ten workflows and for a
million. What is the oldest is found by an index, a few seconds after something changed; where nothing changes, nothing
is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from domain.state import Status
from projections.rows import Counted, Hold, WorkflowRow
from projections.sql import KEYS_PER_QUERY, Query, moved_tallies

_MINUTE_SECONDS: Final = 60.0
_APPROVAL: Final = ":approval"
_ENDED: Final = frozenset(
    status.value for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.COMPENSATED)
)


@dataclass(frozen=True, slots=True)
class ViewsNow:
    """What is shown of the views. Instants are in seconds since 1970, by definition; those that have none are left out.

    `oldest` is since when the workflow has been held that has been for the longest, to the minute.
    """

    tallies: Mapping[Counted, int] = field(default_factory=dict)
    approvals: Mapping[str, int] = field(default_factory=dict)
    parked: int = 0
    oldest: Mapping[str, float] = field(default_factory=dict)
    oldest_approvals: Mapping[str, float] = field(default_factory=dict)


class Totals:
    """How many workflows there are of each definition, status and cause, and how many approvals are awaited of each.

    Kept by the keeper: always what is written. `changes` rises whenever anything of the views was written.
    """

    def __init__(self) -> None:
        """Nothing is known before `load`."""
        self.tallies: Counter[Counted] = Counter()
        self.approvals: Counter[str] = Counter()
        self.parked = 0
        self.changes = 0

    def load(self, query: Query, parked: int) -> None:
        """Begin with what is in the store."""
        rows = query("SELECT definition, status, cause, number FROM tallies WHERE number <> 0", ())
        self.tallies = Counter({(row[0], row[1], row[2]): int(row[3]) for row in rows})
        rows = query("SELECT definition, count(*) FROM waits WHERE reason = 'approval' GROUP BY definition", ())
        self.approvals = Counter({row[0]: int(row[1]) for row in rows})
        self.parked = parked
        self.changes += 1

    def clear(self) -> None:
        """The views were emptied."""
        self.tallies.clear()
        self.approvals.clear()

    def wrote(self, rows: Iterable[WorkflowRow], parked: int) -> None:
        """These were written; what of them was written before is still noted in them."""
        rows = list(rows)
        self._move(rows)
        for row in rows:
            if row.noted or row.standing.waits:
                more = _approvals(row.standing.waits) - _approvals(row.noted)
                if more:
                    self.approvals[row.definition] += more
        self.parked = parked
        self.changes += 1

    def judged(self, rows: Iterable[WorkflowRow]) -> None:
        """What these are stuck by was written."""
        self._move(rows)
        self.changes += 1

    def now(self) -> ViewsNow:
        """A copy, without the oldest. For whoever has the keeper to himself: it writes in a thread."""
        approvals = {name: number for name, number in self.approvals.items() if number}
        return ViewsNow(dict(self.tallies), approvals, self.parked)

    def _move(self, rows: Iterable[WorkflowRow]) -> None:
        for definition, status, cause, number in moved_tallies(rows):
            counted = definition, status, cause
            self.tallies[counted] += number
            if not self.tallies[counted]:
                del self.tallies[counted]


def _approvals(waits: Mapping[str, Hold]) -> int:
    """How many of these are approvals: they have an id, which the retry of a step called approval has not."""
    return sum(bool(hold.name) for key, hold in waits.items() if key.endswith(_APPROVAL))


def with_oldest(now: ViewsNow, query: Query) -> ViewsNow:
    """The same, with the oldest of each definition that has an open workflow. Raises StoreError."""
    oldest: dict[str, float] = {}
    oldest_approvals: dict[str, float] = {}
    names = sorted({definition for definition, status, _ in now.tallies if status not in _ENDED})
    for start in range(0, len(names), KEYS_PER_QUERY):
        some = names[start : start + KEYS_PER_QUERY]
        for definition, minute, since in query(oldest_statement(len(some)), some):
            if minute is not None:
                oldest[definition] = minute * _MINUTE_SECONDS
            if since is not None:
                oldest_approvals[definition] = datetime.fromisoformat(since).timestamp()
    return replace(now, oldest=oldest, oldest_approvals=oldest_approvals)


def oldest_statement(definitions: int) -> str:
    """SQL for the oldest of so many definitions: a look into each of two indexes for each, however many workflows."""
    return (
        f"WITH wanted (definition) AS (VALUES {', '.join(['(?)'] * definitions)}) "  # noqa: S608 - fixed parts
        "SELECT definition, (SELECT min(since_minute) FROM workflows WHERE workflows.definition = wanted.definition "
        "AND ended_at IS NULL), (SELECT min(since) FROM waits WHERE reason = 'approval' "
        "AND waits.definition = wanted.definition) FROM wanted"
    )
