"""Ids of local workflows: `wf_001`, `wf_002` …, each used once in a store.

The number is written in the transaction that starts its workflow, and read only when it is not known. Two processes
may think of the same number; then one of them meets the other's workflow, reads again, and takes the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from domain.ids import local_workflow_id
from domain.ports import Along, Cursor, Decided, Transactions

_COUNTER: Final = "local_workflows"
_LOCAL_ID: Final = re.compile(r"wf_(\d{3,15})")


class NumberTaken:
    """Statements to run along: numbers up to this one are taken."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        """Keep the number."""
        self._number = number

    def run(self, cursor: Cursor) -> None:
        """Raise the counter, where it is lower."""
        cursor.execute(
            "INSERT INTO counters (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = "
            "CASE WHEN counters.value < excluded.value THEN excluded.value ELSE counters.value END",
            (_COUNTER, self._number),
        )


class LocalNumbers:
    """Gives out ids, and keeps the store's counter up to them; a companion of the store."""

    def __init__(self, store: Transactions) -> None:
        """Nothing is given out yet."""
        self._store = store
        self._last: int | None = None

    def next_id(self) -> str:
        """An id that no workflow of this store is known to have."""
        if self._last is None:
            self._last = self._stored()
        self._last += 1
        return local_workflow_id(self._last)

    def taken(self) -> None:
        """An id turned out to be another workflow's: go on behind what the store knows by now."""
        self._last = max(self._last or 0, self._stored())

    def _stored(self) -> int:
        with self._store.reading() as cursor:
            rows = cursor.query("SELECT value FROM counters WHERE name = ?", (_COUNTER,))
        return int(rows[0][0]) if rows else 0

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The counter, where workflows with a number begin."""
        highest = 0
        for decided in turn:
            events = decided.events
            if events and events[0].originator_version == 1:
                local = _LOCAL_ID.fullmatch(decided.request.workflow_id)
                highest = max(highest, int(local[1])) if local is not None else highest
        return (NumberTaken(highest),) if highest else ()

    def committed(self, turn: Sequence[Decided]) -> None:
        """Nothing to hand on."""
