"""What the broker says of the queues that commands lie in: asked now and then, for judging what is stuck.

The answer is no part of the log, so it is kept with the instant at which it was given: one that is old is not used, and
its age is a metric of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from consumers.looking import BrokerLook, QueueLook
from domain.definitions import Definition
from domain.errors import BrokerUnavailable
from domain.ports import Clock
from domain.topology import (
    ACTIVITY_PREFIX,
    DEAD_COMMANDS_QUEUE,
    INTAKES,
    UNROUTED_QUEUE,
    activity_queue,
    dead_queue,
)
from projections.stuck import QueueFacts

_log: Final = logging.getLogger("handrail.deploy")

LOOK_SECONDS: Final = 10.0
"""How often the broker is asked."""
MOST_QUEUES: Final = 1_000
"""Queues asked about at most."""
OLD_SECONDS: Final = 60.0
"""From when on an answer says nothing any more."""


class QueueWatch:
    """Asks one broker about queues, for as long as it runs."""

    def __init__(self, url: str, clock: Clock, *, told: Collection[str] = ()) -> None:
        """Ask about nothing yet: `now` says which queues are of interest, beside those `told` of all the time.

        The latter are by the broker's own names.
        """
        self._url = url
        self._clock = clock
        self._wanted: dict[str, None] = {}
        self._told = list(told)[:MOST_QUEUES]
        self._known: dict[str, QueueFacts] = {}
        self._said: dict[str, QueueFacts] = {}
        self._failing = False
        self._emptied: dict[str, datetime] = {}
        """Since when the queues that are empty have been so at every look."""
        self._served: dict[str, datetime | None] = {}
        """The queues that had consumers once, and since when they have none (None: they have some)."""
        self.asked_at: float | None = None
        """When the broker last answered, in seconds since 1970."""

    def now(self, queues: Collection[str]) -> Mapping[str, QueueFacts]:
        """What is known of activity queues, by the names that activity types declare; they are asked about from now on.

        Nothing where the broker has not answered lately.
        """
        for name in sorted(queues):
            self._wanted[name] = None
        while len(self._wanted) > MOST_QUEUES:
            del self._wanted[next(iter(self._wanted))]
        return self._known if self._is_new() else {}

    def told(self) -> tuple[float, Mapping[str, QueueFacts]]:
        """When the broker last said anything (0: never), and how the queues are that are told of, by their names."""
        return self.asked_at or 0.0, self._said if self._is_new() else {}

    def _is_new(self) -> bool:
        return self.asked_at is not None and self._clock().timestamp() - self.asked_at <= OLD_SECONDS

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                async with BrokerLook(self._url) as look:
                    if self._failing:
                        _log.info("the broker says again how its queues are")
                    self._failing = False
                    while True:
                        await self._ask(look)
                        await asyncio.sleep(LOOK_SECONDS)
            except BrokerUnavailable as error:
                if not self._failing:
                    _log.warning("how queues are is not known, and no cause of being stuck rests on it: %s", error)
                self._failing = True
                await asyncio.sleep(LOOK_SECONDS)

    async def _ask(self, look: BrokerLook) -> None:
        said: dict[str, QueueFacts] = {}
        asked = dict.fromkeys((*self._told, *map(activity_queue, list(self._wanted))))
        for queue in asked:
            now = self._clock()
            looked = await look.queue(queue)
            facts = facts_of(looked)
            if facts is not None:
                said[queue] = replace(
                    facts,
                    asked_at=now,
                    unserved_since=self._unserved_since(queue, looked, now),
                    empty_since=self._empty_since(queue, facts, now),
                )
        self._served = {queue: since for queue, since in self._served.items() if queue in asked}
        self._emptied = {queue: since for queue, since in self._emptied.items() if queue in asked}
        # Those told of are known before anybody asks: whoever judges for the first time need not come again.
        of_activities = (queue for queue in said if queue.startswith(ACTIVITY_PREFIX))
        self._known = {queue.removeprefix(ACTIVITY_PREFIX): said[queue] for queue in of_activities}
        self._said = {queue: said[queue] for queue in self._told if queue in said}
        self.asked_at = self._clock().timestamp()

    def _empty_since(self, queue: str, facts: QueueFacts, now: datetime) -> datetime | None:
        """Since when a queue has been empty; None where it is not."""
        if facts.messages:
            self._emptied.pop(queue, None)
            return None
        return self._emptied.setdefault(queue, now)

    def _unserved_since(self, queue: str, looked: QueueLook, now: datetime) -> datetime | None:
        """Since when a queue has had no consumers; None where it has some, or nobody here has known it otherwise.

        One that was not there can have had none: its time begins when it is there.
        """
        if looked.consumers or not looked.there:
            self._served[queue] = None
        elif queue in self._served:
            self._served[queue] = self._served[queue] or now
        return self._served.get(queue)


def facts_of(look: QueueLook) -> QueueFacts | None:
    """What a look at a queue says; None where the broker does not say. A queue that is not there has no consumers."""
    if look.there is None:
        return None
    return QueueFacts(look.consumers, look.messages) if look.there else QueueFacts(0)


def watched_queues(definitions: Iterable[Definition]) -> list[str]:
    """The queues of all loaded activity types and of our own roles, and their dead ones, by the broker's names."""
    activities = {
        activity_queue(declared.queue) for definition in definitions for declared in definition.activities.values()
    }
    worked = (*sorted(activities), *(intake.queue for intake in INTAKES))
    return [*worked, *map(dead_queue, worked), DEAD_COMMANDS_QUEUE, UNROUTED_QUEUE]
