"""Claims: who may run a command, and for how long. All of it is decided by rows of the inbox, in the store's database.

Instants are those of the database's clock, whatever the clocks of the processes say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from consumers.inbox import REISSUE_AFTER_SECONDS, in_chunks
from domain.ports import Transactions

LONGEST_REISSUE_SECONDS: Final = 3_600.0
_DOUBLINGS: Final = 7  # 30 s doubled seven times is past an hour


Scope = Collection[str] | None
"""The workflows that count; None: all."""


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A claim in the inbox: whose, of which command."""

    message_id: str
    workflow_id: str
    owner: str


@dataclass(frozen=True, slots=True)
class OpenRow:
    """An open command in the inbox; `version` is that of the event that scheduled it."""

    message_id: str
    workflow_id: str
    version: int


class Claims:
    """The inbox's rows as the consumers and the sweep of one process use them."""

    def __init__(self, store: Transactions, owner: str, *, lease_seconds: float) -> None:
        """Claim for this owner."""
        self._store = store
        self.owner = owner
        self.lease_seconds = lease_seconds

    def claim(self, message_ids: Collection[str]) -> frozenset[str]:
        """Claim those that are open, with one statement for all; the ids that are this owner's now."""
        claimed: set[str] = set()
        with self._store.transaction("claim") as cursor:
            until = cursor.now() + self.lease_seconds
            for chunk, places in in_chunks(message_ids):
                rows = cursor.query(
                    "UPDATE inbox SET state = 'claimed', owner = ?, lease_until = ? "  # noqa: S608 - fixed parts
                    f"WHERE message_id IN ({places}) AND state = 'open' RETURNING message_id",
                    (self.owner, until, *chunk),
                )
                claimed.update(row[0] for row in rows)
        return frozenset(claimed)

    def known(self, message_ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
        """State and owner of the rows that exist."""
        found: dict[str, tuple[str, str | None]] = {}
        with self._store.reading() as cursor:
            for chunk, places in in_chunks(message_ids):
                rows = cursor.query(
                    f"SELECT message_id, state, owner FROM inbox WHERE message_id IN ({places})",  # noqa: S608
                    chunk,
                )
                found.update((row[0], (row[1], row[2])) for row in rows)
        return found

    def renew(self) -> frozenset[str]:
        """Renew every claim of this owner; the ids that are still claimed."""
        with self._store.transaction("claim") as cursor:
            rows = cursor.query(
                "UPDATE inbox SET lease_until = ? WHERE state = 'claimed' AND owner = ? RETURNING message_id",
                (cursor.now() + self.lease_seconds, self.owner),
            )
        return frozenset(row[0] for row in rows)

    def left_by_others(self, only: Scope = None) -> list[ClaimedRow]:
        """Claims of other owners, whatever their leases: for who knows that all others are dead."""
        rows = self._select("message_id, workflow_id, owner", "state = 'claimed' AND owner <> ?", self.owner, only)
        return [ClaimedRow(*row) for row in rows]

    def run_out(self, limit: int, only: Scope = None) -> list[ClaimedRow]:
        """Claims past their lease."""
        where = "state = 'claimed' AND lease_until <= ?"
        return [ClaimedRow(*row) for row in self._select("message_id, workflow_id, owner", where, None, only, limit)]

    def expired(self, now: float, limit: int, only: Scope = None) -> list[OpenRow]:
        """Open commands past their schedule-to-finish time-out; `now` is the engine's, in seconds since 1970."""
        where = "state = 'open' AND expires_at <= ?"
        return [OpenRow(*row) for row in self._select("message_id, workflow_id, version", where, now, only, limit)]

    def not_claimed(self, limit: int, only: Scope = None, *, horizon_seconds: float = 0.0) -> list[OpenRow]:
        """Open commands that are due to be issued again within the horizon, the longest due first."""
        where = f"state = 'open' AND issue_after <= ? + {horizon_seconds}"
        rows = self._select("message_id, workflow_id, version", where, None, only, limit, order="ORDER BY issue_after")
        return [OpenRow(*row) for row in rows]

    def _select(
        self, columns: str, where: str, value: Any, only: Scope, limit: int = -1, order: str = ""
    ) -> list[tuple[Any, ...]]:
        """Rows of the inbox; the one parameter of `where` is `value`, or the database's time where it is None."""
        found: list[tuple[Any, ...]] = []
        with self._store.reading() as cursor:
            first = cursor.now() if value is None else value
            most = 2**62 if limit < 0 else limit
            for chunk, places in [([], "")] if only is None else in_chunks(only):
                scope = f" AND workflow_id IN ({places})" if chunk else ""
                statement = f"SELECT {columns} FROM inbox WHERE {where}{scope} {order} LIMIT ?"  # noqa: S608 - fixed parts
                found += cursor.query(statement, (first, *chunk, most - len(found)))
        return found

    def make_due(self, only: Scope = None) -> int:
        """Have every open command issued at the next sweep, whenever it was issued; how many there are."""
        rows = self._select("message_id", "state = 'open' AND issue_after > ?", None, only)
        if rows:
            with self._store.transaction("sweep") as cursor:
                for chunk, places in in_chunks(row[0] for row in rows):
                    cursor.execute(
                        f"UPDATE inbox SET issue_after = ?, issued = 0 WHERE message_id IN ({places})",  # noqa: S608
                        (cursor.now(), *chunk),
                    )
        return len(rows)

    def note_issued(self, message_ids: Iterable[str]) -> None:
        """Say that these open commands are issued again: the next time is twice as far away, at most an hour."""
        with self._store.transaction("sweep") as cursor:
            delay = _delay()
            for chunk, places in in_chunks(message_ids):
                cursor.execute(
                    f"UPDATE inbox SET issued = issued + 1, issue_after = ? + {delay} "  # noqa: S608 - fixed parts
                    f"WHERE message_id IN ({places}) AND state = 'open'",
                    (cursor.now(), *chunk),
                )


def _delay() -> str:
    """SQL for the delay before a command is issued once more, from how often it was issued already."""
    cases = " ".join(f"WHEN {times} THEN {REISSUE_AFTER_SECONDS * 2 ** (times + 1)}" for times in range(_DOUBLINGS - 1))
    return f"CASE issued {cases} ELSE {LONGEST_REISSUE_SECONDS} END"
