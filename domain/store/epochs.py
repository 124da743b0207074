"""The store's epoch: which of the times that a store has had this is. Putting a backup back begins a new one.

The number is in every attempt's (`domain.ids`), so that whatever still travels of a time that was lost is recognised by
its message id alone. It is the minute of the restore, `yymmddHHMM` in UTC: the same backup put back twice begins two.

A restore goes through all workflows, and may be interrupted. Until it has ended nobody else opens the store for
writing: a workflow that has not been told yet would go on as if nothing had been lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from domain.errors import StoreUnavailable
from domain.ports import Along, Cursor

EPOCH: Final = "epoch"
UNFINISHED: Final = "restore_unfinished"
DOUBTED_UNTIL: Final = "goals_doubted_until"

FIRST: Final = 1
LOCAL_NUMBERS_AN_EPOCH: Final = 10_000
"""Local ids of an epoch begin behind its number times this: folders and keys of `wf_007` belong to the lost one."""

_LOCAL_ID: Final = re.compile(r"wf_([0-9]{3,15})")

_SET: Final = (
    "INSERT INTO store_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The epoch of a store. `unfinished`: it is being restored, and some workflows have not been told yet.

    A goal that was sent before `doubted_until` may have been accepted before, in a time that was lost.
    """

    number: int = FIRST
    unfinished: bool = False
    doubted_until: datetime | None = None

    def doubts(self, sent_at: datetime) -> bool:
        """Whether a goal of this instant may have been accepted before."""
        return self.doubted_until is not None and sent_at < self.doubted_until

    def has_numbered(self, workflow_id: str) -> bool:
        """Whether the id is a local number of this epoch: then no lost workflow had it."""
        local = _LOCAL_ID.fullmatch(workflow_id)
        return local is not None and int(local[1]) > self.number * LOCAL_NUMBERS_AN_EPOCH

    def check_finished(self, place: str) -> None:
        """Raise StoreUnavailable while a restore has not ended."""
        if self.unfinished:
            raise StoreUnavailable(
                f"store {place} is being restored, and that has not ended: run `handrail restore` again, to its end"
            )


def read_epoch(cursor: Cursor) -> Epoch:
    """The epoch as the store has it now."""
    rows = cursor.query(
        "SELECT name, value FROM store_facts WHERE name IN (?, ?, ?)", (EPOCH, UNFINISHED, DOUBTED_UNTIL)
    )
    facts = dict(rows)
    until = facts.get(DOUBTED_UNTIL)
    return Epoch(
        int(facts.get(EPOCH, FIRST)), UNFINISHED in facts, datetime.fromisoformat(until) if until is not None else None
    )


class BeginEpoch:
    """Statements that begin a new epoch, or go on with one whose restore was interrupted; `epoch` is it then."""

    def __init__(self, along: Along, *, doubt_seconds: float) -> None:
        """`along` runs once an epoch, where it begins; `doubt_seconds`: for how long from then on goals are doubted."""
        self._along = along
        self._doubt_seconds = doubt_seconds
        self.epoch = Epoch()

    def run(self, cursor: Cursor) -> None:
        """Raise the epoch."""
        before = read_epoch(cursor)
        if before.unfinished:
            self.epoch = before
            return
        now = datetime.fromtimestamp(cursor.now(), UTC)
        number = max(before.number + 1, int(now.strftime("%y%m%d%H%M")))
        until = datetime.fromtimestamp(cursor.now() + self._doubt_seconds, UTC)
        for name, value in ((EPOCH, str(number)), (UNFINISHED, "yes"), (DOUBTED_UNTIL, until.isoformat())):
            cursor.execute(_SET, (name, value))
        cursor.execute(
            "INSERT INTO counters (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            ("local_workflows", number * LOCAL_NUMBERS_AN_EPOCH),
        )
        self._along.run(cursor)
        self.epoch = Epoch(number, unfinished=True, doubted_until=until)


class EndRestore:
    """Statements that say that every workflow has been told."""

    def run(self, cursor: Cursor) -> None:
        """Let others open the store again."""
        cursor.execute("DELETE FROM store_facts WHERE name = ?", (UNFINISHED,))
