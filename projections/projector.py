"""The task that keeps the views: follows the log, and yields to the engine.

While the engine is idle a row is written a moment after its event is there. While it is busy (it says so, or the last
write had many events) the projector writes at most once in `busy_interval_seconds`, which also means that a row which
changed ten times is written once; it folds in slices and lets others run between them. Whatever stops it costs nothing
but lag: the next one goes on at the position.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from domain.errors import EventCorrupt, EventUnknown, StoreError
from domain.ports import Aside, Notification, Waiting, unheard
from domain.store.aside import inline
from projections.keeper import Entry, Keeper

SLICE_EVENTS: Final = 1_024
"""Events folded before others may run. More than a turn of the engine makes: the two alternate, and with fewer the
views would fall ever further behind."""
WRITE_EVENTS: Final = 8_192
"""Events folded before they are written, when there are that many at once."""
BUSY_INTERVAL_SECONDS: Final = 0.25
LINGER_SECONDS: Final = 0.02
"""How long a row waits at least: a few steps of a workflow that runs alone are then written at once, and not before
each of them goes on."""
CROWD_EVENTS: Final = 64
"""A write of so many events at once says that the engine is busy, whatever it says itself."""
POLL_SECONDS: Final = 0.025
"""How often a busy engine is looked at."""
TROUBLE_SECONDS: Final = 1.0
"""How long the projector keeps still after the store refused it."""

_KEEPING: Final = "keep the views"

Result = TypeVar("Result")

_logger = logging.getLogger("handrail.projections")


class Log(Protocol):
    """The log of events, from any position, with what cannot be read among them."""

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Up to `limit` entries behind the position, oldest first; none where there are none."""
        ...


class Follower(Protocol):
    """The store's follower of the log."""

    position: int

    async def next_batch(self, limit: int) -> Sequence[Notification]:
        """Wait until there is something, and take it; nothing when the follower was closed."""
        ...

    async def take_aside(self, limit: int) -> Sequence[Notification]:
        """What is there now, without waiting for more."""
        ...

    def take_offered(self, limit: int) -> Sequence[Notification]:
        """The same, of what this process has saved itself."""
        ...

    def look_again(self) -> None:
        """Read the store at the next chance."""
        ...


class Meter(Protocol):
    """What is counted as the log passes by."""

    def passed(self, entries: Sequence[Entry]) -> None:
        """Count these events."""
        ...


class Projector:
    """Follows the log into the views."""

    def __init__(  # noqa: PLR0913 - what a test stands in for
        self,
        keeper: Keeper,
        follower: Follower,
        log: Log,
        *,
        busy: Callable[[], bool] = lambda: False,
        meter: Meter | None = None,
        seconds: Callable[[], float] | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        busy_interval_seconds: float = BUSY_INTERVAL_SECONDS,
        aside: Aside = inline,
        waiting: Waiting = unheard,
    ) -> None:
        """`busy` tells whether the engine is; `seconds` is a clock that only goes forward, by default the loop's.

        `aside` is where rows are read, folded and written; `waiting` hears when the store is waited for.
        """
        self._keeper = keeper
        self._follower = follower
        self._log = log
        self._busy = busy
        self._meter = meter
        self._seconds = seconds
        self._pause = pause
        self._interval = busy_interval_seconds
        self._aside = aside
        self._waiting = waiting
        self._keeping = asyncio.Lock()
        self._last_write = float("-inf")
        self._last_count = 0

    async def run(self) -> None:
        """Follow until the follower is closed. Trouble with the store is waited out."""
        begun = False
        while True:
            try:
                if not begun:
                    await self._begin()
                    begun = True
                    await self._tell_if_idle()
                if not await self._round():
                    return
                self._waiting(_KEEPING, None)
            except (EventCorrupt, EventUnknown):
                await self._pass_unreadable()
                self._waiting(_KEEPING, None)
            except StoreError as error:
                _logger.warning("views wait: %s", error)
                self._waiting(_KEEPING, error)
                begun = False
                await self._pause(TROUBLE_SECONDS)

    async def between(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run other work on the keeper while the views are not being written."""
        async with self._keeping:
            beginnings = self._keeper.beginnings
            try:
                return await work()
            finally:
                if self._keeper.beginnings != beginnings:
                    self._go_on_from_keeper()

    async def finish(self) -> None:
        """Write what is there now, when everything else has stopped; at most one write's worth."""
        try:
            await self._begin()
            await self._aside(lambda: self._take_stretch(WRITE_EVENTS))
            await self._aside(self._keeper.write)
        except StoreError as error:
            _logger.warning("views are left behind: %s", error)

    async def _begin(self) -> None:
        async with self._keeping:
            await self._begin_again()

    async def _begin_again(self) -> None:
        await self._aside(self._keeper.begin)
        self._go_on_from_keeper()

    def _go_on_from_keeper(self) -> None:
        self._follower.position = self._keeper.position
        self._follower.look_again()

    async def _tell_if_idle(self) -> None:
        """Where there is nothing to write, the first event to come may be long in coming, and would not tell."""
        if not await self._aside(lambda: self._log.read(self._keeper.position, 1)):
            self._waiting(_KEEPING, None)

    async def _take(self, entries: Sequence[Entry]) -> None:
        await self._aside(lambda: self._keeper.take(entries))
        if self._meter is not None:
            self._meter.passed(entries)

    def _take_stretch(self, limit: int) -> Sequence[Entry]:
        """Fold what follows the position, with what cannot be read among it."""
        entries = self._log.read(self._keeper.position, limit)
        self._keeper.take(entries)
        return entries

    async def _round(self) -> bool:
        """Wait for events, fold what is there as far as one write goes, and write; False when there is no more."""
        beginnings = self._keeper.beginnings
        entries: Sequence[Entry] = await self._follower.next_batch(SLICE_EVENTS)
        if not entries:
            return False
        await self._give_way()
        async with self._keeping:
            if self._keeper.beginnings == beginnings:
                await self._keep(entries)
            else:
                # The keeper began again meanwhile. The follower was set back with it, but in the midst of reading these
                # it has gone on behind them: it reads them once more.
                self._go_on_from_keeper()
        return True

    async def _keep(self, entries: Sequence[Entry]) -> None:
        folded = 0
        while entries:
            await self._take(entries)
            folded += len(entries)
            if folded >= WRITE_EVENTS:
                break
            await self._pause(0)
            # A whole slice may be part of a backlog in the store; what is less was all that there was.
            more = len(entries) >= SLICE_EVENTS
            entries = (
                await self._follower.take_aside(SLICE_EVENTS) if more else self._follower.take_offered(SLICE_EVENTS)
            )
        self._last_count = folded
        await self._write()

    async def _write(self) -> None:
        if not await self._aside(self._keeper.write):
            await self._begin_again()
        self._last_write = self._now()

    async def _pass_unreadable(self) -> None:
        """Take the stretch that the follower could not read entry by entry: what cannot be read is parked."""
        async with self._keeping:
            entries = await self._aside(lambda: self._take_stretch(SLICE_EVENTS))
            if self._meter is not None:
                self._meter.passed(entries)
            await self._write()
            self._go_on_from_keeper()

    async def _give_way(self) -> None:
        """Return when the engine is idle, or when the last write is long enough ago.

        An idle engine is given way for a moment too: what is to follow from an event should not wait for its row.
        """
        if not self._busy():
            await self._pause(LINGER_SECONDS)
        while self._last_count >= CROWD_EVENTS or self._busy():
            left = self._last_write + self._interval - self._now()
            if left <= 0:
                return
            await self._pause(min(left, POLL_SECONDS))

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._seconds is None else self._seconds()


def catch_up(keeper: Keeper, log: Log, *, most_events: int | None = None) -> int:
    """Bring the views up to the end of the log, here and now; how many events that took.

    Another process may be at the same: whoever is second begins again behind the first, and finds little left to do.
    """
    keeper.begin()
    done = 0
    while most_events is None or done < most_events:
        entries = log.read(keeper.position, WRITE_EVENTS)
        if not entries:
            break
        keeper.take(entries)
        if keeper.write():
            done += len(entries)
    return done
