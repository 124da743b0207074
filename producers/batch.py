"""The messages of one call of a publisher, what became of each, and which of them a broker closes channels over.

A broker that cannot take a message at all closes the channel without saying over which one. `single_out` sends the
messages again on channels of their own, in ever smaller groups, until the one at fault is alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from domain.transport import Outgoing, Published

NOT_FOUND: Final = 404
ACCESS_REFUSED: Final = 403
SUSPECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the broker closed a channel: its code and its words."""

    code: int
    words: str


class Batch:
    """The messages of one call and their answers.

    `woken` is set when all that are awaited have one, or when the channel that some of them went over is gone.
    """

    __slots__ = ("answers", "awaited", "left", "messages", "sent", "woken")

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        """No answers yet."""
        self.messages = messages
        self.answers: list[Published | None] = [None] * len(messages)
        self.left = len(messages)
        self.awaited = 0
        self.sent = False
        self.woken = asyncio.Event()

    def expect(self, numbers: Sequence[int]) -> None:
        """Wake up as soon as these have answers; no two groups of a batch are on their way at once."""
        self.woken.clear()
        self.awaited = sum(self.answers[number] is None for number in numbers)
        if not self.awaited:
            self.woken.set()

    def answer(self, number: int, answer: Published) -> None:
        """Keep what became of one; only the first answer counts."""
        if self.answers[number] is None:
            self.answers[number] = answer
            self.left -= 1
            self.awaited -= 1
            if not self.awaited:
                self.woken.set()

    def unanswered(self) -> list[int]:
        """The numbers of those without an answer."""
        if self.left == len(self.answers):
            return list(range(self.left))
        return [number for number, answer in enumerate(self.answers) if answer is None]


class Carrier(Protocol):
    """A channel, as far as those on their way on it know it."""

    pending: dict[int, Slot]

    def ended(self, slot: Slot, error: BaseException | None) -> None:
        """The broker has taken the message, or said why not."""
        ...


class Slot:
    """One message on its way. It stands in the place of a future in the library's table of confirms."""

    __slots__ = ("batch", "carrier", "number", "tag")

    def __init__(self, carrier: Carrier, tag: int, batch: Batch, number: int) -> None:
        """Keep whose it is and under which tag it is confirmed."""
        self.carrier = carrier
        self.tag = tag
        self.batch = batch
        self.number = number

    def done(self) -> bool:
        """Whether its answer is known, or awaited no longer."""
        return self.tag not in self.carrier.pending

    def cancelled(self) -> bool:
        """Whether an answer that comes when it is done is nothing to wonder about: so it is always."""
        return True

    def set_result(self, _: object) -> None:
        """The broker has it."""
        self.carrier.ended(self, None)

    def set_exception(self, error: BaseException) -> None:
        """The broker does not have it."""
        self.carrier.ended(self, error)


class Suspects:
    """Exchanges over which a channel was closed a moment ago: what goes there goes over a channel of its own."""

    def __init__(self) -> None:
        """Suspect nothing."""
        self._until: dict[str, float] = {}

    def add(self, message: Outgoing, refused: Refusal, now: float) -> None:
        """Keep away from the exchange of this message, if that is what is wrong with it."""
        if refused.code in {NOT_FOUND, ACCESS_REFUSED}:
            self._until[message.exchange] = now + SUSPECT_SECONDS

    def among(self, messages: Sequence[Outgoing], now: float) -> list[int]:
        """The numbers of those that go to a suspicious exchange."""
        if not self._until:
            return []
        self._until = {exchange: until for exchange, until in self._until.items() if until > now}
        return [number for number, message in enumerate(messages) if message.exchange in self._until]


class Channel(Protocol):
    """A channel with confirms; `refused` once the broker has closed it."""

    refused: Refusal | None

    async def carry(self, batch: Batch, numbers: Sequence[int]) -> None:
        """Send these and await their answers; returns early where the channel is lost."""
        ...

    def lose(self, why: str) -> None:
        """Send nothing on it any more, and close it."""
        ...


async def single_out(
    batch: Batch,
    numbers: Sequence[int],
    *,
    fresh: Callable[[], Awaitable[Channel | None]],
    condemn: Callable[[Outgoing, Refusal], None],
) -> None:
    """Send these on channels of their own; those that the broker closes channels over are UNFIT, and `condemn` hears.

    `fresh` opens a channel, waiting for the connection where need be; None is tried again.
    """
    groups = [list(numbers)]
    while groups:
        group = [number for number in groups[-1] if batch.answers[number] is None]
        if not group:
            groups.pop()
            continue
        channel = await fresh()
        if channel is None:
            continue
        try:
            await channel.carry(batch, group)
        finally:
            channel.lose("done with")
        rest = [number for number in group if batch.answers[number] is None]
        refused = channel.refused
        if not rest or refused is None:
            # All answered, or the connection went: then what is left of this group is sent again.
            continue
        groups.pop()
        guilty = beyond_doubt(batch.messages, rest, refused)
        for number in guilty:
            batch.answer(number, Published.UNFIT)
            condemn(batch.messages[number], refused)
        if guilty:
            groups.append(rest)
        else:
            middle = len(rest) // 2
            groups += [rest[middle:], rest[:middle]]


def beyond_doubt(messages: Sequence[Outgoing], numbers: Sequence[int], refused: Refusal) -> list[int]:
    """Which of these a channel was closed over, where that is certain.

    The broker's words quote an exchange that is missing. A right is missing for all that are alike in what the broker
    looked at. Anything else is certain only of a message that was alone.
    """
    if refused.code == NOT_FOUND:
        missing = [number for number in numbers if f"'{messages[number].exchange}'" in refused.words]
        if missing:
            return missing
    if len(numbers) == 1:
        return list(numbers)
    if refused.code == ACCESS_REFUSED:
        alike = {(messages[number].exchange, messages[number].routing_key) for number in numbers}
        if len(alike) == 1:
            return list(numbers)
    return []
