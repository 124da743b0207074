"""Held messages answered later: taken in again by a process that has the definition which they wait for.

A held message goes through an intake like any delivery: its receipt is looked for, its sender's rights are looked up
anew, and it is decided on in its sender's name. Settled means, for a row, that it goes. A process that dies in between
leaves the row; the next one finds the receipt, and only takes the row away. So a message is decided on once, however
often it is taken. One that has become too old is taken in by whoever finds it: decided on, or moved to its dead queue.

A process looks when it begins, and when it is told that the log has grown or that something is held: with one
statement, and not too often. Otherwise it looks now and then, for what it was not told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from consumers.held_messages import HeldMessage, HeldMessages, held_too_long
from consumers.intake import Missing
from consumers.sweep import Hearing
from domain.errors import BrokerError, DefinitionMissing, StoreError
from domain.transport import Delivery, Intake

_log: Final = logging.getLogger("handrail.consumers")

LOOK_SECONDS: Final = 5.0
"""A process looks no more often than this."""
SELDOM_SECONDS: Final = 30.0
"""It looks at least as often as this: what it was to be told may have been lost on the way."""
MESSAGES_AT_ONCE: Final = 50
"""Each may have a quarter of a megabyte."""


class LaterAnswers:
    """One process's part in it. `intakes` are those of the queues that it serves; `run` runs beside them.

    Its intakes have it for their `holding`: what still lacks its definition stays where it is.
    """

    def __init__(
        self, held: HeldMessages, known: Collection[str], *, hearers: list[Callable[[], None]] | None = None
    ) -> None:
        """`known` are the definitions that are loaded here, as "name version"; `hearers` hear of news in the store."""
        self.intakes: dict[str, Intake] = {}
        self._held = held
        self._known = list(known)
        self._hearers = hearers if hearers is not None else []
        self._taken: dict[str, HeldMessage] = {}
        self._staying: set[str] = set()

    async def run(self) -> None:
        """Take in what can be decided on here, until cancelled."""
        hearing = Hearing()
        self._hearers.append(hearing.heard)
        try:
            while True:
                hearing.begin()
                left = await self._look()
                await asyncio.sleep(LOOK_SECONDS)
                if not left:
                    await hearing.within(SELDOM_SECONDS - LOOK_SECONDS)
        finally:
            self._hearers.remove(hearing.heard)

    async def once(self) -> tuple[int, int]:
        """Take in a few: how many were found, and how many of them are held still. Raises StoreError, BrokerError."""
        found = await self._held.take(list(self.intakes), self._known, MESSAGES_AT_ONCE)
        if not found:
            return 0, 0
        self._taken = {one.receipt: one for one in found}
        self._staying = set()
        settled: set[str] = set()
        try:
            for queue, deliveries in self._deliveries(found, settled).items():
                await self.intakes[queue](deliveries)
        finally:
            over = settled - self._staying
            if over:
                await self._held.forget(over)
        staying = len(found) - len(over)
        _log.info("%d held messages were taken in, %d of them are held still", len(found), staying)
        return len(found), staying

    async def hold(self, missing: Sequence[Missing[Any]], /) -> Mapping[str, str | DefinitionMissing]:
        """As the port, for what this has taken: it stays held, unless it has become too old."""
        said: dict[str, str | DefinitionMissing] = {}
        for message, why in missing:
            receipt = message.receipt.message_id
            one = self._taken[receipt]
            if one.is_too_old:
                said[receipt] = held_too_long(why)
            else:
                self._staying.add(receipt)
                said[receipt] = one.digest
        return said

    async def _look(self) -> bool:
        """Take in all there is; whether something is left to be tried soon."""
        left = False
        try:
            found = MESSAGES_AT_ONCE
            while found == MESSAGES_AT_ONCE:
                found, staying = await self.once()
                left = left or staying > 0
        except (StoreError, BrokerError) as error:
            _log.warning("held messages are taken in later: %s", error)
            left = True
        return left

    @staticmethod
    def _deliveries(found: Sequence[HeldMessage], settled: set[str]) -> dict[str, list[Delivery]]:
        """By queue. Whichever way one is settled, it is in the record or in a dead queue by then."""
        deliveries: dict[str, list[Delivery]] = {}
        for one in found:
            deliveries.setdefault(one.queue, []).append(one.delivery(_noting(settled, one.receipt)))
        return deliveries


def _noting(settled: set[str], receipt: str) -> Callable[[bool], None]:
    return lambda _: settled.add(receipt)
