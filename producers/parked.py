"""What the relay could not carry on: events kept in a row each, so that the position moves on and nothing is lost.

It happens where a queue is full or bound to nothing, and where a process relays for workflows whose definitions it has
not loaded. The row is written in the transaction of the position; the relay tries again, at doubling intervals, and
whoever relays next tries all of it at once. Instants are those of the database's clock.

A command is tried for as long as it takes. An announcement is let go when a listener's queue has refused it for an
hour: nothing of ours waits for it, and a listener that is gone for good would have a row of every event kept.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.ports import Cursor, Transactions
from domain.store.positions import position_of

_log: Final = logging.getLogger("handrail.producers")

PARKED_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS relay_parked (
        workflow_id TEXT NOT NULL,
        version BIGINT NOT NULL,
        reason TEXT NOT NULL,
        since DOUBLE PRECISION NOT NULL,
        tries BIGINT NOT NULL DEFAULT 0,
        next_try DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (workflow_id, version)
    )""",
    "CREATE INDEX IF NOT EXISTS relay_parked_due ON relay_parked (next_try)",
)
"""`since` and `next_try` are instants in seconds since 1970."""

POINT: Final = "position"
"""A row stands for an event that the position has passed: a crash around it is a crash around the position."""

FIRST_TRY_SECONDS: Final = 2.0
LONGEST_TRY_SECONDS: Final = 600.0
"""An event is tried again after two seconds, then after twice as long each time, at most ten minutes."""
LET_GO_AFTER_SECONDS: Final = 3_600.0
"""How long an announcement is told again to a listener that has no room for it."""
LET_GO: Final = "announcements let go"
"""The number of announcements that were let go, since the beginning: it stands among the positions, by this name."""
_DOUBLINGS: Final = 9
_KEYS_A_STATEMENT: Final = 200
_REASON_CHARACTERS: Final = 500

ParkedEvent = tuple[str, int]
"""A workflow's id, and the version of one of its events."""

Failed = tuple[str, int, str]
"""A workflow's id, the version of one of its events, and why it could not be carried on."""


class Untold(str):
    """Why an announcement was not told: a listener's queue is full. Any other reason is waited out without end."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """One event that waits to be carried on: since when, why, how often it was tried again."""

    workflow_id: str
    version: int
    reason: str
    since: float
    tries: int
    next_try: float


class Park:
    """Statements to run along: keep these events; one that is kept already has its reason renewed."""

    def __init__(self, failed: Sequence[Failed]) -> None:
        """`failed` are the events and why each could not be carried on."""
        self._failed = failed

    def run(self, cursor: Cursor) -> None:
        """Write the rows."""
        if self._failed:
            now = cursor.now()
            cursor.executemany(
                "INSERT INTO relay_parked (workflow_id, version, reason, since, next_try) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (workflow_id, version) DO UPDATE SET reason = excluded.reason",
                [
                    (workflow_id, version, reason[:_REASON_CHARACTERS], now, now + FIRST_TRY_SECONDS)
                    for workflow_id, version, reason in self._failed
                ],
            )


class Parked:
    """The rows."""

    def __init__(self, store: Transactions) -> None:
        """Keep them in this store."""
        self._store = store

    def keep(self, failed: Sequence[Failed]) -> None:
        """Keep events in a transaction of their own; those that are kept already stay."""
        with self._store.transaction(POINT) as cursor:
            Park(failed).run(cursor)

    def settle(self, carried: Sequence[ParkedEvent], failed: Sequence[Failed]) -> None:
        """Forget what was carried on; what could not be again is tried after twice the time, or let go."""
        with self._store.transaction(POINT) as cursor:
            now = cursor.now()
            untold = [(name, version) for name, version, reason in failed if isinstance(reason, Untold)]
            late = _kept_since(cursor, untold, now - LET_GO_AFTER_SECONDS)
            if gone := [*carried, *late]:
                cursor.executemany("DELETE FROM relay_parked WHERE workflow_id = ? AND version = ?", gone)
            if late:
                _count(cursor, len(late))
            if still := [one for one in failed if one[:2] not in late]:
                cursor.executemany(
                    f"UPDATE relay_parked SET reason = ?, tries = tries + 1, next_try = ? + {_delay()} "  # noqa: S608 - fixed parts
                    "WHERE workflow_id = ? AND version = ?",
                    [(reason[:_REASON_CHARACTERS], now, name, version) for name, version, reason in still],
                )
        for reason, count in Counter(one[2] for one in failed if one[:2] in late).items():
            _log.warning(
                "announcements are let go after %g minutes, %d of them: %s; make room there, or have the queue drop "
                "its oldest (x-overflow drop-head); `handrail doctor` names the queue",
                LET_GO_AFTER_SECONDS / 60, count, reason,
            )  # fmt: skip

    def make_due(self) -> None:
        """Have everything tried again at once."""
        with self._store.transaction(POINT) as cursor:
            cursor.execute("UPDATE relay_parked SET next_try = ? WHERE next_try > ?", (cursor.now(), cursor.now()))

    def due(self, limit: int) -> list[ParkedRow]:
        """Up to `limit` rows that are to be tried now, the longest due first."""
        with self._store.reading() as cursor:
            rows = cursor.query(
                "SELECT workflow_id, version, reason, since, tries, next_try FROM relay_parked WHERE next_try <= ? "
                "ORDER BY next_try, workflow_id, version LIMIT ?",
                (cursor.now(), limit),
            )
        return [ParkedRow(*row) for row in rows]

    def seconds_to_next(self) -> float | None:
        """How long until the next row is due; None where there is none."""
        with self._store.reading() as cursor:
            ((earliest,),) = cursor.query("SELECT min(next_try) FROM relay_parked")
            return None if earliest is None else max(0.0, earliest - cursor.now())

    def all(self, limit: int = 1_000) -> list[ParkedRow]:
        """What is kept, those of a workflow in their order: for showing."""
        with self._store.reading() as cursor:
            rows = cursor.query(
                "SELECT workflow_id, version, reason, since, tries, next_try FROM relay_parked "
                "ORDER BY workflow_id, version LIMIT ?",
                (limit,),
            )
        return [ParkedRow(*row) for row in rows]


def let_go(store: Transactions) -> int:
    """How many announcements were let go since the beginning."""
    with store.reading() as cursor:
        return position_of(cursor, LET_GO)


def _count(cursor: Cursor, more: int) -> None:
    cursor.execute(
        "INSERT INTO positions (name, position) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET position = positions.position + excluded.position",
        (LET_GO, more),
    )


def _kept_since(cursor: Cursor, events: Sequence[ParkedEvent], instant: float) -> set[ParkedEvent]:
    """Those of the events that are kept since before this instant."""
    found: set[ParkedEvent] = set()
    for start in range(0, len(events), _KEYS_A_STATEMENT):
        some = events[start : start + _KEYS_A_STATEMENT]
        rows = cursor.query(
            f"SELECT workflow_id, version FROM relay_parked WHERE since <= ? AND ({_either(len(some))})",  # noqa: S608 - fixed parts
            (instant, *(value for event in some for value in event)),
        )
        found.update((name, version) for name, version in rows)
    return found


def _either(events: int) -> str:
    return " OR ".join(["(workflow_id = ? AND version = ?)"] * events)


def _delay() -> str:
    """SQL for the delay before the next try, from how often it was tried already."""
    cases = " ".join(f"WHEN {tries} THEN {FIRST_TRY_SECONDS * 2 ** (tries + 1)}" for tries in range(_DOUBLINGS - 1))
    return f"CASE WHEN tries >= {_DOUBLINGS - 1} THEN {LONGEST_TRY_SECONDS} ELSE CASE tries {cases} END END"
