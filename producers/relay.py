"""The relay: carries on what the log says is to happen outside the workflow that said it.

The log is the outbox. The relay follows it from its position: step commands go to the transport, other services are
told what they may know, children are started, asked to stop, and their ends told to their parents, kept signals come
to waits that begin. Only when all of a batch is done does the position move, by compare-and-set; so whatever a crash
interrupts is done again, and all of it may be done twice: commands are fenced by the inbox, the rest by receipts.

What cannot be carried on (a full queue, one that is bound to nothing, a definition that is not loaded, a workflow whose
beginning cannot be read) is parked with the position and tried again at doubling intervals; it stops nobody else.

The position is written at most every quarter of a second: a commit a batch would cost more than doing a little again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from domain.errors import (
    BrokerError,
    DefinitionMissing,
    HandrailError,
    StoreUnavailable,
    WorkflowUnknown,
)
from domain.events import Event, StepScheduled, StoppingBegan, WaitStarted, WorkflowForked, WorkflowStarted
from domain.ports import Clock, Command, CommandSender, Decided, Decider, Notification, Request, Waiting, unheard
from domain.recorded import RecordedEvent
from producers.facts import KnownWorkflows, WorkflowFacts
from producers.kinship import KIN_EVENTS, Asked, Kinship, Nursery
from producers.signals import Signals

_log: Final = logging.getLogger("handrail.producers")

RELAY: Final = "relay"
"""Name of the relay's position."""
EVENTS_A_BATCH: Final = 500
POSITION_EVERY_SECONDS: Final = 0.25
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0
_LONGEST_SLEEP_SECONDS: Final = 60.0
"""How long the relay sleeps at most before it looks what others have parked."""

_CARRYING: Final = "carry on what the log asks for"
_MOVING: Final = "write its position"
_RETRYING: Final = "try again what is parked"

NotCarried = tuple[RecordedEvent, str]
"""An event that could not be carried on, and why."""


class Follower(Protocol):
    """Hands out the log, batch by batch."""

    @property
    def position(self) -> int:
        """Position of the last event handed out."""
        ...

    async def next_batch(self, limit: int = ...) -> list[Notification]:
        """Wait until there is something, and take it."""
        ...


class Announcer(Protocol):
    """Tells other services what happened."""

    @property
    def kinds(self) -> Collection[type[Event]]:
        """The events that are told."""
        ...

    async def announce(self, told: Sequence[tuple[RecordedEvent, WorkflowFacts]]) -> Sequence[NotCarried]:
        """Tell of these events; those that the transport would not take, and why.

        Raises BrokerError where nothing can be sent at all now.
        """
        ...


class Outside(Nursery, Protocol):
    """What the relay is given by whoever puts the parts together."""

    def drives(self, notification: Notification) -> bool:
        """Whether this process drives the workflow of an event; hears of every event."""
        ...

    async def learn(self, workflow_ids: Collection[str]) -> Mapping[str, str]:
        """Have the facts of these workflows known; those of which they cannot be, and why."""
        ...

    async def wanted(self, message_ids: Sequence[str]) -> Collection[str]:
        """Those of these commands that the relay is to send: nobody has claimed, revoked or sent them yet."""
        ...

    def command(self, recorded: RecordedEvent, facts: WorkflowFacts) -> Command:
        """The command that a StepScheduled event asks for."""
        ...

    def stopping(self, workflow_id: str, event: StoppingBegan) -> None:
        """A workflow began to stop: tell its attempts."""
        ...

    async def move(self, before: int, after: int, parked: Sequence[NotCarried]) -> None:
        """Write the relay's position, and what was parked on the way; raises FenceMissed where it is not at `before`.

        Nothing was parked and nothing is moved where `before` is `after`.
        """
        ...

    async def parked(self, limit: int) -> Sequence[RecordedEvent]:
        """Up to `limit` parked events that are to be tried again now."""
        ...

    async def settle(self, carried: Sequence[RecordedEvent], failed: Sequence[NotCarried]) -> None:
        """Forget parked events that were carried on now, and put off the others."""
        ...

    async def seconds_to_next(self) -> float | None:
        """How long until the next parked event is to be tried again; None where there is none."""
        ...


@dataclass(slots=True)
class _Batch:
    """What a batch of events asks for."""

    scheduled: dict[str, RecordedEvent] = field(default_factory=dict)
    told: list[RecordedEvent] = field(default_factory=list)
    kin: list[RecordedEvent] = field(default_factory=list)
    waits: list[tuple[RecordedEvent, WaitStarted]] = field(default_factory=list)
    not_carried: dict[tuple[str, int], NotCarried] = field(default_factory=dict)

    def fail(self, recorded: RecordedEvent, reason: str) -> None:
        """Say that an event could not be carried on."""
        self.not_carried[recorded.originator_id, recorded.originator_version] = recorded, reason

    def leave_out(self, unreadable: Mapping[str, str]) -> None:
        """Carry on nothing of these workflows: their facts cannot be known, for these reasons."""
        concerned = (*self.scheduled.values(), *self.told, *self.kin)
        left_out = [recorded for recorded in concerned if recorded.originator_id in unreadable]
        for recorded in left_out:
            self.fail(recorded, unreadable[recorded.originator_id])
        self.scheduled = {name: one for name, one in self.scheduled.items() if one.originator_id not in unreadable}
        self.told = [recorded for recorded in self.told if recorded.originator_id not in unreadable]
        self.kin = [recorded for recorded in self.kin if recorded.originator_id not in unreadable]


class Relay:
    """Follows the log and carries on what it says."""

    def __init__(  # noqa: PLR0913 - the pieces that a process puts together
        self,
        *,
        follower: Follower,
        sender: CommandSender,
        decider: Decider,
        signals: Signals,
        known: KnownWorkflows,
        outside: Outside,
        clock: Clock,
        announcer: Announcer | None = None,
        waiting: Waiting = unheard,
    ) -> None:
        """Nothing is carried on before `run`. Without an announcer nobody outside is told anything.

        `waiting` hears when the store or the broker is waited for.
        """
        self._follower = follower
        self._sender = sender
        self._decider = decider
        self._signals = signals
        self._known = known
        self._outside = outside
        self._kinship = Kinship(known, outside, clock)
        self._announcer = announcer
        self._waiting = waiting
        self._told: Collection[type[Event]] = announcer.kinds if announcer is not None else ()
        self._written = follower.position
        self._done = follower.position
        self._parked: list[NotCarried] = []
        self._moved = asyncio.Event()
        self._parked_again = asyncio.Event()

    async def run(self) -> None:
        """Carry on until cancelled; raises FenceMissed where another relay moved the position."""
        await _first_of(self._follow, self._keep_position, self._retry)

    async def write_position(self) -> None:
        """Write how far the relay has come, where that has changed."""
        done, parked = self._done, self._parked
        if done == self._written:
            return
        await self._outside.move(self._written, done, parked)
        self._written = done
        if parked:
            self._parked = self._parked[len(parked) :]
            self._parked_again.set()

    # --- what runs at the same time ---------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while batch := await self._follower.next_batch(EVENTS_A_BATCH):
            not_carried = await self._carry_until_done(batch, _CARRYING)
            self._parked = [*self._parked, *not_carried]
            self._done = batch[-1].position
            self._moved.set()

    async def _keep_position(self) -> None:
        while True:
            await self._moved.wait()
            await asyncio.sleep(POSITION_EVERY_SECONDS)
            self._moved.clear()
            try:
                await self.write_position()
                self._waiting(_MOVING, None)
            except StoreUnavailable as error:
                _log.warning("the relay's position could not be written: %s", error)
                self._waiting(_MOVING, error)
                await asyncio.sleep(_LONGEST_PAUSE_SECONDS)
                self._moved.set()

    async def _retry(self) -> None:
        """Try again what could not be carried on: a queue may be bound by now, a definition loaded."""
        while True:
            self._parked_again.clear()
            try:
                while parked := await self._outside.parked(EVENTS_A_BATCH):
                    await self._carry_again(parked)
                seconds = await self._outside.seconds_to_next()
                self._waiting(_RETRYING, None)
            except StoreUnavailable as error:
                _log.warning("what is parked could not be tried again: %s", error)
                self._waiting(_RETRYING, error)
                seconds = _LONGEST_PAUSE_SECONDS
            seconds = _LONGEST_SLEEP_SECONDS if seconds is None else min(seconds, _LONGEST_SLEEP_SECONDS)
            handle = asyncio.get_running_loop().call_later(max(seconds, _FIRST_PAUSE_SECONDS), self._parked_again.set)
            try:
                await self._parked_again.wait()
            finally:
                handle.cancel()

    async def _carry_again(self, parked: Sequence[RecordedEvent]) -> None:
        failed = await self._carry_until_done([Notification(0, recorded) for recorded in parked], _RETRYING)
        still = {(recorded.originator_id, recorded.originator_version) for recorded, _ in failed}
        carried = [one for one in parked if (one.originator_id, one.originator_version) not in still]
        await self._outside.settle(carried, failed)

    # --- one batch --------------------------------------------------------------------------------------------------

    async def _carry_until_done(self, events: Sequence[Notification], doing: str) -> list[NotCarried]:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                not_carried = await self._carry(events)
            except (StoreUnavailable, BrokerError) as error:
                _log.warning("the relay waits: %s", error)
                self._waiting(doing, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                self._waiting(doing, None)
                return not_carried

    async def _carry(self, events: Sequence[Notification]) -> list[NotCarried]:
        batch = self._sort(events)
        concerned = [*batch.scheduled.values(), *batch.told, *batch.kin]
        unknown = self._known.unknown(recorded.originator_id for recorded in concerned)
        if unknown and (unreadable := await self._outside.learn(unknown)):
            batch.leave_out(unreadable)
        await self._send(batch)
        if batch.kin:
            await self._ask(batch)
        for recorded, wait in batch.waits:
            await self._signals.wanted(recorded.originator_id, wait)
        return list(batch.not_carried.values())

    def _sort(self, events: Sequence[Notification]) -> _Batch:
        batch = _Batch()
        outside, told = self._outside, self._told
        for notification in events:
            recorded = notification.event
            event = recorded.event
            kind = type(event)
            driven = outside.drives(notification)
            if kind is StepScheduled:
                if driven:
                    batch.scheduled[event.message_id] = recorded  # type: ignore[attr-defined]  # it is a StepScheduled
            elif kind is WorkflowStarted or kind is WorkflowForked:
                self._known.note(recorded)
            elif kind is WaitStarted and event.reason == "signal":  # type: ignore[attr-defined]  # as above
                batch.waits.append((recorded, event))  # type: ignore[arg-type]  # as above
            elif kind in KIN_EVENTS:
                batch.kin.append(recorded)
                if kind is StoppingBegan:
                    outside.stopping(recorded.originator_id, event)  # type: ignore[arg-type]  # as above
            if kind in told and driven:
                batch.told.append(recorded)
        return batch

    async def _send(self, batch: _Batch) -> None:
        """Commands and announcements, all on their way at once."""
        sending: list[Awaitable[None]] = []
        if batch.scheduled:
            sending.append(self._send_commands(batch))
        if batch.told:
            sending.append(self._tell(batch))
        for answer in await asyncio.gather(*sending, return_exceptions=True):
            if answer is not None:
                raise answer

    async def _send_commands(self, batch: _Batch) -> None:
        wanted = frozenset(await self._outside.wanted(list(batch.scheduled)))
        commands = [
            self._outside.command(recorded, self._known.of(recorded.originator_id))
            for message_id, recorded in batch.scheduled.items()
            if message_id in wanted
        ]
        if commands:
            for not_sent in await self._sender.send(commands):
                batch.fail(batch.scheduled[not_sent.message_id], not_sent.reason)

    async def _tell(self, batch: _Batch) -> None:
        if self._announcer is not None:
            told = [(recorded, self._known.of(recorded.originator_id)) for recorded in batch.told]
            for recorded, reason in await self._announcer.announce(told):
                batch.fail(recorded, reason)

    async def _ask(self, batch: _Batch) -> None:
        """What the events ask of other workflows, in the order of the log: a child is started before it is stopped."""
        asked: Asked = []
        for recorded in batch.kin:
            try:
                await self._kinship.ask(recorded, asked)
            except DefinitionMissing as error:
                batch.fail(recorded, str(error))
        answers: list[Awaitable[Decided]] = [self._decider.decide(request) for request, _ in asked]
        gathered = await asyncio.gather(*answers, return_exceptions=True)
        for (request, recorded), answer in zip(asked, gathered, strict=True):
            if isinstance(answer, BaseException):
                await self._failed(request, recorded, answer, batch)

    async def _failed(self, request: Request, recorded: RecordedEvent, error: BaseException, batch: _Batch) -> None:
        """What could not be asked of another workflow: trouble is raised, a refusal is told where somebody waits."""
        if isinstance(error, StoreUnavailable) or not isinstance(error, HandrailError):
            raise error
        if isinstance(error, DefinitionMissing):
            batch.fail(recorded, str(error))
        elif (told := self._kinship.refused(request, error)) is not None:
            await self._decider.decide(told)
        elif not isinstance(error, WorkflowUnknown):
            _log.error("workflow %s refused %s: %s", request.workflow_id, request.trigger, error)


async def _first_of(*roles: Callable[[], Awaitable[None]]) -> None:
    """Run these at the same time until one of them ends, or fails; then end the others."""
    tasks = [asyncio.ensure_future(role()) for role in roles]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException) and not isinstance(one, asyncio.CancelledError):
            raise one
