"""Does what the plan says to the stack, undoes it after its time, and tells whether it hit something in flight.

In flight is: workflows that have begun and not ended, and among their commands some that are open or claimed, at the
moment of the fault. A worker that is killed or stopped must hold claims itself: the injector takes one that does, and
reads from the database, after the blow, whether it still did.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.crew import Crew, Member
from tests.chaos.line import emptied
from tests.chaos.moments import called_within
from tests.chaos.plan import Fault, Kind, Stream
from tests.chaos.stage import Stage
from tests.chaos.watch import Flight, Watch

IN_FLIGHT_SECONDS: Final = 10.0
"""How long a fault waits for something to hit."""
GLANCE_SECONDS: Final = 0.02
AHEAD_SECONDS: Final = 0.2
QUEUE_SECONDS: Final = 20.0
AWAY_SECONDS: Final = 0.5
HALF: Final = 0.5
"""Below it the plan's number means one of two ways, above it the other."""


@dataclass(frozen=True)
class Blow:
    """A fault as it happened."""

    kind: Kind
    at_seconds: float
    hit: bool
    detail: str


@dataclass
class Injector:
    """Carries out streams of faults."""

    stage: Stage
    crew: Crew
    watch: Watch
    over: asyncio.Event
    may_strike: Callable[[Stream], bool] = lambda _: True
    """Whether a stream is not ahead of the load that it is for."""
    blows: list[Blow] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    """Messages that were purged or deleted, by queue."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    @property
    def hits(self) -> Counter[Kind]:
        """How many faults of each kind hit something in flight."""
        return Counter(blow.kind for blow in self.blows if blow.hit)

    async def run(self, stream: Stream, seed: int) -> None:
        """One fault after the other, until it is over. What was broken is mended whenever this ends."""
        for fault in stream.faults(seed):
            if await called_within(self.over, fault.pause_seconds):
                return
            while not self.may_strike(stream):
                if await called_within(self.over, AHEAD_SECONDS):
                    return
            flight = await self._in_flight()
            if self.over.is_set():
                return
            hit, detail = await self._carry_out(fault, flight)
            at = round(time.monotonic() - self._began, 1)
            self.blows.append(Blow(fault.kind, at, hit, f"{detail}; {flight}"))

    async def _in_flight(self) -> Flight:
        """What is in flight, as soon as something is; where nothing comes, nothing."""
        limit = time.monotonic() + IN_FLIGHT_SECONDS
        while True:
            flight = await self.watch.flight()
            if (flight.workflows and flight.commands) or time.monotonic() > limit:
                return flight
            if await called_within(self.over, GLANCE_SECONDS):
                return flight

    async def _carry_out(self, fault: Fault, flight: Flight) -> tuple[bool, str]:
        kind = fault.kind
        if kind in {Kind.WORKER_KILLED, Kind.WORKER_STOPPED}:
            return await self._worker(fault)
        hit = flight.workflows > 0 and flight.commands > 0
        if kind is Kind.ROLE_KILLED:
            member = chosen(self.crew.others, fault)
            return member.kill() is not None and hit, member.role.name
        if kind in {Kind.QUEUES_PURGED, Kind.QUEUES_DELETED}:
            return hit, await self._empty(fault)
        details = await self._server(fault)
        return hit, details

    # --- processes --------------------------------------------------------------------------------------------------

    async def _worker(self, fault: Fault) -> tuple[bool, str]:
        member = await self._one_that_holds_claims(fault)
        if fault.kind is Kind.WORKER_KILLED:
            process_id = member.kill()
            held = 0 if process_id is None else await self.watch.claims_of(process_id)
            return held > 0, f"{member.role.name} held {held} claims"
        process_id = member.stop()
        held = 0 if process_id is None else await self.watch.claims_of(process_id)
        try:
            await called_within(self.over, fault.lasts_seconds)
        finally:
            member.go_on()
        return held > 0, f"{member.role.name} held {held} claims, for {fault.lasts_seconds:.1f} s"

    async def _one_that_holds_claims(self, fault: Fault) -> Member:
        """A worker with claims, as soon as there is one; where none comes to any, one without."""
        limit = time.monotonic() + IN_FLIGHT_SECONDS
        while True:
            owners = await self.watch.claiming()
            workers = self.crew.workers
            holding = [one for one in workers if any(f"-{one.process_id}-" in owner for owner in owners)]
            if holding or time.monotonic() > limit or await called_within(self.over, GLANCE_SECONDS):
                return chosen(holding or workers, fault)

    # --- queues -----------------------------------------------------------------------------------------------------

    async def _empty(self, fault: Fault) -> str:
        """Purge or delete every queue that is worked on; the dead are left to be counted.

        Half of the times the consumers are away for a moment: what they held is back in its queue, and goes with it.
        """
        line = self.stage.broker_line
        away = fault.number < HALF
        if away:
            await asyncio.to_thread(line.refuse)
            await called_within(self.over, AWAY_SECONDS)
        try:
            counts = await emptied(
                self.stage.vhost.url,
                self.stage.working_queues(),
                deleted=fault.kind is Kind.QUEUES_DELETED,
                within_seconds=QUEUE_SECONDS,
            )
        finally:
            line.accept()
        if fault.kind is Kind.QUEUES_DELETED:
            await called_within(self.over, fault.lasts_seconds)
            await asyncio.to_thread(self.stage.apply_topology)
        self.lost += counts
        return f"{sum(counts.values())} messages in {len(counts)} queues"

    # --- servers and lines ------------------------------------------------------------------------------------------

    async def _server(self, fault: Fault) -> str:
        stage = self.stage
        lines = {
            Kind.BROKER_CUT: stage.broker_line,
            Kind.BROKER_STALLED: stage.broker_line,
            Kind.DATABASE_CUT: stage.database_line,
            Kind.DATABASE_STALLED: stage.database_line,
        }
        if fault.kind in {Kind.BROKER_CUT, Kind.DATABASE_CUT}:
            harshly = fault.number < HALF
            line = lines[fault.kind]
            ended = await asyncio.to_thread(line.reset if harshly else line.cut)
            return f"{ended} connections {'reset' if harshly else 'closed'}"
        down, up = {
            Kind.BROKER_STALLED: (stage.broker_line.stall, stage.broker_line.resume),
            Kind.DATABASE_STALLED: (stage.database_line.stall, stage.database_line.resume),
            Kind.BROKER_KILLED: (stage.broker.kill9, stage.broker.start),
            Kind.DATABASE_FAST: (lambda: stage.cluster.stop("fast"), stage.cluster.start),
            Kind.DATABASE_IMMEDIATE: (lambda: stage.cluster.stop("immediate"), stage.cluster.start),
            Kind.DATABASE_SUSPENDED: (stage.cluster.suspend, stage.cluster.resume),
        }[fault.kind]
        return await self._away(fault, down, up)

    async def _away(self, fault: Fault, down: Callable[[], None], up: Callable[[], None]) -> str:
        began = time.monotonic()
        await asyncio.to_thread(down)
        try:
            await called_within(self.over, fault.lasts_seconds)
        finally:
            await finished(asyncio.to_thread(up))
        return f"away for {time.monotonic() - began:.1f} s"


def chosen(members: list[Member], fault: Fault) -> Member:
    """The victim that the plan's number means."""
    return members[min(int(fault.number * len(members)), len(members) - 1)]


async def finished(work: Awaitable[None]) -> None:
    """Do this to its end, also where whoever waits for it is told to stop."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
