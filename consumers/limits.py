"""Limits over all processes: one row of the database a limit, looked at under its lock by every claim that it concerns.

Who wants to claim commands of a limited activity type locks the row first, so that the claims of all processes are
decided one after the other, by the database's clock; the arithmetic is `admission`'s. How many attempts are under way
is counted from the inbox itself: no counter that a dead process could leave behind wrong. What has to wait stays
`open`, with the instant at which it is issued again. Outcomes are counted in their own transaction, by
`LimitsCompanion`. Activity types without limits pay nothing for any of this.

Locks are taken in one order: rows of limits by name, then rows of the inbox.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from consumers.admission import FIRST_GUESS_SECONDS, Standing, decoded_starts, ended, promises, room, started
from consumers.inbox import in_chunks
from domain.failures import FailureClass
from domain.limits import Limits
from domain.ports import Along, Cursor, Decided
from domain.triggers import RecordOutcome

LIMITS_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS activity_limits (
        name TEXT PRIMARY KEY,
        starts TEXT NOT NULL,
        outcomes BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        open_until DOUBLE PRECISION,
        mean_seconds DOUBLE PRECISION NOT NULL
    )""",
)

PASSING: Final = frozenset({FailureClass.TRANSIENT, FailureClass.RATE_LIMITED, FailureClass.TIMEOUT})
"""The failures that speak against the service that was called, and pass."""

RETURNING_SECONDS: Final = 10.0
"""For how long a place is kept free for those whose promised instant has come."""


@dataclass(frozen=True, slots=True)
class Limited:
    """Commands that run under one limit."""

    limits: Limits
    message_ids: Collection[str]

    @property
    def name(self) -> str:
        """The limit's name."""
        return self.limits.name


@dataclass(frozen=True, slots=True)
class Deferral:
    """A command has to wait: until when by the database's clock, and how many seconds that is from now."""

    until: float
    seconds: float


def admit(cursor: Cursor, limited: Limited, now: float) -> tuple[list[str], dict[str, Deferral]]:
    """Decide under the limit's lock which of the commands may begin now, and when the others may come back.

    Those that are not open are in neither.
    """
    limits = limited.limits
    standing = _locked(cursor, limits.name)
    promised, new = _open_among(cursor, limited.message_ids)
    if not promised and not new:
        return [], {}
    waited = sorted(promised, key=lambda one: promised[one])
    returning = [message_id for message_id in waited if promised[message_id] <= now]
    early = [*waited[len(returning) :], *new]
    left = room(limits, standing, now, running=_running(cursor, limits))
    admitted = returning[:left]
    if early and left > len(admitted):
        kept = _expected(cursor, limits, now, set(returning))
        admitted += early[: max(0, left - len(admitted) - kept)]
    if admitted:
        standing = started(limits, standing, now, len(admitted))
        _write(cursor, limits.name, standing)
    # A promise whose instant is still to come stands; whoever came in vain at its own gets another one.
    waiting = {message_id: promised.get(message_id, 0.0) for message_id in (*returning, *early)}
    for message_id in admitted:
        del waiting[message_id]
    rest = [message_id for message_id, at in waiting.items() if at <= now]
    if rest:
        instants = promises(limits, standing, now, after=_last_promise(cursor, limits, rest), count=len(rest))
        waiting.update(zip(rest, instants, strict=True))
        cursor.executemany(
            "UPDATE inbox SET limited = ?, due_at = ?, issue_after = ?, issued = 0 "
            "WHERE message_id = ? AND state = 'open'",
            [(limits.name, at, at, message_id) for message_id, at in zip(rest, instants, strict=True)],
        )
    return admitted, {message_id: Deferral(at, at - now) for message_id, at in waiting.items()}


def _locked(cursor: Cursor, name: str) -> Standing:
    """The limit's row, made where it is missing; its lock is held to the end of the transaction."""
    ((starts, outcomes, failures, open_until, mean_seconds),) = cursor.query(
        "INSERT INTO activity_limits (name, starts, outcomes, failures, mean_seconds) VALUES (?, '[]', 0, 0, ?) "
        "ON CONFLICT (name) DO UPDATE SET name = excluded.name "
        "RETURNING starts, outcomes, failures, open_until, mean_seconds",
        (name, FIRST_GUESS_SECONDS),
    )
    return Standing(decoded_starts(starts), outcomes, failures, open_until, mean_seconds)


def _write(cursor: Cursor, name: str, standing: Standing) -> None:
    cursor.execute(
        "UPDATE activity_limits SET starts = ?, outcomes = ?, failures = ?, open_until = ?, mean_seconds = ? "
        "WHERE name = ?",
        (
            standing.encoded_starts(),
            standing.outcomes,
            standing.failures,
            standing.open_until,
            standing.mean_seconds,
            name,
        ),
    )


def _open_among(cursor: Cursor, message_ids: Collection[str]) -> tuple[dict[str, float], list[str]]:
    """Those that are open: the instants promised to those that were deferred before, and the new ones."""
    found: dict[str, float | None] = {}
    for chunk, places in in_chunks(message_ids):
        rows = cursor.query(
            f"SELECT message_id, due_at FROM inbox WHERE message_id IN ({places}) AND state = 'open'",  # noqa: S608 - fixed parts
            chunk,
        )
        found.update((row[0], row[1]) for row in rows)
    waited = {message_id: due_at for message_id, due_at in found.items() if due_at is not None}
    return waited, [one for one in message_ids if one in found and one not in waited]


def _running(cursor: Cursor, limits: Limits) -> int:
    if limits.at_once is None and limits.breaker is None:
        return 0
    ((count,),) = cursor.query("SELECT count(*) FROM inbox WHERE limited = ? AND state = 'claimed'", (limits.name,))
    return int(count)


def _expected(cursor: Cursor, limits: Limits, now: float, here: Collection[str]) -> int:
    """How many others were promised an instant that has come, and may be here any moment."""
    rows = cursor.query(
        "SELECT message_id FROM inbox WHERE limited = ? AND state = 'open' AND due_at > ? AND due_at <= ?",
        (limits.name, now - RETURNING_SECONDS, now),
    )
    return sum(1 for row in rows if row[0] not in here)


def _last_promise(cursor: Cursor, limits: Limits, besides: Collection[str]) -> float | None:
    """The last instant that was promised to others."""
    rows = cursor.query(
        "SELECT message_id, due_at FROM inbox WHERE limited = ? AND state = 'open' AND due_at IS NOT NULL "
        "ORDER BY due_at DESC LIMIT ?",
        (limits.name, len(besides) + 1),
    )
    ours = set(besides)
    return next((row[1] for row in rows if row[0] not in ours), None)


class LimitsCompanion:
    """Counts the outcomes of limited attempts, in the transaction that records them.

    Stands before the inbox's companion: locks of limits are taken before those of the inbox's rows.
    """

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The statements of a turn."""
        counted = Outcomes()
        for decided in turn:
            limits = decided.request.under
            if limits is not None and decided.error is None:
                counted.add(limits, decided.request.trigger)
        return (counted,) if counted.by_name else ()

    def committed(self, turn: Sequence[Decided]) -> None:
        """Nothing is handed on."""


class Outcomes:
    """The outcomes of one turn, by limit."""

    __slots__ = ("by_name",)

    def __init__(self) -> None:
        """Begin with none."""
        self.by_name: dict[str, tuple[Limits, list[tuple[bool, float | None]]]] = {}

    def add(self, limits: Limits, trigger: object) -> None:
        """Count one outcome: whether it was a failure that passes, and how long the attempt lasted."""
        if not isinstance(trigger, RecordOutcome):
            return
        is_failure = trigger.failure is not None and trigger.failure.kind in PASSING
        seconds = None
        if trigger.claimed_at is not None and trigger.finished_at is not None:
            seconds = (trigger.finished_at - trigger.claimed_at).total_seconds()
        self.by_name.setdefault(limits.name, (limits, []))[1].append((is_failure, seconds))

    def run(self, cursor: Cursor) -> None:
        """Write them."""
        for name in sorted(self.by_name):
            limits, outcomes = self.by_name[name]
            lasted = [seconds for _, seconds in outcomes if seconds is not None]
            standing = ended(
                limits,
                _locked(cursor, name),
                cursor.now(),
                outcomes=len(outcomes),
                failures=sum(is_failure for is_failure, _ in outcomes),
                seconds=sum(lasted) / len(lasted) if lasted else None,
            )
            _write(cursor, name, standing)
