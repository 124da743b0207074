"""What a channel has delivered and what is settled of it: the arithmetic of acknowledging many at once.

A channel numbers its deliveries from 1. One acknowledgement may cover all up to a number, but only where each of them
has been delivered to us and is settled: a number that was passed over stands for a message that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from domain.transport import Delivery


class Settled(Enum):
    """What the broker is told of a delivery."""

    ACKNOWLEDGED = "forget it"
    REJECTED = "move it to the dead queue"
    GIVEN_BACK = "deliver it again, to whomever you like"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One frame to the broker; with `multiple` it holds for all up to this tag."""

    kind: Settled
    tag: int
    multiple: bool = False


class Held:
    """One delivery in our hands: until it is settled, or its channel has gone."""

    __slots__ = ("delivery", "handed_over", "since", "tag", "tally")

    def __init__(self, tally: Tally, tag: int, since: float, delivery: Delivery) -> None:
        """Keep it from `since` on: an instant of the loop's clock."""
        self.tally = tally
        self.tag = tag
        self.since = since
        self.delivery = delivery
        self.handed_over = False
        delivery.settle, delivery.give_back = self.settle, self.give_back

    @property
    def open(self) -> bool:
        """Whether it can still be settled."""
        return self.tag in self.tally.held

    def settle(self, acknowledged: bool) -> None:  # noqa: FBT001 - the delivery's one switch
        """What the delivery's owner decides; the second time, or without its channel, it means nothing."""
        self.tally.settle(self, Settled.ACKNOWLEDGED if acknowledged else Settled.REJECTED)

    def give_back(self) -> None:
        """Have it delivered again; this counts towards the queue's delivery limit."""
        self.tally.settle(self, Settled.GIVEN_BACK)


def _settled(_: bool) -> None:  # noqa: FBT001 - the delivery's one switch
    """It was settled before: this means nothing."""


def _given_back() -> None:
    """The same."""


class Tally:
    """The deliveries of one channel. `moved` hears that there is something to tell the broker."""

    def __init__(self, moved: Callable[[], None]) -> None:
        """Nothing delivered yet."""
        self.held: dict[int, Held] = {}
        self.lost = 0
        self._moved = moved
        self._open = True
        self._news: list[tuple[int, Settled]] = []
        self._last = 0
        self._gapless = True

    def add(self, tag: int, since: float, delivery: Delivery) -> Held:
        """One more delivery."""
        self._gapless = self._gapless and tag == self._last + 1
        self._last = tag
        held = self.held[tag] = Held(self, tag, since, delivery)
        return held

    def settle(self, held: Held, kind: Settled) -> None:
        """Keep what is to be told of one. It is counted as lost where the channel has gone: it will come again."""
        if self.held.pop(held.tag, None) is None:
            self.lost += not self._open
            return
        # The two hold one another otherwise, and would wait for the collector, which hardly ever comes.
        held.delivery.settle, held.delivery.give_back = _settled, _given_back
        if not self._news:
            self._moved()
        self._news.append((held.tag, kind))

    def close(self) -> None:
        """The channel has gone: nothing can be told any more, and the broker delivers again what was held."""
        self._open = False
        self.held.clear()
        self._news.clear()

    @property
    def news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._news)

    def take(self) -> list[Settlement]:
        """What to tell the broker, in this order, with as few frames as are certain to say the same."""
        news, self._news = self._news, []
        told = [Settlement(kind, tag) for tag, kind in news if kind is not Settled.ACKNOWLEDGED]
        acknowledged = sorted(tag for tag, kind in news if kind is Settled.ACKNOWLEDGED)
        floor = next(iter(self.held), self._last + 1) - 1 if self._gapless else 0
        below = [tag for tag in acknowledged if tag <= floor]
        if below:
            told.append(Settlement(Settled.ACKNOWLEDGED, below[-1], multiple=len(below) > 1))
        told += [Settlement(Settled.ACKNOWLEDGED, tag) for tag in acknowledged[len(below) :]]
        return told
