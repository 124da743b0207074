"""The other side of the measured stack: sends goals as a service does, and hears of their ends from the log.

It costs the machine little: it reads what is new in the log by its index, when the store says that there is something,
or every 20 ms under load.
"""

from __future__ import annotations

import contextlib
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import psycopg

from domain.messages import bodies
from domain.messages.writing import outgoing_goal
from domain.transport import Published
from producers.publisher import AmqpPublisher
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.recipes import CHAIN
from tests.integration.serving.deployment import Deployment

LOOK_SECONDS: Final = 0.02
LIMIT_SECONDS: Final = 120.0
"""How long nothing may end before the measurement gives up."""
GOALS_A_CALL: Final = 500

_ENDED: Final = "SELECT max(id), count(*) FILTER (WHERE topic LIKE %s) FROM stored_events WHERE id > %s"
COMPLETED: Final = "WorkflowCompleted%"
STARTED: Final = "WorkflowStarted%"


class Sender:
    """One service that sends goals, and watches the log. Made with `open_sender`."""

    def __init__(self, publisher: AmqpPublisher, log: psycopg.AsyncConnection[Any]) -> None:
        """Nothing is sent yet."""
        self._publisher = publisher
        self._log = log
        self._name = uuid.uuid4().hex[:12]
        self._position = 0
        self._sent = 0
        self.seen = 0
        """How many events of the kind that is counted were seen."""

    async def send(self, goals: int, goal: str = CHAIN.name) -> None:
        """Publish so many goals of a definition, and wait until the broker has them."""
        for begin in range(0, goals, GOALS_A_CALL):
            most = min(GOALS_A_CALL, goals - begin)
            message_ids = [f"{self._name}-{self._sent + number}" for number in range(most)]
            self._sent += most
            results = await self._publisher.publish(
                [outgoing_goal(bodies.Goal(goal=goal), message_id=one) for one in message_ids]
            )
            if any(one is not Published.CONFIRMED for one in results):
                raise ProgramFailed("the broker did not take a goal")

    async def look(self, what: str = COMPLETED) -> int:
        """How many of these events were seen so far."""
        found = await (await self._log.execute(_ENDED, (what, self._position))).fetchone()
        if found is not None and found[0] is not None:
            self._position = found[0]
            self.seen += found[1]
        return self.seen

    async def told(self) -> None:
        """Return when something was added to the log, or soon."""
        async for _ in self._log.notifies(timeout=LOOK_SECONDS, stop_after=1):
            pass

    async def chains_at_rest(self, chains: int) -> list[float]:
        """The times that single chains took, from sending the goal to seeing its end, in seconds."""
        took: list[float] = []
        for _ in range(chains):
            before = await self.look()
            began = time.perf_counter()
            await self.send(1)
            while await self.look() == before:
                self._give_up(began)
                await self.told()
            took.append(time.perf_counter() - began)
            # What comes after the end (views, announcements) is not the next one's.
            await self._pass_by(LOOK_SECONDS)
        return took

    async def keep_in_flight(
        self, *, seconds: float, in_flight: int, each_look: Callable[[float], None] | None = None
    ) -> tuple[int, float]:
        """Keep so many chains under way for so long, and let them end: how many there were, and how long it took."""
        begin, began, sent = await self.look(), time.perf_counter(), 0
        ended, progress = 0, began
        while True:
            now = time.perf_counter()
            seen = await self.look() - begin
            if seen > ended:
                ended, progress = seen, now
            if now - began < seconds:
                room = in_flight - (sent - ended)
                if room > 0:
                    await self.send(room)
                    sent += room
            elif ended >= sent:
                return ended, time.perf_counter() - began
            self._give_up(progress)
            if each_look is not None:
                each_look(now - began)
            await self._pass_by(LOOK_SECONDS)

    async def until_started(self, goals: int) -> float:
        """Wait until so many workflows have begun; how long it took from the first on, in seconds."""
        began = progress = time.perf_counter()
        while (seen := await self.look(STARTED)) < goals:
            now = time.perf_counter()
            if seen == 0:
                began = now
            self._give_up(progress)
            await self._pass_by(LOOK_SECONDS / 4)
        return time.perf_counter() - began

    async def _pass_by(self, seconds: float) -> None:
        """Let notifications pass by for so long."""
        async for _ in self._log.notifies(timeout=seconds):
            pass

    @staticmethod
    def _give_up(since: float) -> None:
        if time.perf_counter() - since > LIMIT_SECONDS:
            raise ProgramFailed(f"no workflow came on within {LIMIT_SECONDS:g} s")


@contextlib.asynccontextmanager
async def open_sender(deployment: Deployment) -> AsyncIterator[Sender]:
    """A service beside a deployment."""
    publisher = AmqpPublisher(deployment.vhost.url_of(deployment.goal_service), name="benchmark")
    log = await psycopg.AsyncConnection.connect(deployment.database.admin_url, autocommit=True)
    try:
        await publisher.start()
        await log.execute("LISTEN handrail_log")
        yield Sender(publisher, log)
    finally:
        await publisher.close()
        await log.close()


def median_milliseconds(seconds: list[float]) -> float:
    """The median, in milliseconds."""
    return round(statistics.median(seconds) * 1_000, 2)
