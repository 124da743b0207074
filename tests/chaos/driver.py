"""One run: servers, processes, goals and faults together; then quiet, and the verdict.

Goals wait for the faults to do their share, and faults for the workflows to end: both last equally long. When all goals
are sent and every kind of fault has hit often enough, the faults end; what has not ended after the quiet time is stuck.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aio_pika.abc import AbstractIncomingMessage

from deploy.opened import SCHEMA
from domain.store.opening import open_postgres_store
from domain.topology import COMMANDS_EXCHANGE, EVENTS_EXCHANGE, activity_queues_of
from tests.chaos.checks import Verdict, check
from tests.chaos.crew import Crew, Role
from tests.chaos.expected import child_of, goals
from tests.chaos.faults import Injector
from tests.chaos.figures import Report
from tests.chaos.line import Ear, Mouth, listen
from tests.chaos.moments import called_within
from tests.chaos.plan import Kind, Stream, streams
from tests.chaos.service import AGAIN_SECONDS, Service, asked_for, bad_goals
from tests.chaos.stage import DEFINITIONS, MODULE, TOPOLOGY, Stage
from tests.chaos.watch import Watch

GLANCE_SECONDS: Final = 0.5
TELL_SECONDS: Final = 20.0
QUIET_SECONDS: Final = 60.0
"""What has not ended so long after the last fault is stuck."""
AHEAD: Final = 0.02
"""How far the share of the faults may be ahead of the share of the workflows that have ended."""
RUN_UP: Final = 0.15
"""The share of the goals that may be asked for before the first fault has hit."""


@dataclass(frozen=True)
class Run:
    """What a run is to be: `most_seconds` bounds the time until its last fault."""

    workflows: int
    seed: int
    hits_needed: int
    most_open: int
    most_seconds: float
    hurried: bool
    layout: str = "all"
    told: Callable[[str], None] = lambda _: None
    """Hears now and then how far it has come."""
    environment: Mapping[str, str] = field(default_factory=dict)


def roles(layout: str) -> list[Role]:
    """Who serves.

    `all` is two processes of everything, one of which claims nothing as it schedules it, and one more of activities;
    `apart` is two of activities, two that lead or stand by, and one each for messages from others and from services.
    """
    module = ("--module", MODULE)
    patient = {"HANDRAIL_EAGER": "false"}
    if layout == "all":
        return [
            Role("all", ("all", *module), worker=True),
            Role("all", ("all", *module), worker=True, environment=patient),
            Role("activities", ("activities", *module), worker=True),
        ]
    return [
        Role("activities", ("activities", *module), worker=True, environment=patient),
        Role("activities", ("activities", *module), worker=True),
        Role("leading", ("relay", "timer", "projector", *module), worker=False),
        Role("leading", ("relay", "timer", "projector", *module), worker=False),
        Role("goals", ("goals", "outcomes", *module), worker=False),
        Role("people", ("approvals", "signals", "control", *module), worker=False),
    ]


async def run(given: Run, stage: Stage, folder: Path) -> Report:
    """Carry out a run on this stage."""
    return await _Driver(given, stage, folder).run()


class _Driver:
    def __init__(self, given: Run, stage: Stage, folder: Path) -> None:
        chance = random.Random(given.seed)
        self._given = given
        self._stage = stage
        self._watch = Watch(stage.database.url)
        environment = {"HANDRAIL_ARTIFACTS": str(folder / "artifacts"), **given.environment}
        self._crew = Crew(roles(given.layout), stage.environment(environment), folder)
        self._mouth = Mouth(stage.vhost.url_of(stage.service), "chaos service")
        self._admin = Mouth(stage.vhost.url, "chaos administrator")
        self._faults_over, self._all_over = asyncio.Event(), asyncio.Event()
        self._injector = Injector(stage, self._crew, self._watch, self._faults_over, self._may_strike)
        asked = asked_for(goals(given.workflows, chance), stage.service.name, given.seed)
        self._goals = {workflow: one.definition for workflow, one in asked.items()}
        self._ids = {*self._goals, *filter(None, (child_of(*one) for one in self._goals.items()))}
        self._service = Service(
            watch=self._watch,
            mouth=self._mouth,
            admin=self._admin,
            world=stage.outside,
            chance=chance,
            goals=asked,
            most_open=given.most_open,
            may_send=self._may_send,
        )
        self._bad = {message.message_id: message for message in bad_goals(given.seed)}
        self._stopped = False
        self._bad_sent_at = self._told_at = 0.0
        self._dead: dict[str, str] = {}
        self._report = Report(given.seed, given.workflows, given.hits_needed)

    async def run(self) -> Report:
        began = time.monotonic()
        await self._mouth.start()
        await self._admin.start()
        self._crew.start()
        try:
            async with beside(self._all_over, *self._always()):
                async with beside(self._faults_over, *self._faults()):
                    await self._under_load()
                self._report.load_seconds = time.monotonic() - began
                await self._quiet()
            await self._crew.end()
            self._report.verdict = await asyncio.to_thread(self._check)
        finally:
            await self._crew.end()
            await self._mouth.close()
            await self._admin.close()
            self._watch.close()
        return self._reported()

    # --- while it goes on -------------------------------------------------------------------------------------------

    def _always(self) -> Sequence[Coroutine[Any, Any, None]]:
        stage = self._stage
        keys = activity_queues_of(TOPOLOGY)
        ears = [
            Ear("chaos.approver", self._service.approval_requested, [(EVENTS_EXCHANGE, "approval.requested.#")]),
            Ear("chaos.tap", self._service.command_seen, [(COMMANDS_EXCHANGE, key) for key in keys]),
            *(Ear(name, self._died) for name in stage.dead_queues()),
        ]
        return [self._service.serve(self._all_over), listen(stage.vhost.url, ears, self._all_over)]

    def _faults(self) -> Sequence[Coroutine[Any, Any, None]]:
        found = streams(hurried=self._given.hurried)
        return [self._injector.run(stream, self._given.seed) for stream in found]

    def _share_of_faults(self, kinds: Iterable[Kind] = Kind) -> float:
        """How much of their share the faults of these kinds have done, by the kind that has done least."""
        if not self._given.hits_needed:
            return 1.0
        hits = self._injector.hits
        return min(min(hits[kind], self._given.hits_needed) for kind in kinds) / self._given.hits_needed

    def _may_strike(self, stream: Stream) -> bool:
        """Faults keep pace with the load: the last of them hit when the last workflows are under way."""
        ended = len(self._watch.seen.ended) / len(self._ids)
        return self._share_of_faults(kind for kind, _, _ in stream.kinds) <= ended + AHEAD

    def _may_send(self) -> int:
        if self._stopped:
            return 0
        hits, needed = self._injector.hits, self._given.hits_needed * len(Kind)
        done = sum(min(hits[kind], self._given.hits_needed) for kind in Kind) / needed if needed else 1.0
        return int(self._given.workflows * min(1.0, RUN_UP + (1.0 - RUN_UP) * done))

    async def _under_load(self) -> None:
        """Until everything was asked for and all faults have hit often enough, or the time is over."""
        limit = time.monotonic() + self._given.most_seconds
        while not (self._service.all_sent and self._share_of_faults() >= 1.0):
            if time.monotonic() > limit:
                self._interrupt()
                return
            await self._insist_on_the_bad()
            self._tell()
            await called_within(self._all_over, GLANCE_SECONDS)

    def _interrupt(self) -> None:
        """The time is over: no more goals; what was asked for must come to its end all the same."""
        sent = self._service.sent
        self._report.interrupted = f"the time was over after {sent} goals"
        for workflow in self._service.unsent:
            del self._goals[workflow]
        self._ids = {*self._goals, *filter(None, (child_of(*one) for one in self._goals.items()))}
        self._stopped = True

    def _tell(self) -> None:
        now, seen = time.monotonic(), self._watch.seen
        if now - self._told_at > TELL_SECONDS:
            self._told_at = now
            ended = len(self._goals.keys() & seen.ended.keys())
            rare, hits = min(((kind, self._injector.hits[kind]) for kind in Kind), key=lambda one: one[1])
            self._given.told(
                f"{ended} of {len(self._goals)} workflows ended, {len(self._injector.blows)} faults so far; "
                f"least often hit: {rare}, {hits} of {self._given.hits_needed}"
            )

    async def _quiet(self) -> None:
        """Until all have ended, or the quiet time is over."""
        began = time.monotonic()
        while self._open() and time.monotonic() - began < QUIET_SECONDS:
            await self._insist_on_the_bad()
            await called_within(self._all_over, GLANCE_SECONDS)
        self._report.quiet_seconds = time.monotonic() - began
        # The views, and the messages that are meant for the dead, may still be on their way.
        while time.monotonic() - began < QUIET_SECONDS:
            if len(self._bad_dead()) == len(self._bad) and await self._watch.everything_is_done():
                return
            await self._insist_on_the_bad()
            await called_within(self._all_over, GLANCE_SECONDS)

    def _open(self) -> int:
        return len(self._ids - self._watch.seen.ended.keys())

    # --- the dead ---------------------------------------------------------------------------------------------------

    async def _insist_on_the_bad(self) -> None:
        """Send what is meant for the dead until it is there: a queue that is purged may take it along."""
        now = time.monotonic()
        if now - self._bad_sent_at > AGAIN_SECONDS:
            self._bad_sent_at = now
            await self._mouth.say([message for name, message in self._bad.items() if name not in self._dead])

    async def _died(self, message: AbstractIncomingMessage) -> None:
        headers = {name: str(value)[:300] for name, value in message.headers.items()}
        self._dead[message.message_id or ""] = f"{message.message_id} ({message.type}) {json.dumps(headers)}"

    def _bad_dead(self) -> set[str]:
        return self._dead.keys() & self._bad.keys()

    # --- afterwards -------------------------------------------------------------------------------------------------

    def _check(self) -> Verdict:
        store = open_postgres_store(self._stage.database.url, definitions=DEFINITIONS, schema=SCHEMA)
        try:
            return check(store, self._goals, DEFINITIONS, self._stage.outside)
        finally:
            store.close()

    def _reported(self) -> Report:
        report = self._report
        report.blows = self._injector.blows
        report.doubled = dict(self._service.doubled)
        report.messages_lost = dict(self._injector.lost)
        report.events_seen = dict(self._watch.seen.counts)
        report.processes = {
            f"process {member.words.stem}": (member.lives, member.kills) for member in self._crew.members
        }
        report.fell = self._crew.fell
        report.dead = [words for name, words in self._dead.items() if name not in self._bad]
        report.bad_sent, report.bad_dead = len(self._bad), len(self._bad_dead())
        return report


@contextlib.asynccontextmanager
async def beside(over: asyncio.Event, *works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have these going on while the block runs; then they are told that it is over. One that fails ends the block."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
        try:
            yield
        finally:
            over.set()
