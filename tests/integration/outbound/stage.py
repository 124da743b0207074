"""One process of many on a shared store, a broker that does as it is told, and a worker that consumes from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from consumers.claims import Claims
from consumers.inbox import InboxCompanion, receive
from consumers.sweep import Sweep
from deploy.loading import LoadedDefinitions, load
from deploy.opened import SCHEMA
from deploy.serving.outbound import Outbound
from domain.definitions import Definition
from domain.errors import BrokerUnavailable
from domain.messages import StepCommand
from domain.ports import Command, Decided, Request
from domain.state import State
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store, open_sqlite_store
from domain.store.turns import Turns
from domain.topology import COMMANDS_EXCHANGE, EVENTS_EXCHANGE
from domain.transport import Outgoing, Published, Publisher
from domain.triggers import RecordOutcome, StartWorkflow
from producers.parked import Parked, ParkedRow
from producers.reminders import RemindersCompanion
from producers.signals import Signals, SignalsCompanion
from producers.timers import TimersCompanion

LIMIT_SECONDS = 30.0


def utc_now() -> datetime:
    return datetime.now(UTC)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nobody announces."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - whatever the test waits for
            await asyncio.sleep(0)


class ScriptedBroker:
    """The port `Publisher`, with queues. `unbound` and `full` are routing keys; `down` it takes nothing."""

    def __init__(self) -> None:
        self.queues: dict[str, deque[Outgoing]] = {}
        self.told: list[Outgoing] = []
        self.unbound: set[str] = set()
        self.full: set[str] = set()
        self.down = False
        self.calls: list[int] = []
        self.published: Counter[str] = Counter()

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        await asyncio.sleep(0)
        if self.down:
            raise BrokerUnavailable("the broker is down")
        self.calls.append(len(messages))
        return [self._take(message) for message in messages]

    def _take(self, message: Outgoing) -> Published:
        if message.exchange == EVENTS_EXCHANGE:
            if message.routing_key in self.full:
                return Published.REFUSED
            self.told.append(message)
            return Published.CONFIRMED
        if message.routing_key in self.unbound:
            return Published.RETURNED
        if message.routing_key in self.full:
            return Published.REFUSED
        self.published[message.message_id] += 1
        self.queues.setdefault(message.routing_key, deque()).append(message)
        return Published.CONFIRMED

    def purge(self) -> int:
        """Forget everything; how much it was."""
        lost = sum(map(len, self.queues.values()))
        self.queues.clear()
        return lost

    @property
    def waiting(self) -> list[str]:
        """Message ids in all queues."""
        return [message.message_id for queue in self.queues.values() for message in queue]


class Process:
    """One process: its own connection to the store, its own relay and sweep, its own worker."""

    def __init__(
        self, store: WorkflowStore, definitions: LoadedDefinitions, publisher: Publisher, name: str = "one"
    ) -> None:
        self.store = store
        self.definitions = definitions
        self.inbox = InboxCompanion(name, lease_seconds=30)
        store.deciding.companions += [self.inbox, TimersCompanion(), SignalsCompanion(), RemindersCompanion()]
        store.deciding.open_commands = self.inbox
        self.turns = Turns(store)
        self.claims = Claims(store, name, lease_seconds=30)
        self.outbound = Outbound(
            store=store,
            decider=self.turns,
            signals=Signals(store, self.turns, utc_now, receive),
            claims=self.claims,
            inbox=self.inbox,
            definitions=definitions,
            publisher=publisher,
            clock=utc_now,
        )
        self.sweep = Sweep(
            claims=self.claims,
            decider=self.turns,
            clock=utc_now,
            running=lambda: (),
            scope=lambda: None,
            reissue=self.outbound.reissue,
        )
        self.ran: Counter[str] = Counter()

    async def start(self, definition: Definition, count: int = 1, prefix: str = "wf") -> list[str]:
        """Begin workflows."""
        names = [f"{prefix}_{number:03d}" for number in range(count)]
        await asyncio.gather(*(self.ask(name, _start(definition)) for name in names))
        return names

    async def ask(self, workflow_id: str, trigger: Any) -> Decided:
        return await self.turns.decide(Request(workflow_id, trigger, utc_now(), "test", "alice"))

    def state(self, workflow_id: str) -> State:
        return self.store.load(workflow_id)

    def ended(self, names: Collection[str]) -> bool:
        """Whether all of these have ended."""
        return all(self.state(name).ended is not None for name in names)

    def parked(self) -> list[ParkedRow]:
        return Parked(self.store).all()

    @contextlib.asynccontextmanager
    async def relaying(self) -> AsyncIterator[asyncio.Task[None]]:
        """The relay runs."""
        async with running(self.outbound.relay()) as task:
            yield task

    async def work(self, broker: ScriptedBroker) -> None:
        """Run whatever comes from the broker's queues, until cancelled."""
        while True:
            commands = [
                StepCommand.model_validate_json(queue.popleft().body).command()
                for queue in list(broker.queues.values())
                for _ in range(len(queue))
            ]
            if commands:
                await self.run(commands)
            await asyncio.sleep(0)

    async def run(self, commands: Sequence[Command]) -> None:
        """Claim these commands and record an outcome for each that was open."""
        claimed = self.claims.claim([command.message_id for command in commands])
        mine = {command.message_id: command for command in commands if command.message_id in claimed}
        await asyncio.gather(*(self._finish(command) for command in mine.values()))

    async def _finish(self, command: Command) -> None:
        self.ran[command.message_id] += 1
        trigger = RecordOutcome(
            step=command.step,
            kind="run",
            attempt=command.attempt,
            status="ok",
            output={"i": 1},
            worker="test",
            started_at=utc_now(),
            finished_at=utc_now(),
        )
        await self.turns.decide(
            Request(command.workflow_id, trigger, utc_now(), command.message_id, "worker", completes=command.message_id)
        )


def damage(process: Process, workflow_id: str) -> None:
    """Spoil a workflow's first event."""
    with process.store.transaction() as cursor:
        cursor.execute(
            "UPDATE stored_events SET state = ? WHERE originator_id = ? AND originator_version = 1", (b"x", workflow_id)
        )


@contextlib.asynccontextmanager
async def running(work: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run something beside; what it raised is raised."""
    task: asyncio.Task[None] = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        ended = task.done()
        task.cancel()
        (answer,) = await asyncio.gather(task, return_exceptions=True)
    if ended and isinstance(answer, BaseException) and not isinstance(answer, asyncio.CancelledError):
        raise answer


Open = Callable[[LoadedDefinitions], WorkflowStore]
"""Opens the store of a test once more, as a further process would."""


def opener(place: str) -> Open:
    """Opens a store by its place: a URL of PostgreSQL, or a file."""
    if place.startswith("postgresql:"):
        return lambda definitions: open_postgres_store(place, definitions=definitions, schema=SCHEMA, create=True)
    return lambda definitions: open_sqlite_store(place, definitions=definitions, schema=SCHEMA)


def loaded(*definitions: Definition) -> LoadedDefinitions:
    return load((), definitions, examples=False)


def _start(definition: Definition) -> StartWorkflow:
    return StartWorkflow(
        goal=definition.name,
        definition=definition.name,
        definition_version=definition.version,
        input={"i": 1},
        requested_by="alice",
    )


__all__ = ["COMMANDS_EXCHANGE", "Process", "ScriptedBroker", "loaded", "opener", "running", "until"]
