"""Claims: who may run a command, and for how long. All of it is decided by rows of the inbox, in the store's database.

Instants are those of the database's clock, whatever the clocks of the processes say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from consumers.inbox import FORCED, REISSUE_AFTER_SECONDS, in_chunks
from consumers.limits import Deferral, Limited, admit
from domain.ports import Transactions
from domain.store.epochs import read_epoch

LONGEST_REISSUE_SECONDS: Final = 3_600.0
_DOUBLINGS: Final = 7  # 30 s doubled seven times is past an hour
IN_LINE_SECONDS: Final = 60.0
"""For how long it holds that a consumer has said of a command that it waits with it for room."""


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
    """An open command in the inbox; `version` is that of the event that scheduled it.

    `issued_at` is when it was issued first, None where that says nothing about its place in its queue.
    """

    message_id: str
    workflow_id: str
    version: int
    queue: str = ""
    issued_at: float | None = None


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """A command's row: its state, and the digest of what its consumer is to be told (None where it was never sent).

    `version` is that of the workflow's event that scheduled it.
    """

    state: str
    digest: str | None
    workflow_id: str
    version: int


@dataclass(slots=True)
class Taken:
    """What became of the commands that were to be claimed; those in none of the three were not open.

    `differing` are open, but were told otherwise than they were scheduled: they stay open.
    """

    claimed: set[str] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)
    deferred: dict[str, Deferral] = field(default_factory=dict)


@dataclass(slots=True)
class Renewed:
    """The claims that still hold, and those among them whose workflows are stopping (whether by force)."""

    held: frozenset[str]
    stopping: Mapping[str, bool] = field(default_factory=dict)


class UnderWay(NamedTuple):
    """Whether there is anything that a sweep could find."""

    is_open: bool
    """A command waits for its claim."""
    is_held: bool
    """A command is claimed, or handed over."""


class Claims:
    """The inbox's rows as the consumers and the sweep of one process use them."""

    def __init__(self, store: Transactions, owner: str, *, lease_seconds: float) -> None:
        """Claim for this owner."""
        self._store = store
        self.owner = owner
        self.lease_seconds = lease_seconds

    def claim(self, message_ids: Collection[str]) -> frozenset[str]:
        """Claim those that are open, with one statement for all; the ids that are this owner's now."""
        return frozenset(self.take(message_ids).claimed)

    def take(
        self, message_ids: Collection[str], *, digests: Mapping[str, str] | None = None, limited: Iterable[Limited] = ()
    ) -> Taken:
        """Claim those that are open, as far as limits over all processes admit them.

        `digests` are those of what was delivered: a command that was scheduled otherwise is not claimed. The ids in
        `limited` are no others than those in `message_ids`.
        """
        taken = Taken()
        # In the order of their names, so that two processes never wait for one another.
        in_order = sorted(limited, key=lambda one: one.name)
        if not in_order:
            for statement, parameters in self._claiming(message_ids, None, digests):
                taken.claimed.update(row[0] for row in self._store.change(statement, parameters, "claim"))
        else:
            self._take_limited(message_ids, in_order, digests, taken)
        if digests is not None:
            taken.differing = self._differing(set(message_ids) - taken.claimed - taken.deferred.keys(), digests)
        return taken

    def _take_limited(
        self,
        message_ids: Collection[str],
        in_order: Sequence[Limited],
        digests: Mapping[str, str] | None,
        taken: Taken,
    ) -> None:
        left = set(message_ids)
        with self._store.transaction("claim") as cursor:
            now = cursor.now()
            groups: list[tuple[Collection[str], str | None]] = []
            for one in in_order:
                left.difference_update(one.message_ids)
                admitted, deferred = admit(cursor, one, now)
                taken.deferred |= deferred
                groups.append((admitted, one.name))
            groups.append((left, None))
            for group, name in groups:
                for statement, parameters in self._claiming(group, name, digests):
                    taken.claimed.update(row[0] for row in cursor.query(statement, parameters(now)))

    def _claiming(
        self, message_ids: Collection[str], limit: str | None, digests: Mapping[str, str] | None
    ) -> Iterator[tuple[str, Callable[[float], Sequence[Any]]]]:
        """Statements that claim what is open and as it was scheduled, with what makes their parameters of the time."""
        for chunk, places in in_chunks(message_ids):
            # A digest covers its message id: one that is among these belongs to its row, or the row's is another.
            told = [] if digests is None else [digests.get(message_id, "") for message_id in chunk]
            statement = (
                "UPDATE inbox SET state = 'claimed', owner = ?, lease_until = ?, limited = ? "  # noqa: S608 - fixed parts
                f"WHERE message_id IN ({places}) AND state = 'open' "
                f"{f'AND (digest IS NULL OR digest IN ({places})) ' if told else ''}RETURNING message_id"
            )
            yield statement, partial(self._claim_parameters, limit, [*chunk, *told])

    def _claim_parameters(self, limit: str | None, rest: Sequence[str], now: float) -> Sequence[Any]:
        return (self.owner, now + self.lease_seconds, limit, *rest)

    def _differing(self, message_ids: Collection[str], digests: Mapping[str, str]) -> set[str]:
        """Those of the commands that are open, but were scheduled otherwise than they were told."""
        found: set[str] = set()
        for chunk, places in in_chunks(message_ids):
            rows = self._store.query(
                f"SELECT message_id, digest FROM inbox WHERE message_id IN ({places}) AND state = 'open'",  # noqa: S608
                chunk,
            )
            found.update(name for name, digest in rows if digest is not None and digest != digests.get(name))
        return found

    def hand_over(self, message_ids: Collection[str]) -> frozenset[str]:
        """Say that the broker has these open commands for consumers in other languages; those that were open.

        From here on nobody revokes them: their end is an outcome, or their schedule-to-finish time-out.
        """
        return self._change(message_ids, "open", "handed_over")

    def take_back(self, message_ids: Collection[str]) -> frozenset[str]:
        """Open commands again that the broker gave back after they had been handed over; those that were."""
        return self._change(message_ids, "handed_over", "open")

    def _change(self, message_ids: Collection[str], before: str, after: str) -> frozenset[str]:
        changed: set[str] = set()
        with self._store.transaction("claim") as cursor:
            for chunk, places in in_chunks(message_ids):
                rows = cursor.query(
                    f"UPDATE inbox SET state = ? WHERE message_id IN ({places}) AND state = ? RETURNING message_id",  # noqa: S608 - fixed parts
                    (after, *chunk, before),
                )
                changed.update(row[0] for row in rows)
        return frozenset(changed)

    def known(self, message_ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
        """State and owner of the rows that exist."""
        found: dict[str, tuple[str, str | None]] = {}
        for chunk, places in in_chunks(message_ids):
            rows = self._store.query(
                f"SELECT message_id, state, owner FROM inbox WHERE message_id IN ({places})",  # noqa: S608
                chunk,
            )
            found.update((row[0], (row[1], row[2])) for row in rows)
        return found

    def epoch(self) -> int:
        """The store's epoch, as it is now."""
        with self._store.reading() as cursor:
            return read_epoch(cursor).number

    def scheduled(self, message_ids: Collection[str]) -> dict[str, ScheduledRow]:
        """The rows of those of these commands that were ever scheduled."""
        found: dict[str, ScheduledRow] = {}
        with self._store.reading() as cursor:
            for chunk, places in in_chunks(message_ids):
                rows = cursor.query(
                    "SELECT message_id, state, digest, workflow_id, version FROM inbox "  # noqa: S608 - fixed parts
                    f"WHERE message_id IN ({places}) AND version IS NOT NULL",
                    chunk,
                )
                found.update((row[0], ScheduledRow(*row[1:])) for row in rows)
        return found

    def renew(self, message_ids: Collection[str]) -> Renewed:
        """Renew this owner's claims of these commands, and of no others: one that nobody runs is to lapse."""
        rows: list[tuple[Any, ...]] = []
        with self._store.transaction("claim") as cursor:
            lease_until = cursor.now() + self.lease_seconds
            for chunk, places in in_chunks(message_ids):
                rows += cursor.query(
                    f"UPDATE inbox SET lease_until = ? WHERE message_id IN ({places}) AND state = 'claimed' "  # noqa: S608 - fixed parts
                    "AND owner = ? RETURNING message_id, cancel",
                    (lease_until, *chunk, self.owner),
                )
        stopping = {message_id: cancel == FORCED for message_id, cancel in rows if cancel is not None}
        return Renewed(frozenset(row[0] for row in rows), stopping)

    def under_way(self) -> UnderWay:
        """Whether any command is open, and whether any is claimed or handed over: one statement, by index."""
        ((is_open, is_held),) = self._store.query(
            "SELECT EXISTS (SELECT 1 FROM inbox WHERE state = 'open'), EXISTS (SELECT 1 FROM inbox WHERE state = "
            "'claimed') OR EXISTS (SELECT 1 FROM inbox WHERE state = 'handed_over')"
        )
        return UnderWay(bool(is_open), bool(is_held))

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

    def overdue(self, now: float, limit: int, only: Scope = None) -> list[ClaimedRow]:
        """Commands handed over to consumers in other languages and past their schedule-to-finish time-out."""
        where = "state = 'handed_over' AND expires_at <= ?"
        rows = self._select("message_id, workflow_id, queue", where, now, only, limit)
        return [ClaimedRow(*row) for row in rows]

    def handed_over(self, limit: int, only: Scope = None) -> list[OpenRow]:
        """Commands handed over and not answered: for who knows that the broker has lost them, to issue them again.

        Their consumers know a repeat by its message id.
        """
        columns, where = "message_id, workflow_id, version", "state = 'handed_over' AND expires_at > ?"
        return [OpenRow(*row) for row in self._select(columns, where, None, only, limit)]

    def not_claimed(
        self, limit: int, only: Scope = None, *, horizon_seconds: float = 0.0, deferred: bool = True
    ) -> list[OpenRow]:
        """Open commands that are due to be issued again within the horizon, the longest due first.

        Without those `deferred` by a limit, if so asked: they come back when they were promised to, and no sooner.
        """
        where = f"state = 'open' AND issue_after <= ? + {horizon_seconds}{'' if deferred else ' AND due_at IS NULL'}"
        # A command that was deferred was with a consumer: it comes back when it was promised to.
        columns = "message_id, workflow_id, version, queue, CASE WHEN due_at IS NULL THEN issued_at END"
        rows = self._select(columns, where, None, only, limit, order="ORDER BY issue_after")
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

    def give_back(self, message_ids: Collection[str]) -> None:
        """Have these open commands issued at the next sweep: whoever was to send or to run them could not."""
        with self._store.transaction("sweep") as cursor:
            now = cursor.now()
            for chunk, places in in_chunks(message_ids):
                cursor.execute(
                    "UPDATE inbox SET sender = NULL, issued_at = NULL, issue_after = ? "  # noqa: S608 - fixed parts
                    f"WHERE message_id IN ({places}) AND state = 'open'",
                    (now, *chunk),
                )

    def hold(self, message_ids: Collection[str], seconds: float) -> None:
        """Look at these open commands again in so many seconds: they wait in a queue that comes to them."""
        with self._store.transaction("sweep") as cursor:
            until = cursor.now() + seconds
            for chunk, places in in_chunks(message_ids):
                cursor.execute(
                    f"UPDATE inbox SET issue_after = ? WHERE message_id IN ({places}) AND state = 'open'",  # noqa: S608
                    (until, *chunk),
                )

    def wait_in_line(self, message_ids: Collection[str]) -> None:
        """Say that these open commands have come to a consumer, and wait there for room.

        So they are not lost, however often they were issued, and need not be issued again for a while. One that a limit
        has deferred is left alone: it comes back when it was promised to.
        """
        with self._store.transaction("claim") as cursor:
            until = cursor.now() + IN_LINE_SECONDS
            for chunk, places in in_chunks(message_ids):
                cursor.execute(
                    "UPDATE inbox SET issued = 0, issue_after = ? "  # noqa: S608 - fixed parts
                    f"WHERE message_id IN ({places}) AND state = 'open' AND due_at IS NULL",
                    (until, *chunk),
                )

    def open_among(self, message_ids: Iterable[str]) -> frozenset[str]:
        """Those of the message ids that nobody has claimed yet."""
        found: set[str] = set()
        with self._store.reading() as cursor:
            for chunk, places in in_chunks(message_ids):
                rows = cursor.query(
                    f"SELECT message_id FROM inbox WHERE message_id IN ({places}) AND state = 'open'",  # noqa: S608
                    chunk,
                )
                found.update(row[0] for row in rows)
        return frozenset(found)

    def make_due(self, only: Scope = None) -> int:
        """Have every open command issued at the next sweep, whenever it was issued; how many there are."""
        rows = self._select("message_id", "state = 'open' AND issue_after > ?", None, only)
        if rows:
            with self._store.transaction("sweep") as cursor:
                for chunk, places in in_chunks(row[0] for row in rows):
                    cursor.execute(
                        "UPDATE inbox SET issue_after = ?, issued = 0, issued_at = NULL "  # noqa: S608 - fixed parts
                        f"WHERE message_id IN ({places})",
                        (cursor.now(), *chunk),
                    )
        return len(rows)

    def note_issued(self, message_ids: Iterable[str]) -> None:
        """Say that these open commands are issued again: the next time is twice as far away, at most an hour.

        One whose limit has deferred it since it was sent is left alone: it comes back when it was promised to.
        """
        with self._store.transaction("sweep") as cursor:
            delay, now = _delay(), cursor.now()
            for chunk, places in in_chunks(message_ids):
                cursor.execute(
                    f"UPDATE inbox SET sender = NULL, issued = issued + 1, issue_after = ? + {delay} "  # noqa: S608 - fixed parts
                    f"WHERE message_id IN ({places}) AND state = 'open' AND (due_at IS NULL OR due_at <= ?)",
                    (now, *chunk, now),
                )


def _delay() -> str:
    """SQL for the delay before a command is issued once more, from how often it was issued already.

    The second time comes soon: what was lost with its queue twice is then on its way again within a minute.
    """
    delays = [1.5 * REISSUE_AFTER_SECONDS, *(REISSUE_AFTER_SECONDS * 2**times for times in range(1, _DOUBLINGS))]
    cases = " ".join(f"WHEN {times} THEN {delay}" for times, delay in enumerate(delays))
    return f"CASE issued {cases} ELSE {LONGEST_REISSUE_SECONDS} END"
