"""The projector as a role of the holder: the views follow the log, and yield to the engine."""

from __future__ import annotations

from collections.abc import Callable

from domain.store.application import WorkflowStore
from projections.keeper import Keeper
from projections.log import LogReader
from projections.metrics import Metrics
from projections.projector import Projector


class ViewsRole:
    """Keeps the views and counts what passes by, for as long as it runs."""

    def __init__(self, store: WorkflowStore, *, busy: Callable[[], bool]) -> None:
        """`busy` tells whether the engine is."""
        self._store = store
        self._busy = busy
        self.metrics = Metrics()
        self._projector: Projector | None = None

    async def run(self) -> None:
        """Follow the log until cancelled."""
        follower = self._store.follow(0)
        self._projector = Projector(
            Keeper(self._store),
            follower,
            LogReader(self._store.recorder, self._store.mapper.read),
            busy=self._busy,
            meter=self.metrics,
        )
        try:
            await self._projector.run()
        finally:
            follower.close()
            self._store.unfollow(follower)

    def finish(self) -> None:
        """Write what is there when everything else has stopped."""
        if self._projector is not None:
            self._projector.finish()
