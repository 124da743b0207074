"""Sending a message until what follows from it is in the store.

A broker's confirm is not yet acceptance: its queues may be purged or lost before a consumer gets to the message. So the
same message, under the same message id, is sent again at growing intervals until the store has its receipt; a repeat is
harmless, since the receipt is what makes it one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from domain.backoff import Backoff
from domain.errors import BrokerUnavailable, BrokerUnfit
from domain.faultpoints import reached
from domain.transport import Outgoing, Published, Publisher

_log: Final = logging.getLogger("handrail.deploy")

Found = TypeVar("Found")

AGAIN_AFTER_SECONDS: Final = 5.0
"""How long a confirmed message may take to have an effect before it is sent again; doubled every time."""
LONGEST_PAUSE_SECONDS: Final = 300.0

_FIRST_LOOK_SECONDS: Final = 0.01
_LONGEST_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Sent(Generic[Found]):
    """What came of sending: what was found in the store, or None while the broker alone has the message.

    `times` is how often the message was sent.
    """

    found: Found | None
    times: int


class Sending:
    """Sends over one publisher."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        chance: Callable[[], float] = random.random,
        again_after_seconds: float = AGAIN_AFTER_SECONDS,
        why: Callable[[], str] = lambda: "",
    ) -> None:
        """`chance` spreads what many senders do at once; `why` says what keeps the publisher from the broker."""
        self._publisher = publisher
        self._why = why
        self._chance = chance
        self._again_after_seconds = again_after_seconds

    async def confirmed(self, message: Outgoing, *, timeout_seconds: float) -> int:
        """Send until the broker has it; how often it was sent.

        Raises BrokerUnfit where it never will, and BrokerUnavailable when the time is over.
        """
        backoff = Backoff(self._chance)
        times = 0
        said = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    times += 1
                    try:
                        reached("publish.before")
                        (published,) = await self._publisher.publish([message])
                        reached("publish.after")
                    except BrokerUnavailable as error:
                        said = str(error)
                    else:
                        if published is Published.CONFIRMED:
                            return times
                        said = published.value
                        if published in {Published.RETURNED, Published.UNFIT}:
                            raise BrokerUnfit(
                                f"message {message.message_id} to {message.exchange}: {said}; "
                                "`handrail topology check` says what is missing"
                            )
                    await asyncio.sleep(backoff.failed())
        except TimeoutError:
            raise BrokerUnavailable(
                f"message {message.message_id} was not confirmed within {timeout_seconds:g} s "
                f"({said or self._why() or 'the broker has not answered yet'}); "
                "send it again under the same message id: what was done is not done twice"
            ) from None

    async def until(
        self, message: Outgoing, look: Callable[[], Awaitable[Found | None]], *, timeout_seconds: float
    ) -> Sent[Found]:
        """Send, and send again, until `look` finds something; what it found, or nothing when the time is over.

        Raises what `look` raises, and BrokerUnfit or BrokerUnavailable where the broker never had the message. That no
        queue takes it any more, as while queues are deleted and declared anew, is waited out.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        times = await self.confirmed(message, timeout_seconds=timeout_seconds)
        again_after = self._again_after_seconds
        while True:
            left = deadline - asyncio.get_running_loop().time()
            pause = again_after * (0.75 + self._chance() / 2)
            found = await self._watch(look, min(pause, left))
            left = deadline - asyncio.get_running_loop().time()
            if found is not None or left <= 0:
                return Sent(found, times)
            _log.warning("message %s has had no effect yet: it is sent again", message.message_id)
            try:
                times += await self.confirmed(message, timeout_seconds=max(left, 0.1))
            except BrokerUnfit as error:
                _log.warning("%s; it had been confirmed before, and is sent again", error)
                times += 1
                continue
            except BrokerUnavailable as error:  # it had the message before, and may still have it
                _log.warning("%s", error)
                return Sent(await look(), times)
            again_after = min(2 * again_after, LONGEST_PAUSE_SECONDS)

    async def watch(self, look: Callable[[], Awaitable[Found | None]]) -> Found:
        """Look, at growing intervals, until something is found; the caller says for how long."""
        pause = _FIRST_LOOK_SECONDS
        while True:
            found = await look()
            if found is not None:
                return found
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)

    async def _watch(self, look: Callable[[], Awaitable[Found | None]], seconds: float) -> Found | None:
        """What is found within so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.watch(look)
        return None
