"""A look at a broker over AMQP, as any login may have it: its version, and how long its queues are. Takes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from consumers.amqp import ANSWER_SECONDS, HEARTBEAT_SECONDS, REFUSED, UNFIT, Link
from consumers.bounded import within
from domain.broker_address import BrokerAddress, broker_trouble
from domain.errors import BrokerUnavailable

_NAME: Final = "handrail doctor"


@dataclass(frozen=True, slots=True)
class QueueLook:
    """A queue: messages that nobody holds, and who consumes it. `there` is None where the broker does not say."""

    there: bool | None
    messages: int = 0
    consumers: int = 0


class BrokerLook:
    """One connection to look through. Made with `async with`."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet. Raises InputInvalid where the address is none."""
        self.address = BrokerAddress.read(url)
        self._url = self.address.dialled(_NAME, HEARTBEAT_SECONDS)
        self._link: Link | None = None
        self._channel: Any = None
        """Open, and used for one look after the other: the broker closes it over a queue that is not there."""

    async def __aenter__(self) -> Self:
        """Connect; raises BrokerUnavailable."""
        self._link = link = Link(self._url)
        try:
            await link.open()
        except Exception as error:
            await link.close()
            raise BrokerUnavailable(
                f"{self.address.shown} is not reached: {broker_trouble(error)}; see that the broker runs, "
                "and that address, virtual host and password are right"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        if self._link is not None:
            await self._link.close()

    @property
    def version(self) -> str:
        """The broker's version, as it says."""
        return self._link.broker_version if self._link is not None else ""

    async def queue(self, name: str) -> QueueLook:
        """How a queue is. Raises BrokerUnavailable where the broker does not answer."""
        if self._link is None:
            raise BrokerUnavailable(f"{self.address.shown}: not connected")
        try:
            channel, self._channel = self._channel or await self._link.open_channel(), None
            try:
                declared = await within(ANSWER_SECONDS, channel.queue_declare(name, passive=True))
            except REFUSED:
                return QueueLook(None)
            except UNFIT:
                return QueueLook(there=False)
            self._channel = channel
        except Exception as error:  # whatever the library says of a connection that went
            raise BrokerUnavailable(f"{self.address.shown}: {broker_trouble(error)}") from error
        return QueueLook(there=True, messages=declared.message_count or 0, consumers=declared.consumer_count or 0)
