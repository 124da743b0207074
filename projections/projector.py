"""The task that keeps the views: follows the log, and yields to the engine.

While the engine is idle a row is written as soon as its event is there. While it is busy the projector writes at most
once in `busy_interval_seconds`, which also means that a row which changed ten times is written once; it folds in
slices and lets others run between them. Whatever stops it costs nothing but lag: the next one goes on at the position.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from domain.errors import StoreError
from projections.keeper import Entry, Keeper

SLICE_EVENTS: Final = 256
"""Events folded before others may run."""
WRITE_EVENTS: Final = 8_192
"""Events folded before they are written, when there are that many at once."""
BUSY_INTERVAL_SECONDS: Final = 0.25
POLL_SECONDS: Final = 0.025
"""How often a busy engine is looked at."""
TROUBLE_SECONDS: Final = 1.0
"""How long the projector keeps still after the store refused it."""

_logger = logging.getLogger("handrail.projections")


class Log(Protocol):
    """The log of events, from a position on."""

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Up to `limit` events behind the position, oldest first; none where there are none."""
        ...

    async def newer(self, after: int) -> None:
        """Return when there is an event behind the position."""
        ...


class Meter(Protocol):
    """What is counted as the log passes by."""

    def passed(self, entries: Sequence[Entry]) -> None:
        """Count these events."""
        ...

    def written(self, *, lag_seconds: float, parked: int) -> None:
        """The views were written; the oldest event of the batch waited this long."""
        ...


class Projector:
    """Follows the log into the views."""

    def __init__(
        self,
        keeper: Keeper,
        log: Log,
        *,
        busy: Callable[[], bool] = lambda: False,
        meter: Meter | None = None,
        seconds: Callable[[], float] | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        busy_interval_seconds: float = BUSY_INTERVAL_SECONDS,
    ) -> None:
        """`busy` tells whether the engine is; `seconds` is a clock that only goes forward, by default the loop's."""
        self._keeper = keeper
        self._log = log
        self._busy = busy
        self._meter = meter
        self._seconds = seconds
        self._pause = pause
        self._interval = busy_interval_seconds
        self._last_write = float("-inf")

    async def run(self) -> None:
        """Follow until cancelled. Trouble with the store is waited out."""
        begun = False
        while True:
            try:
                if not begun:
                    self._keeper.begin()
                    begun = True
                await self._log.newer(self._keeper.position)
                noticed = self._now()
                await self._give_way()
                await self._step(noticed)
            except StoreError as error:
                _logger.warning("views wait: %s", error)
                begun = False
                await self._pause(TROUBLE_SECONDS)

    async def _step(self, noticed: float) -> None:
        """Fold and write what there is now, as far as one write goes."""
        folded = 0
        while folded < WRITE_EVENTS:
            entries = self._log.read(self._keeper.position, SLICE_EVENTS)
            if not entries:
                break
            self._keeper.take(entries)
            folded += len(entries)
            if self._meter is not None:
                self._meter.passed(entries)
            await self._pause(0)
        self._keeper.write()
        self._last_write = self._now()
        if self._meter is not None:
            self._meter.written(lag_seconds=self._last_write - noticed, parked=self._keeper.parked)

    async def _give_way(self) -> None:
        """Return when the engine is idle, or when the last write is long enough ago."""
        while self._busy():
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
