"""What the roles of one process share: the store with its companions, the turns, the way out, health. Made once."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from typing import TYPE_CHECKING

from consumers.burial import Burial
from consumers.claims import Claims
from consumers.held_messages import HeldMessages
from consumers.inbox import InboxCompanion, receive
from consumers.intake import IntakeCounts
from consumers.later import LaterAnswers
from consumers.limits import LimitsCompanion
from consumers.receipts import Receipts
from consumers.redaction import Redactor
from deploy.addresses import Address, broker_address, needed, store_address
from deploy.held_goals import HeldGoals, forgetting
from deploy.keyring import covers_of
from deploy.loading import LoadedDefinitions
from deploy.metrics import ProcessMetrics
from deploy.opened import SCHEMA
from deploy.progress import KnownProgress, read_progress
from deploy.serving.awaited import AwaitedDefinitions
from deploy.serving.health import Health, Waits
from deploy.serving.outbound import Outbound
from deploy.settings import Settings
from deploy.traces.asked import open_traces
from deploy.traces.sending import TracedPublisher
from domain.authority import ALL, AnsweringGrants, OperatingGrants, VouchingGrants
from domain.errors import HandrailError
from domain.ports import Clock
from domain.store.application import WorkflowStore
from domain.store.aside import StoreThreads
from domain.store.listening_postgres import listen
from domain.store.opening import open_postgres_store
from domain.store.turns import Turns
from domain.tracing import Traces
from domain.transport import Publisher
from producers.publisher import AmqpPublisher
from producers.reminders import RemindersCompanion
from producers.signals import Signals, SignalsCompanion
from producers.timers import Timer, TimersCompanion

if TYPE_CHECKING:
    from deploy.traces.opening import OpenTraces


class Parts:
    """One process's use of a shared store and broker. Made with `open`, on the event loop that it is for."""

    def __init__(
        self,
        store: WorkflowStore,
        threads: StoreThreads,
        settings: Settings,
        definitions: LoadedDefinitions,
        clock: Clock,
        health: Health,
        metrics: ProcessMetrics,
        opened_traces: OpenTraces | None = None,
    ) -> None:
        """Put the companions beside the store; nothing is connected to the broker yet."""
        self.settings = settings
        self.definitions = definitions
        self.clock = clock
        self.store = store
        self.threads = threads
        self.listening: asyncio.Task[None] | None = None
        """Hears of what other processes add to the log."""
        self.aside = store.aside = threads.rooms
        self.owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.broker: Address = needed(broker_address(settings), "broker")
        self.store_place: Address = needed(store_address(settings), "store")
        self.redactor = Redactor()
        self.inbox = InboxCompanion(self.owner, lease_seconds=settings.lease_seconds)
        self.timers = TimersCompanion()
        deciding = store.deciding
        # Limits before the inbox: the order in which their rows are locked.
        deciding.companions += [LimitsCompanion(), self.inbox, self.timers, SignalsCompanion(), RemindersCompanion()]
        deciding.open_commands = self.inbox
        self.turns = Turns(store, runner=threads.turns)
        self.metrics = self.turns.meter = metrics
        store.recorder.hear_trouble(metrics.store_troubled)
        metrics.progress = KnownProgress(lambda: read_progress(store), clock, aside=self.aside)
        self.signals = Signals(store, self.turns, clock, receive, aside=self.aside)
        self.claims = Claims(store, self.owner, lease_seconds=settings.lease_seconds)
        self.publisher = AmqpPublisher(self.broker.url, name=f"handrail publisher {self.owner}")
        self.publisher.troubled = metrics.broker_troubled
        self.sending: Publisher = self.publisher
        self._opened_traces = opened_traces
        self.traces: Traces | None = None
        if opened_traces is not None:
            self.traces = self.turns.traces = opened_traces.traces
            self.sending = TracedPublisher(self.publisher, self.traces)
        self.burial = Burial(self.sending, consumer=self.owner, clock=clock)
        self.burial.buried = forgetting(HeldGoals(store), self.aside)
        self.receipts = Receipts(store, self.aside)
        self.outbound = Outbound(
            store=store,
            decider=self.turns,
            signals=self.signals,
            claims=self.claims,
            inbox=self.inbox,
            definitions=definitions,
            publisher=self.sending,
            clock=clock,
            aside=self.aside,
        )
        if settings.straight:
            self.inbox.straight = self.outbound.straight
        self.waits = Waits(clock)
        """What roles wait for that are there and cannot go on."""
        self.awaited = AwaitedDefinitions(
            claims=self.claims,
            timer=Timer(store=store, decider=self.turns, clock=clock, scope=lambda: None, aside=self.aside),
            definitions=definitions,
            patience_seconds=settings.definition_patience_seconds,
            waits=self.waits,
            aside=self.aside,
        )
        self.outbound.missing = self.awaited.missing
        self.held = HeldMessages(store, self.aside, tell=store.tell)
        self.later = LaterAnswers(
            self.held, [f"{one.name} {one.version}" for one in definitions], hearers=store.hearers
        )
        self.counts = IntakeCounts()
        self.answering = AnsweringGrants(settings.answering)
        self.vouching, self.operating = grants(settings, self.publisher.address.login)
        self.health = health
        health.checks.update(store=self._store_answers, broker=self._broker_answers, waits=self.waits)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        definitions: LoadedDefinitions,
        clock: Clock,
        health: Health | None = None,
        metrics: ProcessMetrics | None = None,
    ) -> Parts:
        """Open the store and begin to connect to the broker; `health` is told how to ask them, `metrics` count.

        Raises InputInvalid where an address is missing, StoreUnavailable where the store cannot be used: StoreAway
        where it soon may be.
        """
        address = needed(store_address(settings), "store")
        needed(broker_address(settings), "broker")
        threads = StoreThreads()
        try:
            store = await threads.rooms(
                lambda: open_postgres_store(
                    address.url,
                    definitions=definitions,
                    schema=SCHEMA,
                    workflows_held=settings.workflows_held,
                    covers=covers_of(settings),
                )
            )
            opened_traces = await threads.rooms(lambda: _traces_of(settings, store, clock))
        except BaseException:
            threads.close()  # whoever waits for the store comes again and again
            raise
        if opened_traces is not None:
            opened_traces.for_author_code()
        parts = cls(
            store,
            threads,
            settings,
            definitions,
            clock,
            health if health is not None else Health(),
            metrics if metrics is not None else ProcessMetrics(lag_threshold=settings.stuck.lag),
            opened_traces,
        )
        parts.listening = asyncio.create_task(listen(store), name="listening")
        await parts.publisher.start()
        return parts

    async def close(self) -> None:
        """Decide what was asked, confirm what was sent, and let go of store and broker."""
        await self.turns.drained()
        if self.listening is not None:
            self.listening.cancel()
            await asyncio.gather(self.listening, return_exceptions=True)
        await self.outbound.straight.close()
        await self.publisher.close()
        if self._opened_traces is not None:
            await self._opened_traces.close()
        await self.threads.rooms(self.store.close)
        self.threads.close()

    async def probe(self) -> None:
        """Raise StoreUnavailable as long as the store does not answer."""
        await self.aside(self.store.newest)

    async def _store_answers(self) -> str:
        await self.probe()
        return ""

    async def _broker_answers(self) -> str:
        health = self.publisher.health
        return "" if health.connected else f"not connected since {health.since:%H:%M:%S}: {health.detail}"


def _traces_of(settings: Settings, store: WorkflowStore, clock: Clock) -> OpenTraces | None:
    """What emits this process's spans; the store is closed where that cannot be made."""
    try:
        return open_traces(settings, store, clock, broker=broker_address(settings))
    except HandrailError:
        store.close()
        raise


def grants(settings: Settings, own_login: str) -> tuple[VouchingGrants, OperatingGrants]:
    """Whose word counts for what. Handrail's own login passes on what people with tokens, or a shell here, decided."""
    vouching = {own_login: [ALL], **settings.vouching}
    operating = {own_login: {ALL: [ALL]}, **settings.operating}
    return VouchingGrants(vouching), OperatingGrants(operating)
