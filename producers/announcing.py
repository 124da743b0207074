"""Tells other services on `handrail.events` what happened: approvals requested, workflows begun and ended, trouble.

A message is made from the recorded event and what its workflow began with, and from nothing else: whoever tells of an
event again sends the same message, under the same id. Nobody need listen, so nothing comes back; only where a
listener's own queue is full, and refuses instead of dropping its oldest, does the broker refuse. Then the event is told
again later, to all who listen, and let go when that has gone on for long: a listener must not fill the store. The
timer asks again for approvals that are still pending, whatever became of what was told before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.builtin import is_hidden
from domain.events import STORED
from domain.faultpoints import reached
from domain.messages.announcements import announced, announcement_of
from domain.messages.writing import outgoing_announcement
from domain.recorded import RecordedEvent
from domain.transport import Outgoing, Published, Publisher
from producers.facts import WorkflowFacts
from producers.parked import Untold

TOLD: Final = frozenset(kind for kind in STORED.values() if announced(kind))
"""The events that others are told of."""


class BrokerAnnouncer:
    """Publishes announcements, all of a batch at once."""

    kinds = TOLD

    def __init__(self, publisher: Publisher) -> None:
        """Publish through this one."""
        self._publisher = publisher

    async def announce(
        self, told: Sequence[tuple[RecordedEvent, WorkflowFacts]]
    ) -> Sequence[tuple[RecordedEvent, str]]:
        """Tell of these events; those that the broker has not confirmed, and why. Raises BrokerError."""
        messages: list[Outgoing] = []
        sources: list[RecordedEvent] = []
        for recorded, facts in told:
            if is_hidden(facts.definition):
                continue
            announcement = announcement_of(recorded, facts)
            if announcement is not None:
                messages.append(outgoing_announcement(announcement, causation_id=recorded.cause))
                sources.append(recorded)
        reached("publish.before")
        answers = await self._publisher.publish(messages)
        reached("publish.after")
        return [
            (recorded, _why(message, answer))
            for recorded, message, answer in zip(sources, messages, answers, strict=True)
            if answer not in _HARMLESS
        ]


def _why(message: Outgoing, answer: Published) -> str:
    """Why an announcement was not told. The broker does not say which of the queues that it goes to refused it."""
    if answer is Published.REFUSED:
        return Untold(f"a queue that is bound to {message.exchange} under {message.routing_key!r} is full and refuses")
    return f"told to nobody: {answer.value}"


_HARMLESS: Final = frozenset({Published.CONFIRMED, Published.RETURNED})
"""What needs no second try: a message that nobody listens to is as good as told."""
