"""A home as any process opens it: the store with its companions, the turns, and those who wait. Holder or not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from consumers.inbox import InboxCompanion, receive
from consumers.limits import LimitsCompanion
from consumers.metrics import ActivityMetrics
from deploy.following import PatientFollower
from deploy.loading import LoadedDefinitions
from deploy.metrics import ProcessMetrics
from deploy.numbering import LocalNumbers
from deploy.opened import open_store
from deploy.progress import KnownProgress, read_progress
from deploy.settings import Settings
from deploy.traces.asked import open_traces
from deploy.watching import Watchers
from domain.builtin import is_hidden
from domain.errors import HandrailError
from domain.ports import Clock
from domain.store.turns import Turns
from producers.signals import Signals, SignalsCompanion
from producers.timers import TimersCompanion
from projections.metrics import ViewsMetrics


class OpenHome:
    """What every runtime has of its home."""

    def __init__(
        self, home: Path, owner: str, definitions: LoadedDefinitions, settings: Settings, clock: Clock
    ) -> None:
        """Open the store and put its companions beside it; raises StoreUnavailable or StoreNewer."""
        self.store = open_store(home, definitions, workflows_held=settings.workflows_held, settings=settings)
        self.inbox = InboxCompanion(owner, lease_seconds=settings.lease_seconds)
        self.timers = TimersCompanion()
        self.numbers = LocalNumbers(self.store)
        self.watchers = Watchers(self.store)
        deciding = self.store.deciding
        # Limits before the inbox: the order in which their rows are locked.
        deciding.companions += [LimitsCompanion(), self.inbox]
        deciding.companions += [self.timers, SignalsCompanion(), self.numbers, self.watchers]
        deciding.open_commands = self.inbox
        self.turns = Turns(self.store)
        self.metrics = self.turns.meter = ProcessMetrics(lag_threshold=settings.stuck.lag)
        self.attempts = ActivityMetrics(self.metrics.registry, _activities(definitions))
        self.views = ViewsMetrics(self.metrics.registry, [one.name for one in definitions])
        self.store.recorder.hear_trouble(self.metrics.store_troubled)
        self.metrics.progress = KnownProgress(lambda: read_progress(self.store), clock)
        try:
            self._opened_traces = open_traces(settings, self.store, clock)
        except HandrailError:
            self.store.close()
            raise
        self.traces = self._opened_traces.traces if self._opened_traces is not None else None
        self.turns.traces = self.traces
        self.signals = Signals(self.store, self.turns, clock, receive)
        self._follower = PatientFollower(self.store, self.store.newest(), others_only=True)
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Hear of what is committed, here and elsewhere."""
        self._watching = asyncio.create_task(self.watchers.run(self._follower), name="watchers")

    async def close(self) -> None:
        """Decide what was asked, and close the store."""
        await self.turns.drained()
        self._follower.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self.store.close()
        if self._opened_traces is not None:
            await self._opened_traces.close()

    def drop(self) -> list[asyncio.Task[None]]:
        """Close without deciding anything more; the tasks to cancel, as if the process had been killed."""
        self.store.close()
        return [self._watching] if self._watching is not None else []


def _activities(definitions: LoadedDefinitions) -> set[str]:
    return {
        declared.name
        for definition in definitions
        for declared in definition.activities.values()
        if not declared.foreign and not is_hidden(definition.name)
    }
