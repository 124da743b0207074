"""A publisher whose messages carry their trace context, and of whose sending spans tell."""

from __future__ import annotations

from collections.abc import Sequence

from domain.tracing import Traces
from domain.transport import Outgoing, Published, Publisher


class TracedPublisher:
    """The port `Publisher` before another one."""

    def __init__(self, publisher: Publisher, traces: Traces) -> None:
        """Send by this publisher."""
        self._publisher = publisher
        self._traces = traces

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        """As the port."""
        began = self._traces.instant()
        told = self._traces.outgoing(messages)
        answers: Sequence[Published] = ()
        try:
            answers = await self._publisher.publish(told)
        finally:
            if told:
                self._traces.published(began, told, answers)
        return list(answers)
