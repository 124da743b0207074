"""A serving process: roles put together, run until the process is asked to end, and drained.

Asked to end, it takes nothing new, gives what is under way its grace, and leaves the rest to the others: deliveries go
back to their queues, claims lapse with their leases. Nothing is lost either way; asked twice, it hurries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import Final

from consumers.amqp import AmqpConsumer
from consumers.line import Limits
from deploy.collecting import fewer_collections
from deploy.leading import Elections
from deploy.serving.activities import ActivitiesRole, Served, all_queues, dead_commands
from deploy.serving.ending import Ending
from deploy.serving.endpoint import Endpoint, application
from deploy.serving.health import Lately
from deploy.serving.keeping import kept_up
from deploy.serving.parts import Parts
from deploy.serving.publishing import published_by
from deploy.serving.roles import MESSAGES, Role, http
from domain.errors import FenceMissed, HandrailError, InputInvalid
from domain.store.leading_postgres import PostgresLocks
from domain.topology import APPROVALS_QUEUE, CONTROL_QUEUE, GOALS_QUEUE, OUTCOMES_QUEUE, SIGNALS_QUEUE
from domain.transport import QueueState

_log: Final = logging.getLogger("handrail.deploy")

ROLES: Final = (*MESSAGES, "activities", "http")
EVERYTHING: Final = "all"
_MESSAGE_QUEUES: Final = (GOALS_QUEUE, APPROVALS_QUEUE, SIGNALS_QUEUE, CONTROL_QUEUE, OUTCOMES_QUEUE)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The roles that were asked for, each once; raises InputInvalid for one that there is not."""
    unknown = [name for name in names if name not in {*ROLES, EVERYTHING}]
    if unknown:
        raise InputInvalid(f"there is no role {unknown[0][:80]!r}: choose of {', '.join((*ROLES, EVERYTHING))}")
    return ROLES if EVERYTHING in names else tuple(dict.fromkeys(names))


class ServedProcess:
    """Roles over the parts of one process."""

    def __init__(
        self,
        parts: Parts,
        names: Collection[str],
        *,
        endpoint: Endpoint,
        ending: Ending,
        queues: Collection[str] = (),
        concurrency: int | None = None,
    ) -> None:
        """Nothing is consumed yet; the endpoint answers already. Raises InputInvalid where a queue cannot be served."""
        self._parts = parts
        self._endpoint = endpoint
        self._ending = ending
        self._names = names
        self._roles = [MESSAGES[name](parts) for name in MESSAGES if name in names]
        self.activities: ActivitiesRole | None = None
        if "activities" in names:
            self.activities = ActivitiesRole(parts, Served.of(parts.definitions, queues), concurrency=concurrency)
            self._roles.append(self.activities.role())
        if "outcomes" in names:
            self._roles.append(Role(queues=dead_commands(parts, all_queues(parts.definitions))))
        if "http" in names:
            self._roles.append(http(parts))
        metrics = parts.metrics
        consumed = {queue for role in self._roles for queue in role.queues}
        metrics.takes_in(parts.counts, consumed.intersection(_MESSAGE_QUEUES))
        if self.activities is not None:
            metrics.settles(self.activities.room.counts.__getitem__)
        self._fallen = Lately()
        parts.publisher.destinations.expect(published_by(names, straight=parts.settings.straight))
        parts.health.checks["exchanges"] = self._exchanges_there
        self._consumer = self._made_consumer()
        if self.activities is not None and self._consumer is not None:
            self.activities.intake.pause = self._consumer.pause
            self.activities.intake.resume = self._consumer.resume

    async def run(self) -> None:
        """Serve until asked to end, and drain."""
        parts, address = self._parts, self._endpoint.address
        if "http" in self._names:
            self._endpoint.app = application(parts, begins_goals="goals" in self._names)
        with fewer_collections():
            async with AsyncExitStack() as stack:
                tasks = await self._begun(stack)
                self._tell(address)
                await self._ending.asked.wait()
                await self._drain(tasks)
            await parts.turns.drained()

    # --- details ----------------------------------------------------------------------------------------------------

    def _tell(self, address: str) -> None:
        """Say what is served, and what is not."""
        if not address and "http" in self._names:
            _log.warning("the role http is not served, nor /healthz and /readyz: --port says where they are to answer")
        served = [name for name in self._names if address or name != "http"]
        _log.info("serving %s%s", ", ".join(served), f" at {address}" if address else "")

    def _made_consumer(self) -> AmqpConsumer | None:
        queues = {queue: how for role in self._roles for queue, how in role.queues.items()}
        if not queues:
            return None
        parts = self._parts
        consumer = AmqpConsumer(
            parts.broker.url,
            name=f"handrail consumer {parts.owner}",
            queues=queues,
            probe=parts.probe,
            limits=Limits(longest_hold_seconds=parts.settings.longest_hold_seconds),
        )
        parts.health.checks["queues"] = lambda: _queues_served(consumer)
        return consumer

    async def _exchanges_there(self) -> str:
        return self._parts.publisher.destinations.trouble

    async def _begun(self, stack: AsyncExitStack) -> list[asyncio.Task[None]]:
        led = {name: role for one in self._roles for name, role in one.led.items()}
        loops = {name: role for one in self._roles for name, role in one.loops.items()}
        if led or loops:
            self._parts.health.checks["roles"] = self._fallen
        tasks = [asyncio.create_task(kept_up(name, loop, self._fallen.note), name=name) for name, loop in loops.items()]
        if led:
            locks = PostgresLocks(self._parts.store_place.url)
            elections = await stack.enter_async_context(Elections(locks, trouble=self._fell))
            self._parts.metrics.leads(led, lambda: elections.led)
            tasks += [asyncio.create_task(elections.lead(name, role), name=name) for name, role in led.items()]
        if self._consumer is not None:
            await self._consumer.start()
        return tasks

    def _fell(self, name: str, error: HandrailError) -> None:
        """A role has fallen over something; that another process was first is how it steps down."""
        if not isinstance(error, FenceMissed):
            self._fallen.note(f"{name}: {error}")

    async def _drain(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Take nothing new, finish what is under way, let go of the rest."""
        self._parts.health.draining = True
        grace = self._parts.settings.grace_seconds
        _log.info("ending: up to %g s for what is under way; ask again to hurry", grace)
        draining = asyncio.create_task(self._drained(grace))
        hurried = asyncio.create_task(self._ending.hurry.wait())
        await asyncio.wait([draining, hurried], return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurried, *tasks):
            task.cancel()
        await asyncio.gather(draining, hurried, *tasks, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.close()

    async def _drained(self, grace_seconds: float) -> None:
        ending = [role.drained(grace_seconds) for role in self._roles if role.drained is not None]
        consuming = [] if self._consumer is None else [self._consumer.drain(grace_seconds)]
        for result in await asyncio.gather(*ending, *consuming, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("could not be drained", exc_info=result)


async def _queues_served(consumer: AmqpConsumer) -> str:
    """Which queues are not served, and why; nothing where all are."""
    unserved = [one for one in consumer.health if one.state not in {QueueState.CONSUMING, QueueState.PAUSED}]
    return "; ".join(f"{one.queue}: {one.detail or one.state.value}" for one in unserved)
