"""Dead letters: what cannot be accepted is published to its dead queue with the reason, and only then acknowledged.

Whatever cannot be published now stays with the broker as a delivery; nothing is dropped. Only what is too large to be
published again is rejected instead: then the broker moves it itself, and cannot say why.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import BrokerUnavailable
from domain.faultpoints import reached
from domain.messages.faults import MOST_BURIED_BYTES, outgoing_fault
from domain.ports import Clock
from domain.transport import Delivery, Published, Publisher

_log: Final = logging.getLogger("handrail.consumers")


@dataclass(frozen=True, slots=True)
class Fault:
    """A delivery that cannot be accepted: the fault's short name, and the reason that a person reads."""

    delivery: Delivery
    fault: str
    reason: str


class Burial:
    """Moves deliveries to their dead queues. `consumer` is the name of this process's consumer in the fault headers."""

    def __init__(self, publisher: Publisher, *, consumer: str, clock: Clock) -> None:
        """Publish through this one."""
        self._publisher = publisher
        self._consumer = consumer
        self._clock = clock
        self.buried: Callable[[Sequence[Delivery]], Awaitable[None]] = _nobody
        """Hears of what lies in a dead queue now; raises nothing."""

    async def bury(self, faults: Sequence[Fault]) -> None:
        """Publish all of them, and acknowledge each that the broker has confirmed.

        Raises BrokerUnavailable where one was not confirmed: that one is not settled, and comes again.
        """
        too_large = [one for one in faults if len(one.delivery.body) > MOST_BURIED_BYTES]
        for one in too_large:
            _log.warning("rejected, too large to be given a reason: %s", one.reason, extra=_about(one.delivery))
            one.delivery.reject()
        burying = [one for one in faults if len(one.delivery.body) <= MOST_BURIED_BYTES]
        if not burying:
            return
        at = self._clock()
        messages = [
            outgoing_fault(one.delivery, fault=one.fault, reason=one.reason, consumer=self._consumer, at=at)
            for one in burying
        ]
        reached("publish.before")
        answers = await self._publisher.publish(messages)
        reached("publish.after")
        buried: list[Delivery] = []
        unconfirmed: list[tuple[Fault, Published]] = []
        for one, answer in zip(burying, answers, strict=True):
            if answer is Published.CONFIRMED:
                _log.warning("to the dead queue (%s): %s", one.fault, one.reason, extra=_about(one.delivery))
                one.delivery.acknowledge()
                buried.append(one.delivery)
            else:
                unconfirmed.append((one, answer))
        await self.buried(buried)
        if unconfirmed:
            one, answer = unconfirmed[0]
            raise BrokerUnavailable(
                f"{len(unconfirmed)} messages of {one.delivery.queue} cannot be moved to their dead queue "
                f"({answer.value}); they stay where they are: `handrail topology check` shows what is missing"
            )


def _about(delivery: Delivery) -> dict[str, str]:
    return {"message_id": delivery.message_id, "queue": delivery.queue}


async def _nobody(_: Sequence[Delivery]) -> None:
    """Nobody keeps what may be dead."""
