"""Thousands of healthy workflows, with approvals, while one process after the other is ended and begun again.

`python -m tests.integration.stuck.healthy [--workflows N] [--restarts N]`, as `make healthy`. Goals wait for the
restarts to do their share, so that both last equally long. All the while `handrail stuck` and /metrics are read:
whatever they call stuck is not. The thresholds are those shipped; in `make test`, where the run is shorter than these,
they are shorter too, and some steps and some people take longer than any of them. Ends with 1 where anything was told,
or a workflow did not complete.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.messages.writing import outgoing_approval, outgoing_goal
from domain.rights import approval_service
from domain.transport import Outgoing, Published
from producers.publisher import AmqpPublisher
from projections.thresholds import LAG as MOST_LAG
from tests.chaos.moments import called_within
from tests.integration.serving.deployment import Deployment, Served
from tests.integration.serving.test_metrics import Scrape
from tests.integration.stuck.orders import APPROVER, HELD, LARGE
from tests.integration.stuck.stage import Stage, modules
from tests.integration.stuck.witness import LAG, SHOWN, Watch
from tests.servers.postgres import own_cluster
from tests.servers.rabbitmq import own_broker

WORKFLOWS = 5_000
MOST_OPEN = 400
RESTARTS = 60
REST_SECONDS = 1.0
"""How long all processes serve between two restarts."""
GLANCE_SECONDS = 0.25
KILLED = 3
"""Every so many-th end of a process is a kill."""
QUIET_SECONDS = 150.0
"""How long the last ones may take: a claim of a process that was killed is held for 30 s, and what comes then again."""

AT_LENGTH = 4
"""Steps that take long, and people who do, where anything is to take long."""

COMPLETED = "SELECT count(*) FROM workflows WHERE definition = 'order' AND status = 'completed'"

ROLES = {
    "people": ("goals", "approvals", "signals", "control", "outcomes"),
    "leading": ("relay", "timer", "projector"),
    "other leading": ("relay", "timer", "projector"),
    "working": ("activities", "goals", "approvals"),
    "other working": ("activities",),
}


@dataclass
class Report:
    """What came of a run."""

    workflows: int
    completed: int = 0
    seconds: float = 0.0
    approvals: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Processes that were ended and begun again, by how."""
    told: set[str] = field(default_factory=set)
    """What was called stuck: none of it was."""
    scrapes: int = 0
    silent: int = 0
    """Scrapes at which no process led the projector."""
    longest_lag_seconds: float = 0.0

    @property
    def problems(self) -> list[str]:
        """What is wrong."""
        found = sorted(self.told)
        if self.completed < self.workflows:
            found.append(f"{self.workflows - self.completed} workflows did not complete")
        if not self.scrapes > self.silent:
            found.append("nobody ever told what is stuck")
        return found

    def __str__(self) -> str:
        """For people."""
        restarts = ", ".join(f"{number} {how}" for how, number in sorted(self.ended.items()))
        return (
            f"{self.completed} of {self.workflows} workflows completed in {self.seconds:.0f} s, "
            f"{self.approvals} approvals, processes begun again: {restarts or 'none'}; "
            f"{self.scrapes} looks at /metrics ({self.silent} while nobody led the views), "
            f"the views behind by {self.longest_lag_seconds:.1f} s at most; "
            f"called stuck: {len(self.told)}" + "".join(f"\n  {one}" for one in self.problems)
        )


class Healthy:
    """One run on a deployment of its own."""

    def __init__(
        self,
        deployment: Deployment,
        workflows: int,
        restarts: int,
        *,
        lasting_seconds: float = 0.0,
        most_lag: timedelta = MOST_LAG,
    ) -> None:
        """`lasting_seconds` is how long some steps and some decisions take; 0: none do."""
        self._lasting_seconds = lasting_seconds
        self._most_lag = most_lag
        self._held = deployment.folder / HELD
        self._stage = Stage(deployment)
        self._deployment = deployment
        self._restarts = restarts
        self._report = Report(workflows)
        self._over = asyncio.Event()
        self._desk = deployment.login(approval_service("desk"))
        deployment.settings["HANDRAIL_VOUCHING"] = json.dumps({self._desk.name: ["*"]})
        deployment.settings["HANDRAIL_HEARTBEAT_SECONDS"] = "2"
        self._ids = {
            workflow_id_from_message(deployment.goal_service.name, name): message
            for name, message in ((name, self._goal(name, number)) for number, name in enumerate(self._names()))
        }
        self._slow_people = set(list(self._ids)[AT_LENGTH : 2 * AT_LENGTH])
        self._asked: set[str] = set()
        self._decided: set[str] = set()

    def _names(self) -> list[str]:
        return [f"order-{number}" for number in range(self._report.workflows)]

    def _goal(self, name: str, number: int) -> Outgoing:
        given: dict[str, Any] = {"amount": number % 100}
        if self._lasting_seconds and number < 2 * AT_LENGTH:
            given = {"takes_long": True} if number < AT_LENGTH else {"amount": LARGE}
        return outgoing_goal(bodies.Goal(goal="order", input=given), message_id=name)

    async def run(self) -> Report:
        """Have all of them ask, be decided on, and complete."""
        if self._lasting_seconds:
            self._held.touch()
        for name, roles in ROLES.items():
            self._stage.begin(name, *roles)
        await asyncio.to_thread(self._stage.up, *ROLES)
        began = time.monotonic()
        with Watch(self._deployment) as watch:
            tasks = [
                asyncio.create_task(one)
                for one in (self._ask(), self._approve(), self._restart(), self._look(watch), self._hold())
            ]
            try:
                await self._until_all_completed()
            finally:
                self._over.set()
                for one in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(one, BaseException):
                        raise one
            self._take(watch)
            if not watch.heard:
                self._report.told.add("handrail stuck said nothing at all")
        self._report.seconds = time.monotonic() - began
        return self._report

    # --- what happens meanwhile -------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        publisher = await self._publisher(self._deployment.vhost.url_of(self._deployment.goal_service))
        try:
            left = list(self._ids.items())
            while left and not await called_within(self._over, GLANCE_SECONDS):
                share = min(1.0, (self._report.ended.total() + 1) / (self._restarts + 1))
                allowed = min(self._report.completed + MOST_OPEN, round(share * len(self._ids)))
                room = max(0, allowed - len(self._asked))
                batch, left = left[:room], left[room:]
                if batch:
                    await self._publish(publisher, [message for _, message in batch])
                    self._asked.update(name for name, _ in batch)
        finally:
            await publisher.close()

    async def _hold(self) -> None:
        await called_within(self._over, self._lasting_seconds)
        self._held.unlink(missing_ok=True)

    async def _approve(self) -> None:
        publisher = await self._publisher(self._deployment.vhost.url_of(self._desk))
        try:
            while not await called_within(self._over, GLANCE_SECONDS):
                messages = await asyncio.to_thread(self._decisions)
                if messages:
                    await self._publish(publisher, messages)
                    self._report.approvals += len(messages)
        finally:
            await publisher.close()

    def _decisions(self) -> list[Outgoing]:
        rows = self._deployment.store.query("SELECT workflow_id FROM waits WHERE reason = 'approval' LIMIT 500")
        later = self._slow_people if self._held.exists() else set()
        return [one for (name,) in rows if name not in self._decided | later for one in self._decision(name)]

    def _decision(self, name: str) -> list[Outgoing]:
        self._decided.add(name)
        request = self._deployment.store.load(name).ballots["reserve"].request
        decided = bodies.Approval(
            workflow_id=name,
            approval_id=request.approval_id,
            round=request.round,
            digest=request.digest,
            decision="approve",
            decided_by=APPROVER,
        )
        return [outgoing_approval(decided, message_id=f"decision-{name}", definition="order")]

    async def _restart(self) -> None:
        for number, name in enumerate(itertools.cycle(ROLES), start=1):
            if number > self._restarts or await called_within(self._over, REST_SECONDS):
                return
            served = self._stage.served[name]
            if number % KILLED:
                await asyncio.to_thread(served.terminate)
            else:
                await asyncio.to_thread(served.kill9)
            self._report.ended["ended" if number % KILLED else "killed"] += 1
            self._stage.begin(name, *ROLES[name])
            await asyncio.to_thread(self._stage.up, name)

    async def _look(self, watch: Watch) -> None:
        while not await called_within(self._over, GLANCE_SECONDS):
            self._take(watch)
            await asyncio.to_thread(self._scrape)

    def _take(self, watch: Watch) -> None:
        for _, rows in watch.new():
            for row in rows:
                self._report.told.add(f"handrail stuck: {row['workflow_id']}, {row['cause']}, since {row['since']}")

    def _scrape(self) -> None:
        report = self._report
        seen = [scrape for scrape in map(scrape_of, list(self._stage.served.values())) if scrape is not None]
        stuck = [
            (dict(labels)["cause"], value)
            for scrape in seen
            for (name, labels), value in scrape.samples.items()
            if name == SHOWN
        ]
        report.scrapes += 1
        report.silent += not stuck
        report.told.update(f"/metrics: {number:g} by {cause}" for cause, number in stuck if number)
        lag = max((scrape.of(LAG, follower="views") or 0.0 for scrape in seen), default=0.0)
        report.longest_lag_seconds = max(report.longest_lag_seconds, lag)
        if lag > self._most_lag.total_seconds():
            report.told.add(f"/metrics: the views are {lag:.0f} s behind")

    # --- details ----------------------------------------------------------------------------------------------------

    async def _until_all_completed(self) -> None:
        last, since = 0, time.monotonic()
        while not await called_within(self._over, GLANCE_SECONDS):
            rows = await asyncio.to_thread(lambda: self._deployment.store.query(COMPLETED))
            ((self._report.completed,),) = rows
            if self._report.completed >= self._report.workflows:
                return
            if self._report.completed > last:
                last, since = self._report.completed, time.monotonic()
            if time.monotonic() - since > QUIET_SECONDS:
                return

    async def _publisher(self, url: str) -> AmqpPublisher:
        publisher = AmqpPublisher(url, name="a service")
        await publisher.start()
        return publisher

    async def _publish(self, publisher: AmqpPublisher, messages: list[Outgoing]) -> None:
        answers = await publisher.publish(messages)
        assert set(answers) == {Published.CONFIRMED}, Counter(answers)


def scrape_of(served: Served) -> Scrape | None:
    """What a process says; None where it is being begun again."""
    try:
        return Scrape(served)
    except OSError:
        return None


def main() -> int:
    """Run, print, and say by the exit code whether anything is wrong."""
    parser = argparse.ArgumentParser(prog="make healthy ARGS=", description="Healthy workflows: nothing is stuck.")
    parser.add_argument("--workflows", type=int, default=WORKFLOWS, help="how many (default: %(default)s)")
    parser.add_argument(
        "--restarts", type=int, default=RESTARTS, help="how often a process is ended and begun again (%(default)s)"
    )
    given = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(tempfile.mkdtemp(prefix="handrail-healthy-"))
        broker, cluster = own_broker(), own_cluster()
        opened.callback(cluster.leave)
        opened.callback(broker.leave)
        deployment = Deployment(broker.new_vhost(), cluster.new_database(), folder, modules=modules("orders"))
        opened.callback(deployment.end)
        report = asyncio.run(Healthy(deployment, given.workflows, given.restarts).run())
    print(report, flush=True)
    if report.problems:
        print(f"what the processes said is in {folder}", file=sys.stderr)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
