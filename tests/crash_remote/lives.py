"""One workflow of each kind, served by one process after the other: some die at a fault point, the last one does not.

Servers are shared and stay up; each case has goals of its own, and a world of the outside for each of its workflows.
What must come of them is what comes of them undisturbed.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.loading import load
from deploy.opened import SCHEMA
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from domain.topology import EVENTS_EXCHANGE
from tests.chaos.checks import check
from tests.chaos.driver import beside
from tests.chaos.expected import EXPECTED, child_of
from tests.chaos.line import Ear, Mouth, listen
from tests.chaos.moments import called_within
from tests.chaos.service import Service, asked_for
from tests.chaos.stage import Stage
from tests.chaos.watch import Watch
from tests.crash.processes import KILLED, Ended, Hit, Place, Running, said
from tests.crash.starting import Starter
from tests.crash_remote.workloads import SETTLE_SECONDS

MODULE = "tests.crash_remote.workloads"
DEFINITIONS = load([MODULE], examples=False)
LEASE_SECONDS = 1.0
SWEEP_SECONDS = 0.1
GLANCE_SECONDS = 0.05
SERVES = '"message": "serving '
LIFE_SECONDS = 50.0
"""No life takes longer: what is left then is stuck."""


class Station(Place):
    """Where serving processes run: no home, but a stage."""

    def __init__(self, name: Path, stage: Stage, starter: Starter, extra: Mapping[str, str] | None = None) -> None:
        """What the processes say goes to files beside `name`."""
        super().__init__(name, stage.outside("nobody"), starter, modules=MODULE)
        self._stage = stage
        self._extra = extra or {}

    def arguments(self, *arguments: str) -> list[str]:
        """As they are given."""
        return list(arguments)

    def environment(self, armed: Hit | None = None) -> Mapping[str, str]:
        """What serving processes need; in a lease's time it is known that one was killed."""
        return {
            **self._stage.environment(super().environment(armed)),
            "HANDRAIL_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
            "HANDRAIL_SWEEP_SECONDS": f"{SWEEP_SECONDS:g}",
            "HANDRAIL_HEARTBEAT_SECONDS": "0",
            "HANDRAIL_ARTIFACTS": str(self.home / "artifacts"),
            **self._extra,
        }


@dataclass
class Case:
    """What came of one case."""

    ended: list[Ended] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    """The status of each step, by definition."""

    @property
    def kills(self) -> int:
        """How many lives ended at their fault point."""
        return sum(one.code == KILLED for one in self.ended)


class Cases:
    """Cases on one stage."""

    def __init__(self, stage: Stage, folder: Path, starter: Starter) -> None:
        """What the processes say goes to files in the folder."""
        self._stage = stage
        self._folder = folder
        self._starter = starter
        self._numbers = itertools.count(1)

    async def run(self, *armed: Hit, roles: str = "all") -> Case:
        """Goals of every kind, and a life for each hit; then one that goes on to the end, and what is wrong then."""
        number = next(self._numbers)
        case = Case()
        station = Station(self._folder / f"case-{number}", self._stage, self._starter)
        watch = Watch(self._stage.database.url)
        mouth = Mouth(self._stage.vhost.url_of(self._stage.service), "crash service")
        asked = asked_for(EXPECTED, self._stage.service.name, number)
        goals = {workflow: one.definition for workflow, one in asked.items()}
        service = Service(
            watch=watch,
            mouth=mouth,
            admin=mouth,
            world=self._stage.outside,
            chance=random.Random(number),
            goals=asked,
            most_open=len(asked),
            may_send=lambda: len(asked),
            settle_seconds=SETTLE_SECONDS * 4,
        )
        over = asyncio.Event()
        ear = Ear("chaos.approver", service.approval_requested, [(EVENTS_EXCHANGE, "approval.requested.#")])
        await mouth.start()
        try:
            async with beside(over, service.serve(over), listen(self._stage.vhost.url, [ear], over)):
                for hit in [*armed, None]:
                    running = station.start("serve", roles, "--module", MODULE, armed=hit)
                    case.ended.append(await self._life(running, goals, watch))
        finally:
            await mouth.close()
            watch.close()
        await asyncio.to_thread(self._look, case, goals)
        return case

    async def _life(self, running: Running, goals: Mapping[str, str], watch: Watch) -> Ended:
        """Until the process dies, or everything has ended and it was asked to end."""
        ids = {*goals, *filter(None, (child_of(*one) for one in goals.items()))}
        ended = asyncio.ensure_future(asyncio.to_thread(running.wait))
        limit = asyncio.get_running_loop().time() + LIFE_SECONDS
        never = asyncio.Event()
        while not ended.done() and asyncio.get_running_loop().time() < limit:
            # One that does not serve yet, because all was done when it started, ends by the signal and not in order.
            serves = SERVES in said(running.place.errors)
            if serves and ids <= watch.seen.ended.keys() and await watch.everything_is_done():
                break
            await called_within(never, GLANCE_SECONDS)
        if not ended.done():
            running.process.end()
        return await ended

    def _look(self, case: Case, goals: Mapping[str, str]) -> None:
        store = open_postgres_store(self._stage.database.url, definitions=DEFINITIONS, schema=SCHEMA)
        try:
            case.wrong += check(store, goals, DEFINITIONS, self._stage.outside).problems
            case.steps = {definition: steps_of(store, workflow) for workflow, definition in goals.items()}
        finally:
            store.close()
        codes = [one.code for one in case.ended]
        if codes[-1] != 0 or any(code not in {0, KILLED} for code in codes):
            case.wrong += [f"ended unforeseen: {one}" for one in case.ended if one.code not in {0, KILLED}]


def steps_of(store: WorkflowStore, workflow: str) -> dict[str, str]:
    """The status of each step of a workflow; nothing where there is no workflow."""
    if not store.exists(workflow):
        return {}
    state = store.load(workflow)
    return {name: state.step_status(name).value for name in (*state.settled, *state.steps)}


def compare(case: Case, undisturbed: Case) -> list[str]:
    """What is wrong with a disturbed case, in itself and against the undisturbed one."""
    wrong = list(case.wrong)
    if case.steps != undisturbed.steps:
        wrong.append(f"steps: {case.steps}, undisturbed: {undisturbed.steps}")
    return wrong


Hits = Sequence[Hit]
MakeCases = Callable[[], Cases]
