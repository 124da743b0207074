"""Dead letters, looked at and acted upon: sent again as they were, or thrown away, by somebody and for a reason.

Messages are held while they are looked at, and return to their queues afterwards (`consumers.dead_queues`). One is
acknowledged only when what was to become of it is certain: the broker has confirmed it where it was sent, and the act
is in the store, where there is one. Whatever goes wrong in between leaves it where it was; then it may be there twice,
which is harmless: a replay has the message id that it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from consumers.dead_queues import QUIET_SECONDS, DeadQueues
from deploy.dead_acts import Act, Why, act_on, keep_acts
from domain.errors import BrokerError, BrokerUnfit, InputInvalid
from domain.faultpoints import reached
from domain.messages.faults import DeadLetter, outgoing_replay, read_dead_letter
from domain.messages.names import Fault
from domain.ports import Transactions
from domain.topology import DEAD_PREFIX, PREFIX, UNROUTED_QUEUE, Topology
from domain.transport import Delivery, Outgoing, Published
from producers.publisher import AmqpPublisher

MOST_HELD: Final = 10_000
"""Dead letters that are looked at at once."""
HELD_SECONDS: Final = 600.0
"""How long they may be held: RabbitMQ takes back what is not acknowledged within half an hour."""
_AT_ONCE: Final = 64
_REFUSED: Final = "ACCESS_REFUSED"
"""RabbitMQ's word for a right that is missing."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: as it lies in its queue, and what it says."""

    delivery: Delivery
    said: DeadLetter


@dataclass(slots=True)
class Reading:
    """What the dead queues hold. `more` is what was left in them, by queue; `troubles` is what could not be read."""

    letters: list[Letter] = field(default_factory=list)
    more: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """The queues that this login may not read."""


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of one queue with the same fault; instants are texts in ISO 8601, empty where nobody said."""

    queue: str
    fault: str
    count: int
    first: str
    last: str
    example: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant: those that fit every kind of filter given."""

    message_ids: Collection[str] = ()
    faults: Collection[str] = ()
    queues: Collection[str] = ()

    def fits(self, letter: Letter) -> bool:
        """Whether this one is meant."""
        return (
            (not self.message_ids or letter.delivery.message_id in self.message_ids)
            and (not self.faults or letter.said.fault in self.faults)
            and (not self.queues or letter.delivery.queue in self.queues)
        )


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one: the act, or why there was none."""

    letter: Letter
    act: Act | None
    trouble: str = ""


class DeadDesk:
    """Works on dead queues as an operator's login. Made with `async with`; on its end the rest returns."""

    def __init__(
        self,
        url: str,
        store: Transactions | None = None,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Acts are kept in `store`; `pause` waits so many seconds. Raises InputInvalid where the address is none."""
        self._queues = DeadQueues(url, name="handrail dead letters")
        self._publisher = AmqpPublisher(url, name="handrail dead letters")
        self._store = store
        self._pause = pause
        self._closed: dict[tuple[str, bool], str] = {}

    async def __aenter__(self) -> Self:
        """Connect; raises BrokerUnavailable."""
        await self._queues.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let everything return that was not acted upon."""
        await self._publisher.close()
        await self._queues.close()

    async def read(self, queues: Iterable[str], most: int = MOST_HELD) -> Reading:
        """Hold what lies in these queues, `most` at most; one that cannot be read is a trouble of that one alone.

        What another connection held until just now is not counted by the broker before it has returned: queues that
        seem empty are asked once more, after QUIET_SECONDS.
        """
        reading = Reading()
        seem_empty = await self._read(queues, most, reading)
        if seem_empty:
            await self._pause(QUIET_SECONDS)
            await self._read(seem_empty, most, reading)
        return reading

    async def replay(self, letters: Sequence[Letter], why: Why, *, rate: float | None = None) -> AsyncIterator[Done]:
        """Send these again, `rate` a second at most; what became of each, as it is known.

        Raises BrokerUnavailable and StoreUnavailable: then the rest was not sent, or was and is still there too.
        """
        await self._publisher.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        size = _AT_ONCE if rate is None else 1
        for start in range(0, len(letters), size):
            if rate is not None:
                await asyncio.sleep(max(0.0, began + start / rate - loop.time()))
            for done in await self._sent(letters[start : start + size], why):
                yield done

    async def discard(self, letters: Sequence[Letter], why: Why) -> AsyncIterator[Done]:
        """Throw these away for good: each is given out before the broker is told to forget it.

        Raises BrokerUnavailable and StoreUnavailable: then the rest is still there.
        """
        for start in range(0, len(letters), _AT_ONCE):
            chunk = letters[start : start + _AT_ONCE]
            acts = [act_on("discarded", one.delivery, one.said, why) for one in chunk]
            await asyncio.to_thread(keep_acts, self._store, acts)
            for letter, act in zip(chunk, acts, strict=True):
                yield Done(letter, act)
            await self._queues.acknowledge([one.delivery for one in chunk])

    async def _read(self, queues: Iterable[str], most: int, reading: Reading) -> list[str]:
        """Add to a reading what these queues hold; those in which nothing is."""
        empty = []
        for queue in queues:
            try:
                held = await self._queues.hold(queue, most - len(reading.letters))
            except BrokerError as error:
                reading.troubles.append(str(error))
                if isinstance(error, BrokerUnfit) and _REFUSED in str(error):
                    reading.refused.append(queue)
                continue
            reading.letters += [Letter(one, read_dead_letter(one)) for one in held.deliveries]
            if held.more:
                reading.more[queue] = held.more
            elif not held.deliveries:
                empty.append(queue)
        return empty

    async def _sent(self, letters: Sequence[Letter], why: Why) -> list[Done]:
        """Send these together; acknowledge each that the broker has confirmed and the store has noted."""
        done: list[Done] = []
        sending: list[tuple[Letter, Outgoing]] = []
        for letter in letters:
            try:
                message = self._replayed(letter)
            except InputInvalid as error:
                done.append(Done(letter, None, str(error)))
                continue
            sending.append((letter, message))
        reached("publish.before")
        answers = await self._publisher.publish([message for _, message in sending])
        reached("publish.after")
        confirmed: list[Letter] = []
        for (letter, message), answer in zip(sending, answers, strict=True):
            if answer is Published.CONFIRMED:
                confirmed.append(letter)
            else:
                done.append(Done(letter, None, await self._why_not(message, answer)))
        acts = [act_on("replayed", one.delivery, one.said, why) for one in confirmed]
        await asyncio.to_thread(keep_acts, self._store, acts)
        await self._queues.acknowledge([one.delivery for one in confirmed])
        return [*done, *(Done(letter, act) for letter, act in zip(confirmed, acts, strict=True))]

    def _replayed(self, letter: Letter) -> Outgoing:
        """The message to send; raises InputInvalid where it cannot be sent."""
        if not letter.delivery.message_id or letter.said.fault == Fault.MESSAGE_ID_MISSING:
            raise InputInvalid("it has no message id, so that nobody could tell a repeat: have its sender send it anew")
        message = outgoing_replay(letter.delivery)
        closed = self._closed.get(self._kind(message))
        if closed is not None:
            raise InputInvalid(closed)
        return message

    def _kind(self, message: Outgoing) -> tuple[str, bool]:
        """What the broker's answer depends on: where to, and whether in another's name."""
        return message.exchange, bool(message.user_id) and message.user_id != self._queues.address.login

    async def _why_not(self, message: Outgoing, answer: Published) -> str:
        if answer is not Published.UNFIT:
            return f"{answer.value}; it stays where it is: `handrail doctor` says what is the matter"
        login = self._queues.address.login
        exchange, foreign = self._kind(message)
        if await self._queues.exchange_is_there(exchange) is False:
            said = f"exchange {exchange} is not there: `handrail topology apply` declares it"
        elif foreign:
            said = (
                f"{login} may not send it in the name of {message.user_id!r}, or may not write {exchange}: it needs "
                "the broker's tag impersonator and the rights of the role operator; give them with `handrail topology "
                "apply --credentials FILE`, or name such a login in HANDRAIL_BROKER_OPERATOR"
            )
        else:
            said = f"{login} may not write {exchange}: it needs the rights of the role operator"
        self._closed[exchange, foreign] = said
        return said


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """By queue and fault, the largest first."""
    found: dict[tuple[str, str], list[Letter]] = {}
    for letter in letters:
        found.setdefault((letter.delivery.queue, letter.said.fault), []).append(letter)
    groups = []
    for (queue, fault), members in found.items():
        instants = sorted(one.said.at for one in members if one.said.at)
        groups.append(
            Group(
                queue,
                fault,
                len(members),
                instants[0] if instants else "",
                instants[-1] if instants else "",
                members[0].said.reason,
                members[0].delivery.message_id,
            )
        )
    return sorted(groups, key=lambda group: (-group.count, group.queue, group.fault))


def dead_queues_of(topology: Topology) -> list[str]:
    """The queues of a topology that dead letters lie in."""
    return [one.name for one in topology.queues if is_dead_queue(one.name)]


def is_dead_queue(name: str) -> bool:
    """Whether dead letters lie in a queue of this name."""
    return name.startswith(DEAD_PREFIX) or name == UNROUTED_QUEUE


def dead_queue_named(given: str, known: Collection[str]) -> str | None:
    """The dead queue that is meant by its name, by that of its source, or by either without `handrail.`; or None."""
    bare = given.removeprefix(PREFIX)
    tried = (given, f"{PREFIX}{bare}", f"{DEAD_PREFIX}{bare}", f"{DEAD_PREFIX}activity.{bare}")
    return next((name for name in tried if name in known), None)


def as_dict(letter: Letter, body: Any) -> dict[str, Any]:
    """A dead letter for JSON, with its body as it is to be shown."""
    delivery, said = letter.delivery, letter.said
    return {
        "message_id": delivery.message_id,
        "queue": delivery.queue,
        "fault": said.fault,
        "reason": said.reason,
        "at": said.at,
        "consumer": said.consumer,
        "from_queue": said.queue,
        "exchange": said.exchange,
        "routing_key": said.routing_key,
        "user_id": said.user_id,
        "app_id": said.app_id,
        "replays": said.replays,
        "type": delivery.type,
        "correlation_id": delivery.correlation_id,
        "content_type": delivery.content_type,
        "timestamp": None if delivery.timestamp is None else delivery.timestamp.isoformat(),
        "headers": {
            name: value if isinstance(value, str | int) else str(value) for name, value in delivery.headers.items()
        },
        "bytes": len(delivery.body),
        **body,
    }
