"""What the command line uses instead of a runtime where others serve the store: it looks, and sends messages.

A deciding command publishes the same message as any other service, sends it again until the store has its receipt, and
then reads what the workflow recorded because of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar

from pydantic import ValidationError

from deploy.addresses import broker_address, needed, store_address
from deploy.following import PatientFollower
from deploy.keyring import covers_of
from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA
from deploy.sending import Sending
from deploy.settings import Settings
from deploy.watching import Watchers
from domain.errors import BrokerUnavailable, InputInvalid, StoreError
from domain.ids import receipt_id
from domain.messages import bodies
from domain.messages.writing import outgoing_approval, outgoing_control, outgoing_signal
from domain.ports import Decided, Request
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.application import WorkflowStore
from domain.store.aside import Threads
from domain.store.opening import open_postgres_store
from domain.transport import Outgoing
from domain.triggers import Intervention, RecordDecision, Trigger
from producers.publisher import AmqpPublisher

EFFECT_SECONDS: Final = 60.0
"""How long a command waits for what it sent to have an effect."""

Found = TypeVar("Found")


class RemoteRuntime:
    """A shared store, looked at, and its broker, spoken to when something is to be decided.

    Made with `async with`. Nothing runs here: `handrail serve` does that elsewhere.
    """

    holder: Final = True
    """Whoever serves drives; there is nobody to stand by for."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet. Raises InputInvalid where the settings name no store."""
        self._settings = settings
        self._address = needed(store_address(settings), "store")
        self._threads = Threads("remote store", most=2)
        self._store: WorkflowStore | None = None
        self._watchers: Watchers | None = None
        self._follower: PatientFollower | None = None
        self._watching: asyncio.Task[None] | None = None
        self._publisher: AmqpPublisher | None = None

    async def __aenter__(self) -> Self:
        """Open the store; raises StoreUnavailable or StoreNewer."""
        self._store = store = await self._threads(
            lambda: open_postgres_store(
                self._address.url, definitions=LoadedDefinitions(), schema=SCHEMA, covers=covers_of(self._settings)
            )
        )
        store.aside = self._threads
        self._watchers = Watchers(store)
        self._follower = PatientFollower(store, await self._threads(store.newest))
        self._watching = asyncio.create_task(self._watchers.run(self._follower), name="watchers")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of store and broker."""
        if self._publisher is not None:
            await self._publisher.close()
        if self._follower is not None:
            self._follower.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._store is not None:
            await self._threads(self._store.close)
        self._threads.close()

    @property
    def store(self) -> WorkflowStore:
        """The event store, for looking into it."""
        if self._store is None:
            raise StoreError("the store is not open: use it within `async with`")
        return self._store

    async def decide(
        self, workflow_id: str, trigger: Trigger, *, actor: str, cause: str = "command", message_id: str | None = None
    ) -> Decided:
        """Send what a person decided, and wait for what the workflow records because of it.

        Under the same `message_id` the same is done once, however often it is sent; without one each call is an act.
        Raises WorkflowUnknown, InputInvalid where it is nothing that can be sent, BrokerUnavailable, StoreUnavailable.
        """
        del actor, cause  # the message says who, and is the cause
        before = await self._threads(lambda: self.store.load(workflow_id))
        message, receipt = self._message(trigger, before, message_id or _fresh_id())
        request = Request(workflow_id, trigger, datetime.now(UTC), receipt, self.login)

        async def look() -> Decided | None:
            return await self._threads(lambda: self._decided(request, before))

        return await self._until(message, look)

    async def signal(self, name: str, correlation: str, payload: object) -> None:
        """Send a signal; returns when it is kept for whoever waits for it."""
        message_id = _fresh_id()
        try:
            body = bodies.Signal(name=name, correlation=correlation, payload=payload)
        except ValidationError as error:
            raise InputInvalid(_first(error)) from error
        receipt = receipt_id("signal", self.login, message_id)

        async def look() -> bool | None:
            return await self._threads(lambda: self._has(receipt)) or None

        await self._until(outgoing_signal(body, message_id=message_id), look)

    async def follow(self, workflow_id: str, after_version: int = 0) -> AsyncIterator[RecordedEvent]:
        """A workflow's events behind a version, as they are committed, by whichever process; without an end."""
        if self._watchers is None:
            raise StoreError("the store is not open: use it within `async with`")
        async for recorded in self._watchers.follow(workflow_id, after_version):
            yield recorded

    @property
    def login(self) -> str:
        """The broker's login, in whose name is sent. Raises InputInvalid where the settings name no broker."""
        return self._opened_publisher().address.login

    # --- details ----------------------------------------------------------------------------------------------------

    def _opened_publisher(self) -> AmqpPublisher:
        if self._publisher is None:
            address = needed(broker_address(self._settings), "broker")
            self._publisher = AmqpPublisher(address.url, name="handrail command line")
        return self._publisher

    def _message(self, trigger: Trigger, state: State, message_id: str) -> tuple[Outgoing, str]:
        """The message that carries a trigger, and the id of the receipt that it will leave."""
        try:
            if isinstance(trigger, RecordDecision):
                body = bodies.Approval(workflow_id=state.workflow_id, **trigger.model_dump(exclude={"type"}))
                message = outgoing_approval(body, message_id=message_id, definition=state.definition)
                return message, receipt_id("approval", self.login, message_id)
            if isinstance(trigger, Intervention):
                message = outgoing_control(bodies.control_of(state.workflow_id, trigger), message_id=message_id)
                return message, receipt_id("control", self.login, message_id)
        except ValidationError as error:
            raise InputInvalid(f"this cannot be sent: {_first(error)}") from error
        raise InputInvalid(f"{type(trigger).__name__} cannot be sent to a shared store")

    def _decided(self, request: Request, before: State) -> Decided | None:
        """What the workflow recorded because of a message; None while nobody has decided on it."""
        if not self._has(request.cause):
            return None
        rows = self.store.recorder.select_since({before.workflow_id: before.version}).get(before.workflow_id, [])
        events = [self.store.mapper.read(*row) for row in rows]
        caused = tuple(one for one in events if one.cause == request.cause)
        ignored = None if caused else "the workflow recorded nothing because of it"
        return Decided(request, self.store.load(before.workflow_id), caused, ignored)

    def _has(self, receipt: str) -> bool:
        return bool(self.store.query("SELECT 1 FROM inbox WHERE message_id = ?", (receipt,)))

    async def _until(self, message: Outgoing, look: Callable[[], Awaitable[Found | None]]) -> Found:
        publisher = self._opened_publisher()
        await publisher.start()
        sent = await Sending(publisher, why=lambda: publisher.health.detail).until(
            message, look, timeout_seconds=EFFECT_SECONDS
        )
        if sent.found is None:
            raise BrokerUnavailable(
                f"the broker has the message {message.message_id}, and nobody has decided on it within "
                f"{EFFECT_SECONDS:g} s: `handrail doctor` says whether its queue is consumed, `handrail dead list` "
                "whether it was refused"
            )
        return sent.found


def _fresh_id() -> str:
    return f"cli-{uuid.uuid4().hex}"


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
