"""Sends a heartbeat now and then, and notes when one has completed: a part of the timer's role, led by one process.

A heartbeat is a goal message under an id that follows from its number, so that sending it again repeats nothing. The
next one is sent only when the views show that the one before has ended: what is broken is not filled up. It asks nobody
whether that is so between two instants at which something is to be done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from deploy.sending import Sending
from deploy.serving.heartbeat_fact import ChangeFact, Known, read_fact
from deploy.serving.pruning import prune
from domain.builtin import HEARTBEAT
from domain.errors import BrokerError, FenceMissed, StoreError
from domain.messages.bodies import Goal
from domain.messages.writing import outgoing_goal
from domain.ports import Aside, Clock
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.transport import Publisher
from projections.heartbeat import Beaten, HeartbeatCompleted, heartbeat_ended

_log: Final = logging.getLogger("handrail.deploy")

GOAL: Final = "handrail heartbeat"
LOOK_SECONDS: Final = 10.0
"""How long after it was sent a heartbeat is looked for; sooner where the next one is due soon."""
CONFIRMED_SECONDS: Final = 10.0
"""How long the broker may take to have it."""
FIRST_AGAIN: Final = timedelta(minutes=10)
LONGEST_AGAIN: Final = timedelta(hours=1)
"""When one that the store does not have is sent again: its message may have been lost with its queue."""
PRUNED_EVERY: Final = timedelta(hours=1)


class Heartbeat:
    """One process's part in it. `run` is run by the process that leads."""

    def __init__(
        self,
        *,
        store: WorkflowStore,
        publisher: Publisher,
        login: str,
        clock: Clock,
        every_seconds: float,
        aside: Aside = inline,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is sent before `run`; `login` is the broker's, in whose name `publisher` sends."""
        self._store = store
        self._sending = Sending(publisher)
        self._login = login
        self._clock = clock
        self._every = timedelta(seconds=every_seconds)
        self._aside = aside
        self._pause = pause
        self._known: Known | None = None
        self._ended = False
        self._begun_at: datetime | None = None
        self._again_at: datetime | None = None
        self._again_after = FIRST_AGAIN
        self._prune_at: datetime | None = None

    async def run(self) -> None:
        """Send until cancelled. Raises FenceMissed where another process does."""
        self._forget()
        while True:
            seconds = self._every.total_seconds()
            try:
                seconds = await self.beat()
            except FenceMissed:
                raise
            except (StoreError, BrokerError) as error:
                self._forget()
                _log.warning("no heartbeat for now: %s", error)
            await self._pause(seconds)

    async def beat(self) -> float:
        """Do what is to be done now; for how many seconds nothing is. Raises StoreError, BrokerError."""
        if self._known is None:
            self._known = await self._aside(lambda: read_fact(self._store))
            self._ended = self._known.fact.number == 0
        known, now = self._known, self._clock()
        if not self._ended:
            ended = await self._aside(lambda: self._look(known))
            if ended is None:
                await self._send_again(known, now)
                return self._every.total_seconds()
            self._ended = True
        self._begun_at = self._begun_at or now
        due = (known.fact.sent_at or self._begun_at) + self._every
        if now < due:
            await self._prune(known, now)
            return (due - now).total_seconds()
        change = ChangeFact(known, known.fact.sent(self._login, now))
        await self._aside(lambda: self._store.run(change))
        self._known, self._ended = change.known, False
        self._again_after = FIRST_AGAIN
        await self._publish(change.known, now)
        return min(LOOK_SECONDS, self._every.total_seconds() / 2)

    # --- details ----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Ask the store before anything is done again."""
        self._known = self._again_at = None

    def _look(self, known: Known) -> Beaten | None:
        """How the last one ended, if it has: when it completed is noted."""
        ended = heartbeat_ended(self._store.query, known.fact.workflow_id(known.fact.number))
        if ended is not None and ended.completed:
            self._store.run(HeartbeatCompleted(ended.at))
        return ended

    async def _send_again(self, known: Known, now: datetime) -> None:
        """Send the last one once more where the store does not have it, at growing intervals."""
        if self._again_at is not None and now < self._again_at:
            return
        workflow_id = known.fact.workflow_id(known.fact.number)
        if await self._aside(lambda: self._store.exists(workflow_id)):
            self._again_at = now + LONGEST_AGAIN
            return
        await self._publish(known, now)

    async def _publish(self, known: Known, now: datetime) -> None:
        goal = Goal(goal=GOAL, definition=HEARTBEAT)
        message = outgoing_goal(goal, message_id=known.fact.message_id(known.fact.number))
        await self._sending.confirmed(message, timeout_seconds=CONFIRMED_SECONDS)
        self._again_at = now + self._again_after
        self._again_after = min(2 * self._again_after, LONGEST_AGAIN)

    async def _prune(self, known: Known, now: datetime) -> None:
        """Remove what is old, once in a while; what cannot be removed now is tried later."""
        if self._prune_at is not None and now < self._prune_at:
            return
        self._prune_at = now + PRUNED_EVERY
        try:
            self._known = await self._aside(lambda: prune(self._store, known, now))
        except FenceMissed:
            raise
        except StoreError as error:
            self._forget()
            _log.warning("old heartbeats are not removed for now: %s", error)
