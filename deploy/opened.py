"""A home as any process opens it: the store with its companions, the turns, and those who wait. Holder or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from consumers.held_messages import MESSAGES_HELD_SCHEMA
from consumers.inbox import INBOX_SCHEMA, InboxCompanion, receive
from consumers.limits import LIMITS_SCHEMA, LimitsCompanion
from consumers.metrics import ActivityMetrics
from deploy.dead_acts import DEAD_ACTS_SCHEMA
from deploy.following import PatientFollower
from deploy.held_goals import GOALS_HELD_SCHEMA
from deploy.keyring import covers_of
from deploy.loading import LoadedDefinitions
from deploy.metrics import ProcessMetrics
from deploy.numbering import LocalNumbers
from deploy.progress import KnownProgress, read_progress
from deploy.settings import Settings, load_settings
from deploy.tokens import TOKENS_SCHEMA
from deploy.traces.asked import open_traces
from deploy.watching import Watchers
from domain.builtin import is_hidden
from domain.errors import HandrailError, StoreUnavailable
from domain.ports import Clock, Definitions
from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from domain.store.turns import Turns
from producers.parked import PARKED_SCHEMA
from producers.reminders import REMINDERS_SCHEMA
from producers.signals import SIGNALS_SCHEMA, Signals, SignalsCompanion
from producers.timers import TIMERS_SCHEMA, TimersCompanion
from projections.metrics import ViewsMetrics
from projections.mismatches import MISMATCH_SCHEMA
from projections.schema import SCHEMA as VIEWS_SCHEMA

DATABASE_FILE: Final = "handrail.db"

SCHEMA: Final = (
    *INBOX_SCHEMA,
    *LIMITS_SCHEMA,
    *TIMERS_SCHEMA,
    *SIGNALS_SCHEMA,
    *PARKED_SCHEMA,
    *REMINDERS_SCHEMA,
    *TOKENS_SCHEMA,
    *DEAD_ACTS_SCHEMA,
    *GOALS_HELD_SCHEMA,
    *MESSAGES_HELD_SCHEMA,
    *VIEWS_SCHEMA,
    *MISMATCH_SCHEMA,
)
"""The tables of all rooms: the store creates them with its own."""


def open_store(
    home: Path,
    definitions: Definitions,
    *,
    workflows_held: int = 2_048,
    read_only: bool = False,
    restoring: bool = False,
    settings: Settings | None = None,
    enabling: bool = False,
) -> WorkflowStore:
    """The store of a home, made where it is missing; raises StoreUnavailable or StoreNewer.

    A home that is made can be entered by its owner alone; of one that is there, nothing is changed. The key ring
    is that of these settings, or else of this process's.
    """
    if not read_only:
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"home {home} cannot be made ({error.strerror}); make its folder writable, or use another --home"
            ) from error
    return open_sqlite_store(
        home / DATABASE_FILE,
        definitions=definitions,
        schema=SCHEMA,
        workflows_held=workflows_held,
        read_only=read_only,
        restoring=restoring,
        covers=covers_of(settings if settings is not None else load_settings()),
        enabling=enabling,
    )


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
