"""The projector as a role of the holder: the views follow the log, and yield to the engine."""

from __future__ import annotations

from collections.abc import Callable

from domain.ports import Aside, Waiting, unheard
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.log import LogFollower
from projections.keeper import Keeper
from projections.log import LogReader
from projections.metrics import Metrics
from projections.projector import Projector


class ViewsRole:
    """Keeps the views and counts what passes by, for as long as it runs."""

    def __init__(self, store: WorkflowStore, *, busy: Callable[[], bool], aside: Aside = inline) -> None:
        """`busy` tells whether the engine is; `aside` is where rows are read, folded and written."""
        self._store = store
        self._busy = busy
        self._aside = aside
        self.metrics = Metrics()

    async def run(self, waiting: Waiting = unheard) -> None:
        """Follow the log until cancelled; `waiting` hears when the store is waited for."""
        follower = self._store.follow(0)
        try:
            await self._projector(follower, waiting).run()
        finally:
            follower.close()
            self._store.unfollow(follower)

    async def finish(self) -> None:
        """Write what is there when everything else has stopped."""
        # On rows of its own: what was cancelled may still be at work in its thread.
        await self._projector(self._store.follow(0)).finish()

    def _projector(self, follower: LogFollower, waiting: Waiting = unheard) -> Projector:
        return Projector(
            Keeper(self._store),
            follower,
            LogReader(self._store.recorder, self._store.mapper.read),
            busy=self._busy,
            meter=self.metrics,
            aside=self._aside,
            waiting=waiting,
        )
