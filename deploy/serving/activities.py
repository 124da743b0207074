"""The role that runs activities: commands in, attempts, outcomes into the store, leases kept alive meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from consumers.activities import ActivityRunner, Bounds
from consumers.commands import LONG, CommandIntake
from consumers.context import Surroundings
from consumers.dead_commands import DeadCommandIntake
from consumers.leases import LeaseKeeper
from consumers.metrics import ActivityMetrics
from consumers.waiting import WaitingRoom
from deploy.artifacts import ArtifactStore
from deploy.loading import LoadedDefinitions
from deploy.secrets import SecretStore
from deploy.serving.outbound import foreign_queues
from deploy.serving.parts import Parts
from deploy.serving.roles import Role
from deploy.settings import Settings
from domain.builtin import HEARTBEAT, is_hidden
from domain.definitions import ActivityType
from domain.errors import InputInvalid
from domain.topology import activity_queue, dead_queue
from domain.transport import Intake

SPARE_DELIVERIES: Final = 8
"""Deliveries of a queue beyond what there is room for, so that a place that becomes free is taken at once."""
MOST_PREFETCHED: Final = 65_535
"""AMQP counts them in two bytes."""


@dataclass(frozen=True, slots=True)
class Served:
    """The queues that a process serves, by the names that activity types declare."""

    queues: tuple[str, ...]
    long: frozenset[str]

    @classmethod
    def of(cls, definitions: LoadedDefinitions, asked: Collection[str]) -> Served:
        """Those asked for, or all that run here, and heartbeats; raises InputInvalid for one that none declares."""
        own: dict[str, bool] = {}
        foreign = foreign_queues(definitions)
        for declared in _declared(definitions):
            if declared.queue not in foreign:
                own[declared.queue] = own.get(declared.queue, False) or declared.start_to_finish > LONG
        for name in asked:
            if name in foreign:
                raise InputInvalid(
                    f"--queues {name}: its activities are foreign: a consumer in their language serves it"
                )
            if name not in own:
                known = ", ".join(sorted(own.keys() - {HEARTBEAT})) or "none"
                raise InputInvalid(f"--queues {name}: no loaded activity declares it; there are: {known}")
        # Whatever a process is to serve: that heartbeats run says that it serves at all.
        chosen = tuple(sorted({*(asked or own), *(own.keys() & {HEARTBEAT})}))
        return cls(chosen, frozenset(name for name in chosen if own[name]))


class ActivitiesRole:
    """Puts the runner, its waiting room and its leases together for one process."""

    def __init__(self, parts: Parts, served: Served, *, concurrency: int | None = None) -> None:
        """`concurrency` is how many attempts are under way here at most; by default the setting's."""
        settings = parts.settings
        attempts = concurrency if concurrency is not None else settings.attempts_at_once
        self._parts = parts
        self._served = served
        self.runner = ActivityRunner(
            decider=parts.turns,
            definitions=parts.definitions,
            surroundings=_surroundings(parts),
            clock=parts.clock,
            worker=parts.owner,
            bounds=_bounds(settings, attempts),
        )
        self.room = WaitingRoom(parts.claims, self.runner, aside=parts.aside, digests=True)
        self.room.missing = parts.awaited.missing
        self.intake = CommandIntake(self.room, self.runner.activities, bury=parts.burial.bury)
        self.runner.traces = self.room.traces = self.intake.traces = parts.traces
        self.intake.long_queues = frozenset(activity_queue(name) for name in served.long)
        names = _activities(parts.definitions, served.queues)
        self.runner.meter = metrics = ActivityMetrics(parts.metrics.registry, names)
        metrics.running = self.runner.running.__len__
        metrics.waiting = lambda: self.room.waiting
        self._leases = LeaseKeeper(parts.claims, self.runner, aside=parts.aside)
        self._prefetch = min(attempts + SPARE_DELIVERIES, MOST_PREFETCHED)
        if settings.eager:
            parts.inbox.starter = self.runner
            self.runner.serves = frozenset(served.queues).__contains__

    def role(self) -> Role:
        """What the process consumes and runs for it."""
        return Role(
            queues={activity_queue(name): (self.intake, self._prefetch) for name in self._served.queues},
            loops={
                "waiting room": self.intake.run,
                "leases": self._leases.run,
                "awaited definitions": self._parts.awaited.run,
            },
            drained=self._drained,
        )

    async def _drained(self, grace_seconds: float) -> None:
        """Claim nothing more, and give attempts under way their grace; what is left lapses with its lease.

        What waits for room goes back to its queue at once. What is being claimed as this begins is an attempt under
        way: a claim that nobody runs would hold its step up for a lease, and one of a `once` step would ask a person.
        """
        self.runner.take_no_more()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self.room.close()
                await self._parts.turns.drained()
        await self.runner.close(grace_seconds=max(0.0, until - loop.time()))
        self._parts.inbox.starter = None


def dead_commands(parts: Parts, queues: Sequence[str]) -> dict[str, tuple[Intake, int]]:
    """The dead queues of activity queues: what comes there is told to its workflow."""
    intake = DeadCommandIntake(
        claims=parts.claims, decider=parts.turns, clock=parts.clock, bury=parts.burial.bury, aside=parts.aside
    )
    return {dead_queue(activity_queue(name)): (intake, 64) for name in queues}


def all_queues(definitions: LoadedDefinitions) -> list[str]:
    """The queues of all loaded activity types, foreign ones too."""
    return sorted({declared.queue for declared in _declared(definitions)})


def _activities(definitions: LoadedDefinitions, queues: Collection[str]) -> set[str]:
    """The names of the activity types that these queues bring, without those of Handrail's own workflows."""
    return {
        declared.name
        for definition in definitions
        for declared in definition.activities.values()
        if declared.queue in queues and not is_hidden(definition.name)
    }


def _declared(definitions: LoadedDefinitions) -> list[ActivityType]:
    return [declared for definition in definitions for declared in definition.activities.values()]


def _surroundings(parts: Parts) -> Surroundings:
    folder = parts.settings.artifacts.absolute()
    return Surroundings(folder, ArtifactStore(folder), SecretStore(), parts.redactor)


def _bounds(settings: Settings, attempts: int) -> Bounds:
    return Bounds(
        attempts=attempts,
        threads=settings.threads,
        cancel_grace_seconds=settings.cancel_grace_seconds,
        give_up_seconds=settings.give_up_seconds,
    )
