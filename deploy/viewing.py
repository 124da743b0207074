"""The projector as a role: the views follow the log and yield to the engine, and what is stuck is judged beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass

from deploy.sealing import Sealing
from deploy.stuck_facts import QueuesNow, StoreFacts
from domain.ports import Aside, Clock, Waiting, unheard
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.log import LogFollower
from projections.judging import Judging
from projections.keeper import Keeper
from projections.log import LogReader
from projections.metrics import ViewsMetrics
from projections.projector import Projector
from projections.showing import Showing
from projections.thresholds import Thresholds
from projections.totals import Totals


@dataclass(frozen=True, slots=True)
class Judged:
    """By what workflows are judged: the engine's clock, the thresholds, and what the broker says of its queues."""

    clock: Clock
    thresholds: Thresholds
    queues: QueuesNow


async def with_beside(work: Awaitable[None], beside: Iterable[Awaitable[None]]) -> None:
    """Await the work, with others beside it until it ends. What one of them fails with ends all, and is raised.

    Otherwise the work would go on without it, and nobody would know.
    """
    first, *others = [asyncio.ensure_future(one) for one in (work, *beside)]
    running = {first, *others}
    try:
        while first in running:
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.result()
    finally:
        for one in (first, *others):
            one.cancel()
        await asyncio.gather(first, *others, return_exceptions=True)


def _timestamps(sealing: Sealing) -> tuple[float, float] | None:
    """When the last seal was written (0: never) and when the next is due; None where that is not known yet."""
    now = sealing.now
    if now is None:
        return None
    return now.last.timestamp() if now.last is not None else 0.0, sealing.due.timestamp()


class ViewsRole:
    """Keeps the views, judges what is stuck, and counts what passes by, for as long as it runs."""

    def __init__(
        self,
        store: WorkflowStore,
        *,
        busy: Callable[[], bool],
        judged: Judged | None = None,
        metrics: ViewsMetrics | None = None,
        sealing: Sealing | None = None,
        aside: Aside = inline,
    ) -> None:
        """`busy` tells whether the engine is; `aside` is where rows are read, folded and written.

        Without `judged` nothing is judged: the views then say only when to look. Without `metrics` nothing is counted,
        without `sealing` no seals are written.
        """
        self._store = store
        self._busy = busy
        self._judged = judged
        self._aside = aside
        self._metrics = metrics
        self._sealing = sealing

    async def run(self, waiting: Waiting = unheard) -> None:
        """Follow the log until cancelled; `waiting` hears when the store is waited for."""
        follower = self._store.follow(0)
        totals = Totals()
        keeper = self._keeper(totals)
        projector = self._projector(keeper, follower, waiting)
        try:
            await with_beside(projector.run(), self._beside(keeper, totals, projector))
        finally:
            if self._metrics is not None:
                self._metrics.leave()
            follower.close()
            self._store.unfollow(follower)

    async def finish(self) -> None:
        """Write what is there when everything else has stopped."""
        # On rows of its own: what was cancelled may still be at work in its thread.
        await self._projector(self._keeper(), self._store.follow(0)).finish()

    def _keeper(self, totals: Totals | None = None) -> Keeper:
        thresholds = self._judged.thresholds if self._judged is not None else None
        return Keeper(self._store, thresholds=thresholds, totals=totals)

    def _beside(self, keeper: Keeper, totals: Totals, projector: Projector) -> Iterator[Coroutine[None, None, None]]:
        """What runs beside the projector."""
        judging = self._judging(keeper, projector)
        if judging is not None:
            yield judging.run()
        sealing, metrics = self._sealing, self._metrics
        if sealing is not None:
            yield sealing.run()
        if metrics is not None:
            if sealing is not None:
                metrics.sealed = lambda: _timestamps(sealing)
            metrics.at_hand = keeper.at_hand
            if judging is not None:
                metrics.judged_at = lambda: judging.judged_at
            yield Showing(totals, self._store.query, metrics.show, between=projector.between, aside=self._aside).run()

    def _judging(self, keeper: Keeper, projector: Projector) -> Judging | None:
        judged = self._judged
        if judged is None:
            return None
        return Judging(
            keeper,
            between=projector.between,
            facts_of=StoreFacts(self._store, judged.queues, self._aside),
            thresholds=judged.thresholds,
            now=judged.clock,
            aside=self._aside,
        )

    def _projector(self, keeper: Keeper, follower: LogFollower, waiting: Waiting = unheard) -> Projector:
        return Projector(
            keeper,
            follower,
            LogReader(self._store.recorder, self._store.mapper.read),
            busy=self._busy,
            meter=self._metrics,
            aside=self._aside,
            waiting=waiting,
        )
