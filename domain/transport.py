"""The broker as the rooms see it: messages out, deliveries in, as small protocols; no client library shows.

`producers/publisher.py` (with `link.py`) and `consumers/amqp.py` speak to RabbitMQ; everyone else speaks these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from domain.faultpoints import reached

HeaderValue = str | int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish: persistent, JSON, with a confirm awaited.

    A `mandatory` one that no queue takes comes back. `user_id` is the publisher's own login unless it is given; only
    a login with the broker's tag `impersonator` may give another's; an empty one is none: the broker vouches for
    nobody. `correlation_id` is the workflow's id.
    """

    exchange: str
    routing_key: str
    message_id: str
    type: str
    body: bytes
    correlation_id: str = ""
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    mandatory: bool = True
    user_id: str | None = None


class Published(Enum):
    """What the broker said of a message."""

    CONFIRMED = "the broker has it"
    RETURNED = "no queue takes it: the routing key is bound to none"
    REFUSED = "the broker would not have it: its queue is full"
    UNFIT = "the broker cannot take it: its exchange or the right to write there is missing, or it is malformed"
    UNANSWERED = "the broker did not answer in time: it may have it or not"


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """Whether the broker is reached, since when, and what was last said about it."""

    connected: bool
    since: datetime
    detail: str = ""


class QueueState(Enum):
    """What a consumer does with one queue."""

    CONSUMING = "consuming"
    PAUSED = "paused: there is no room for more"
    WAITING = "waiting for the store"
    MISSING = "the queue is missing, or the right to read it"
    DISCONNECTED = "the broker is not reached"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """How one queue is served, since when; `held` deliveries are not settled yet."""

    queue: str
    state: QueueState
    since: datetime
    detail: str = ""
    held: int = 0


class Publisher(Protocol):
    """Carries messages to the broker."""

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        """What became of each, in their order, within a bounded time.

        Raises BrokerUnavailable where there is no connection; then the broker may have some of them.
        """
        ...


@dataclass(slots=True)
class Delivery:
    """One message as it was delivered. Properties that the sender left out are empty.

    It is settled once; a second time, or after its connection has gone, does nothing: then the broker delivers it
    again, and whoever decides on it finds the receipt of the first time.
    """

    queue: str
    body: bytes
    message_id: str = ""
    type: str = ""
    user_id: str = ""
    app_id: str = ""
    correlation_id: str = ""
    content_type: str = ""
    exchange: str = ""
    routing_key: str = ""
    headers: Mapping[str, object] = field(default_factory=dict)
    timestamp: datetime | None = None
    redelivered: bool = False
    settle: Callable[[bool], None] = field(default=lambda _: None, repr=False, compare=False)
    """Given by the transport: True acknowledges, False rejects to the dead queue."""
    give_back: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    """Given by the transport: the broker delivers it again, to whomever it likes."""

    def acknowledge(self) -> None:
        """The message is done with: the broker may forget it."""
        reached("acknowledge.before")
        self.settle(True)  # noqa: FBT003 - the transport's one switch
        reached("acknowledge.after")

    def reject(self) -> None:
        """The broker moves the message to the dead queue of its queue, without a reason: the last resort."""
        reached("acknowledge.before")
        self.settle(False)  # noqa: FBT003 - as above
        reached("acknowledge.after")


class Intake(Protocol):
    """What a role does with the deliveries of one queue; told of all that are at hand, it settles each in time."""

    async def __call__(self, deliveries: Sequence[Delivery], /) -> None:
        """Raises StoreUnavailable or BrokerUnavailable where nothing can be done now: the rest stays unsettled.

        Whoever called then stops consuming, keeps what it holds, and calls again with the same when the trouble is
        over, or lets the deliveries go so that the broker delivers them again.
        """
        ...
