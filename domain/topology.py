"""What exists on the broker, as pure data: exchanges, queues with their arguments, bindings; all durable.

Every queue is a quorum queue. A queue that is worked on hands what was rejected, or delivered too often, to its dead
queue, at least once: the broker keeps the message until the dead queue has it. A dead queue parks: it is read by
people and by the consumer of dead commands, and lets nothing go by itself.

The arguments of a queue cannot be changed: whatever changes one gives the topology a new version and the queue a new
name, with both bound until the old one has run empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from domain.builtin import HEARTBEAT
from domain.errors import InputInvalid
from domain.ids import check_name

TOPOLOGY_VERSION: Final = 1

PREFIX: Final = "handrail."

GOALS_EXCHANGE: Final = f"{PREFIX}goals"
APPROVALS_EXCHANGE: Final = f"{PREFIX}approvals"
SIGNALS_EXCHANGE: Final = f"{PREFIX}signals"
CONTROL_EXCHANGE: Final = f"{PREFIX}control"
OUTCOMES_EXCHANGE: Final = f"{PREFIX}outcomes"
EVENTS_EXCHANGE: Final = f"{PREFIX}events"
DEAD_EXCHANGE: Final = f"{PREFIX}dead"
"""Where faults are published; the routing key is the queue that the message came from."""

COMMANDS_EXCHANGE: Final = f"{PREFIX}commands"
"""Where step commands are published; the routing key is the queue that the activity type declares."""

UNROUTED_EXCHANGE: Final = f"{PREFIX}unrouted"
"""Where the broker sends what outsiders published under a routing key that is bound to no queue."""

GOALS_QUEUE: Final = f"{PREFIX}goals"
APPROVALS_QUEUE: Final = f"{PREFIX}approvals"
SIGNALS_QUEUE: Final = f"{PREFIX}signals"
CONTROL_QUEUE: Final = f"{PREFIX}control"
OUTCOMES_QUEUE: Final = f"{PREFIX}outcomes"
UNROUTED_QUEUE: Final = f"{PREFIX}unrouted"
DEAD_COMMANDS_QUEUE: Final = f"{PREFIX}dead.commands"
"""Where what came to an activity queue and is no step command stays until a person looks: the others are consumed."""

ACTIVITY_PREFIX: Final = f"{PREFIX}activity."
"""Names of activity queues begin with it."""
DEAD_PREFIX: Final = f"{PREFIX}dead."
"""Names of dead queues begin with it."""

GOAL_KEY: Final = "goal"
CONTROL_KEY: Final = "control"
OUTCOME_KEY: Final = "outcome"

DEFAULT_ACTIVITY_QUEUE: Final = "default"
"""What an activity type that names no queue declares."""

DELIVERY_LIMIT: Final = 10
"""How often a message is delivered before the broker calls it dead."""
PARKED_DELIVERY_LIMIT: Final = 2_147_483_647
"""As good as none: RabbitMQ 4 gives 20 to a queue that says nothing, and drops what has no dead queue after that."""
MOST_ANNOUNCEMENTS: Final = 100_000
"""What waits for a listener at most: announcements can be asked for again, and must not fill the broker's disk."""

ArgumentValue = str | int
ExchangeKind = Literal["direct", "topic", "fanout"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange; what it cannot route goes to `alternate`, where there is one."""

    name: str
    kind: ExchangeKind
    alternate: str = ""

    @property
    def arguments(self) -> dict[str, ArgumentValue]:
        """As RabbitMQ wants them."""
        return {"alternate-exchange": self.alternate} if self.alternate else {}


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue."""

    name: str
    arguments: Mapping[str, ArgumentValue] = field(hash=False)


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """Messages of this exchange under this key go to this queue."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Listener:
    """Another service that listens to announcements, by a queue of its own: the keys that it wants, as patterns."""

    name: str
    keys: tuple[str, ...] = ("#",)


@dataclass(frozen=True, slots=True)
class Topology:
    """All that is declared in one virtual host."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    version: int = TOPOLOGY_VERSION


EXCHANGES: Final = (
    Exchange(GOALS_EXCHANGE, "direct", alternate=UNROUTED_EXCHANGE),
    Exchange(APPROVALS_EXCHANGE, "topic", alternate=UNROUTED_EXCHANGE),
    Exchange(SIGNALS_EXCHANGE, "topic", alternate=UNROUTED_EXCHANGE),
    Exchange(CONTROL_EXCHANGE, "direct", alternate=UNROUTED_EXCHANGE),
    Exchange(OUTCOMES_EXCHANGE, "direct", alternate=UNROUTED_EXCHANGE),
    # Published by Handrail alone: commands mandatory, so that what is unroutable comes back instead of going aside.
    Exchange(COMMANDS_EXCHANGE, "direct"),
    Exchange(EVENTS_EXCHANGE, "topic"),
    Exchange(DEAD_EXCHANGE, "direct"),
    Exchange(UNROUTED_EXCHANGE, "fanout"),
)

INTAKES: Final = (
    Binding(GOALS_EXCHANGE, GOALS_QUEUE, GOAL_KEY),
    Binding(APPROVALS_EXCHANGE, APPROVALS_QUEUE, "approval.#"),
    Binding(SIGNALS_EXCHANGE, SIGNALS_QUEUE, "#"),
    Binding(CONTROL_EXCHANGE, CONTROL_QUEUE, CONTROL_KEY),
    Binding(OUTCOMES_EXCHANGE, OUTCOMES_QUEUE, OUTCOME_KEY),
)


def activity_queue(queue: str) -> str:
    """The queue that carries the commands of the activity types that declare `queue`."""
    return f"{ACTIVITY_PREFIX}{check_name(queue, 'queue')}"


def binding_of(queue: str) -> Binding | None:
    """How messages come to a queue that is worked on; None where the queue is none of those."""
    if queue.startswith(ACTIVITY_PREFIX):
        return Binding(COMMANDS_EXCHANGE, queue, queue.removeprefix(ACTIVITY_PREFIX))
    return next((one for one in INTAKES if one.queue == queue), None)


def dead_queue(queue: str) -> str:
    """The queue where what is rejected from `queue` is parked; it is bound to the exchange of the dead under `queue`.

    Raises InputInvalid where that is none of Handrail's.
    """
    if not queue.startswith(PREFIX):
        raise InputInvalid(f"queue {queue[:80]!r} is none of Handrail's: their names begin with {PREFIX!r}")
    return f"{DEAD_PREFIX}{queue.removeprefix(PREFIX)}"


def listener_queue(name: str) -> str:
    """The queue by which a listener is told."""
    return f"{PREFIX}listener.{check_name(name, 'listener')}"


def topology_of(
    activity_queues: Iterable[str] = (DEFAULT_ACTIVITY_QUEUE,), listeners: Iterable[Listener] = ()
) -> Topology:
    """The topology that serves these activity queues (names as activity types declare them) and these listeners.

    The heartbeat's queue is always one of them.
    """
    names = sorted({HEARTBEAT, *activity_queues})
    commands = [Binding(COMMANDS_EXCHANGE, activity_queue(name), name) for name in names]
    worked = [*INTAKES, *commands]
    dead = [Binding(DEAD_EXCHANGE, dead_queue(one.queue), one.queue) for one in worked]
    parked = [
        *dead,
        Binding(DEAD_EXCHANGE, DEAD_COMMANDS_QUEUE, COMMANDS_EXCHANGE),
        Binding(UNROUTED_EXCHANGE, UNROUTED_QUEUE, ""),
    ]
    told = {
        Binding(EVENTS_EXCHANGE, listener_queue(listener.name), key) for listener in listeners for key in listener.keys
    }
    return Topology(
        exchanges=EXCHANGES,
        queues=(
            *(Queue(one.queue, worked_arguments(one.queue)) for one in worked),
            *(Queue(one.queue, PARKED_ARGUMENTS) for one in parked),
            *(Queue(name, LISTENER_ARGUMENTS) for name in sorted({one.queue for one in told})),
        ),
        bindings=(*worked, *parked, *sorted(told)),
    )


def worked_arguments(queue: str) -> dict[str, ArgumentValue]:
    """The arguments of a queue that is worked on."""
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": queue,
        # At least once needs the overflow that refuses: otherwise RabbitMQ silently does it at most once.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": DELIVERY_LIMIT,
    }


PARKED_ARGUMENTS: Final[Mapping[str, ArgumentValue]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": PARKED_DELIVERY_LIMIT,
}

LISTENER_ARGUMENTS: Final[Mapping[str, ArgumentValue]] = {
    "x-queue-type": "quorum",
    "x-max-length": MOST_ANNOUNCEMENTS,
    "x-overflow": "drop-head",
    "x-delivery-limit": DELIVERY_LIMIT,
}


def activity_queues_of(topology: Topology) -> Sequence[str]:
    """The activity queues of a topology, by the names that activity types declare."""
    return [one.key for one in topology.bindings if one.exchange == COMMANDS_EXCHANGE]
