"""Goals that the broker has and the store has not: kept until their workflows begin, whichever process sends them on.

A broker's confirm is not yet acceptance. A goal that is answered before its workflow is in the store is written here
first; any process that serves HTTP sends it again, under the same message id, at doubling intervals. Its row goes when
its receipt is there, when its message is called dead, or after a week. Instants are those of the database's clock.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any, Final

from domain.backoff import ceiling_seconds
from domain.errors import StoreError, StoreUnavailable
from domain.ids import receipt_id
from domain.messages.names import GOAL_START
from domain.messages.reading import message_id_fault
from domain.ports import Aside, Transactions
from domain.store.covers import texts_of
from domain.topology import GOAL_KEY, GOALS_EXCHANGE, GOALS_QUEUE
from domain.transport import Delivery, Outgoing

GOALS_HELD_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS goals_held (
        receipt TEXT PRIMARY KEY, sender TEXT NOT NULL, message_id TEXT NOT NULL, digest TEXT NOT NULL,
        body TEXT NOT NULL, body_bytes BIGINT NOT NULL, held_at DOUBLE PRECISION NOT NULL, times BIGINT NOT NULL,
        next_try DOUBLE PRECISION NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS goals_held_due ON goals_held (next_try)",
)
"""`receipt` is the id of the receipt that the goal will leave, `digest` the one it will have; `sender` is the login
that sends it, and no other may: a workflow's id follows from it; `times` is how often it was sent again."""

MOST_HELD: Final = 10_000
MOST_HELD_BYTES: Final = 256 * 1024 * 1024
"""About how many goals, and how much of them, are held at most."""
AGAIN_AFTER_SECONDS: Final = 5.0
"""How long a goal may take to begin before it is sent again; doubled every time."""
LONGEST_PAUSE_SECONDS: Final = 3_600.0
GIVEN_UP_AFTER: Final = timedelta(days=7)
"""How long a goal is sent again; then its message is the broker's alone."""

_log: Final = logging.getLogger("handrail.http")


@dataclass(frozen=True, slots=True)
class HeldGoal:
    """A goal as it was sent, by whom; `times` is how often it was sent again."""

    receipt: str
    sender: str
    message_id: str
    digest: str
    body: str
    times: int = 0
    age_seconds: float = 0.0

    @classmethod
    def of(cls, message: Outgoing, *, sender: str, digest: str) -> HeldGoal:
        """The goal of a message that was sent by this login."""
        receipt = receipt_id("goal", sender, message.message_id)
        return cls(receipt, sender, message.message_id, digest, message.body.decode())

    @property
    def message(self) -> Outgoing:
        """The same message once more."""
        return Outgoing(GOALS_EXCHANGE, GOAL_KEY, self.message_id, GOAL_START, self.body.encode())

    @property
    def is_too_old(self) -> bool:
        """Whether it is not to be sent any more."""
        return self.age_seconds >= GIVEN_UP_AFTER.total_seconds()


class HeldGoals:
    """The table."""

    def __init__(self, store: Transactions) -> None:
        """Keep them in this store."""
        self._store = store

    def hold(self, goal: HeldGoal) -> str:
        """Hold a goal, which has just been sent; the digest under which its message id is held, its own or another's.

        Raises StoreUnavailable where it cannot be written, or where too many are held.
        """
        with self._store.transaction() as cursor:
            known = cursor.query("SELECT digest FROM goals_held WHERE receipt = ?", (goal.receipt,))
            if known:
                return str(known[0][0])
            size = len(goal.body.encode())
            ((held, held_bytes),) = cursor.query("SELECT count(*), coalesce(sum(body_bytes), 0) FROM goals_held")
            if held >= MOST_HELD or held_bytes + size > MOST_HELD_BYTES:
                raise StoreUnavailable(
                    f"{held} goals ({held_bytes} bytes) wait for their workflows to begin, and no more are held: "
                    "`handrail doctor` says whether the queue of goals is consumed"
                )
            now = cursor.now()
            cursor.execute(
                "INSERT INTO goals_held (receipt, sender, message_id, digest, body, body_bytes, held_at, times, "
                "next_try) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT (receipt) DO NOTHING",
                (
                    goal.receipt,
                    goal.sender,
                    goal.message_id,
                    goal.digest,
                    texts_of(self._store).hide(goal.body),
                    size,
                    now,
                    now + AGAIN_AFTER_SECONDS,
                ),
            )
            ((digest,),) = cursor.query("SELECT digest FROM goals_held WHERE receipt = ?", (goal.receipt,))
        return str(digest)

    def take(self, sender: str, limit: int) -> list[HeldGoal]:
        """Up to `limit` goals that this login is to send now, or that are too old; each to one process only.

        The next time is twice as far away, at most an hour.
        """

        def parameters(now: float) -> list[Any]:
            return [now, now, sender, now - GIVEN_UP_AFTER.total_seconds(), limit, now, now]

        # One statement, and a transaction by itself: a process asks for as long as it lives, mostly for nothing.
        rows = self._store.change(
            f"UPDATE goals_held SET times = times + 1, next_try = ? + {_PAUSE_NOW} "  # noqa: S608 - fixed parts
            "WHERE receipt IN (SELECT receipt FROM goals_held "
            "WHERE next_try <= ? AND (sender = ? OR held_at <= ?) ORDER BY next_try LIMIT ?) AND next_try <= ? "
            "RETURNING receipt, sender, message_id, digest, body, times - 1, ? - held_at",
            parameters,
        )
        show = texts_of(self._store).show
        taken = [replace(goal, body=show(goal.body)) for goal in (HeldGoal(*row) for row in rows)]
        return sorted(taken, key=lambda goal: -goal.age_seconds)

    def put_back(self, goals: Iterable[HeldGoal], *, seconds: float) -> None:
        """Have goals that were taken, and could not be sent, taken again in so many seconds."""
        with self._store.transaction() as cursor:
            until = cursor.now() + seconds
            cursor.executemany(
                "UPDATE goals_held SET times = ?, next_try = ? WHERE receipt = ?",
                [(goal.times, until, goal.receipt) for goal in goals],
            )

    def forget(self, goals: Iterable[HeldGoal]) -> None:
        """Hold these no more."""
        with self._store.transaction() as cursor:
            cursor.executemany("DELETE FROM goals_held WHERE receipt = ?", [(goal.receipt,) for goal in goals])

    def forget_dead(self, messages: Sequence[tuple[str, str]]) -> None:
        """Hold no more what was called dead: receipts and bodies, so that another body's goal under the id stays."""
        hide = texts_of(self._store).hide
        rows = [(receipt, body) for receipt, clear in messages for body in {clear, hide(clear)}]
        with self._store.transaction() as cursor:
            cursor.executemany("DELETE FROM goals_held WHERE receipt = ? AND body = ?", rows)


def forgetting(held: HeldGoals, aside: Aside) -> Callable[[Sequence[Delivery]], Awaitable[None]]:
    """For who moves messages to the dead queues: a goal that lies there is a person's to send again."""

    async def forget(deliveries: Sequence[Delivery]) -> None:
        dead = [pair for delivery in deliveries for pair in _held_as(delivery)]
        if not dead:
            return
        try:
            await aside(lambda: held.forget_dead(dead))
        except StoreError as error:
            _log.warning("%d dead goals may be sent, and called dead, once more: %s", len(dead), error)

    return forget


def _held_as(delivery: Delivery) -> Iterable[tuple[str, str]]:
    """Receipt and body under which a delivery may be held; nothing where it is no goal of a login's."""
    if delivery.queue != GOALS_QUEUE or not delivery.user_id or message_id_fault(delivery.message_id) is not None:
        return
    body = delivery.body.decode("utf-8", "replace")
    if "\x00" not in body:  # which PostgreSQL has in no text
        yield receipt_id("goal", delivery.user_id, delivery.message_id), body


def _pause(times: int) -> float:
    return ceiling_seconds(times + 1, first_seconds=AGAIN_AFTER_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)


def _doublings() -> int:
    """After how many times the pause grows no more."""
    return next(times for times in count() if _pause(times) == LONGEST_PAUSE_SECONDS)


_PAUSE_NOW: Final = " ".join(
    [
        "CASE times",
        *(f"WHEN {times} THEN {_pause(times + 1):g}" for times in range(_doublings())),
        f"ELSE {LONGEST_PAUSE_SECONDS:g} END",
    ]
)
"""How long a goal that is sent now may take, by how often it was sent again before."""
