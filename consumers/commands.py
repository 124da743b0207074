"""Step commands from the broker: each claimed in the inbox, run, and settled when its row says all that it said.

The row is the truth, the delivery a hint: whoever holds a delivery may lose it at any moment, and nothing is lost with
it. A short activity's delivery is acknowledged when its outcome is in the store, so that the prefetch (the room of this
process) bounds what is held; a long one's right after its durable claim, and its queue is consumed only while there is
room. Nothing stays unacknowledged for longer than `HELD_SECONDS`, far below the half hour after which the broker closes
the channel: what has waited for room too long is let go, and its open row is issued again. Until then the store is
told that it waits here: the broker does not tell what a consumer holds, and whoever judges would call it lost.

What cannot be read, or tells its consumer something else than was scheduled, goes to the dead queue with the reason.
A command whose definition is not loaded here is acknowledged; its row stays open for those who have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from consumers.attempts import Activities
from consumers.burial import Fault
from consumers.settlement import Delivered, Settlement, settle
from consumers.waiting import WaitingRoom
from domain.errors import BrokerError, MessageUnfit, StoreError, StoreUnavailable
from domain.ids import message_id
from domain.messages.commands import scheduled_at_of
from domain.messages.names import Fault as FaultName
from domain.messages.reading import read_command
from domain.ports import Command
from domain.tracing import Traces
from domain.transport import Delivery

_log: Final = logging.getLogger("handrail.consumers")

LONG: Final = timedelta(minutes=5)
"""An activity whose attempts may last longer has its deliveries acknowledged when they are claimed."""
WAITING_SECONDS: Final = 240.0
"""How long a delivery waits for room before it is let go."""
HELD_SECONDS: Final = 570.0
"""How long a delivery is held at most: it waits, runs for LONG, and takes its time to be recorded."""
LOOK_EVERY_SECONDS: Final = 5.0
SAID_AFTER_SECONDS: Final = 5.0
"""After how long of waiting the store is told that a command waits here."""
SAID_AGAIN_SECONDS: Final = 20.0
"""How often it is told again, long before it is issued again."""
_BURY_AGAIN_SECONDS: Final = 5.0
_YEARS: Final = range(1970, 9_999)

Bury = Callable[[Sequence[Fault]], Awaitable[None]]
"""Publishes deliveries to their dead queues, and acknowledges them; raises BrokerUnavailable."""
Switch = Callable[[str], None]
"""Has the transport pause, or resume, consuming a queue."""

_FAULTS: Final = {
    Delivered.DIFFERING: (
        FaultName.CONFLICT,
        "it tells its consumer something else than was scheduled under its message id: somebody else wrote it",
    ),
    Delivered.EPOCH_PASSED: (
        FaultName.EPOCH_PASSED,
        "it is of a time that was lost when the store was put back from a backup: its step was asked for anew",
    ),
    Delivered.FOREIGN: (
        FaultName.ACTIVITY_UNKNOWN,
        "its activity is foreign: have a consumer in its own language serve this queue, and no process of Handrail",
    ),
}


@dataclass(slots=True)
class Held:
    """The deliveries of one command, not settled yet. `since` is when the first came, by the event loop's clock.

    `began` is when its attempt did, for whoever traces: what a delivery waited before is no work.
    """

    since: float
    claimed: bool = False
    said_at: float | None = None
    """When the store was told that it waits here."""
    began: datetime | None = None
    deliveries: list[Delivery] = field(default_factory=list)

    def acknowledge(self) -> None:
        """Have the broker forget them."""
        for delivery in self.deliveries:
            delivery.acknowledge()

    def give_back(self) -> None:
        """Have the broker deliver them again."""
        for delivery in self.deliveries:
            delivery.give_back()


class CommandIntake:
    """The port `Intake` for all activity queues of a process, before its waiting room.

    `long_queues` are the queues that hold commands of long activities: they are paused while there is no room. `run`
    has to be run beside it.
    """

    def __init__(
        self,
        room: WaitingRoom,
        activities: Activities,
        *,
        bury: Bury,
        time: Callable[[], float] | None = None,
    ) -> None:
        """Hold nothing yet. `time` is the event loop's clock."""
        self.counts: Counter[str] = Counter()
        self.long_queues: frozenset[str] = frozenset()
        self.pause: Switch = _nobody
        self.resume: Switch = _nobody
        self.traces: Traces | None = None
        self._room = room
        self._activities = activities
        self._bury = bury
        self._time = time or asyncio.get_running_loop().time
        self._held: dict[str, Held] = {}
        self._paused: set[str] = set()
        self._looking = False
        self._faults: list[Fault] = []
        self._burying: asyncio.Task[None] | None = None
        room.claimed = self._claimed
        room.settled = self._settled

    @property
    def held(self) -> int:
        """How many commands have deliveries that are not settled."""
        return len(self._held)

    async def __call__(self, deliveries: Sequence[Delivery], /) -> None:
        """Take these in: claim and start what can begin now.

        Raises StoreUnavailable or BrokerUnavailable; then those that are not settled stay here, and are tried again
        when it is called again, with them or without.
        """
        commands: list[Command] = []
        faults: list[Fault] = []
        for delivery in deliveries:
            try:
                command = read(delivery)
            except MessageUnfit as error:
                self.counts[error.fault] += 1
                faults.append(Fault(delivery, error.fault, str(error)))
                continue
            if self._hold(command, delivery):
                commands.append(command)
        for command in commands[self._room.put(commands) :]:
            self._settled(command, Delivered.ENDING if self._room.closed else Delivered.LET_GO)
        trouble: StoreUnavailable | None = None
        try:
            while await self._room.turn():
                pass
        except StoreUnavailable as error:
            trouble = error
        except StoreError as error:
            trouble = StoreUnavailable(str(error))
        self._look_soon()
        if faults:
            await self._bury(faults)
        if trouble is not None:
            raise trouble

    async def run(self) -> None:
        """Begin what waits as room becomes free, and let go what is held too long; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._room.run())
            tasks.create_task(self._watch())

    def look(self) -> None:
        """Let go what has waited, or been held, for too long."""
        now = self._time()
        waited = {name for name, held in self._held.items() if not held.claimed and now - held.since >= WAITING_SECONDS}
        if waited:
            _log.warning("%s step commands waited for room too long: they are issued again", len(waited))
            self._room.let_go(waited)
        for name, held in list(self._held.items()):
            if now - held.since >= HELD_SECONDS:
                held.acknowledge()
                del self._held[name]

    async def say_waiting(self) -> None:
        """Tell the store which commands have waited here for a while. Trouble with it is waited out."""
        now = self._time()
        waiting = [
            name
            for name, held in self._held.items()
            if not held.claimed
            and now - held.since >= SAID_AFTER_SECONDS
            and (held.said_at is None or now - held.said_at >= SAID_AGAIN_SECONDS)
        ]
        if not waiting:
            return
        try:
            await self._room.say_waiting(waiting)
        except StoreError as error:
            _log.warning("the store is not told what waits for room here: %s", error)
            return
        for name in waiting:
            if name in self._held:
                self._held[name].said_at = now

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            self.look()
            await self.say_waiting()

    def _hold(self, command: Command, delivery: Delivery) -> bool:
        """Hold a delivery with its command; whether the command is new here."""
        held = self._held.get(command.message_id)
        if held is not None:
            # The same again, or once more after a lost connection: whichever is alive is settled with the others.
            if not any(known is delivery for known in held.deliveries):
                held.deliveries.append(delivery)
            return False
        if self._room.holds(command.message_id):
            # It is claimed and runs, and its own delivery has been acknowledged.
            self.counts[Delivered.RUNNING_HERE.name.lower()] += 1
            delivery.acknowledge()
            return False
        self._held[command.message_id] = Held(self._time(), deliveries=[delivery])
        return True

    # --- what the waiting room tells ----------------------------------------------------------------------------------

    def _claimed(self, commands: Collection[Command]) -> None:
        long: list[Held] = []
        for command in commands:
            held = self._held.get(command.message_id)
            if held is None:
                continue
            held.claimed = True
            if self.traces is not None:
                held.began = self.traces.instant()
            if self._is_long(command):
                long.append(held)
                del self._held[command.message_id]
                self._trace(command, held, Delivered.CLAIMED, ran=True)
        # Paused before it is acknowledged, so that the broker sends nothing more in its place.
        self._switch()
        for held in long:
            held.acknowledge()

    def _settled(self, command: Command, delivered: Delivered) -> None:
        self.counts[delivered.name.lower()] += 1
        held = self._held.pop(command.message_id, None)
        if held is not None:
            self._trace(command, held, delivered, ran=delivered is Delivered.OUTCOME_RECORDED)
        if held is not None and settle(delivered) is Settlement.BURY:
            fault, reason = _FAULTS[delivered]
            self._bury_soon([Fault(delivery, fault.value, reason) for delivery in held.deliveries])
        elif held is not None and settle(delivered) is Settlement.GIVE_BACK:
            held.give_back()
        elif held is not None:
            held.acknowledge()
        self._look_soon()

    def _trace(self, command: Command, held: Held, delivered: Delivered, *, ran: bool) -> None:
        if self.traces is not None:
            began = held.began or self.traces.instant()
            self.traces.processed(began, held.deliveries, command, delivered.name.lower(), ran=ran)

    def _is_long(self, command: Command) -> bool:
        prepared = self._activities.find(command.definition, command.definition_version, command.activity)
        return prepared is not None and prepared.declared.start_to_finish > LONG

    # --- pausing ------------------------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        """Pause or resume the queues of long activities, once for all that happens at this moment."""
        if self.long_queues and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._switch)

    def _switch(self) -> None:
        self._looking = False
        waiting = {one.deliveries[0].queue for one in self._held.values() if not one.claimed}
        for queue in self.long_queues:
            busy = self._room.full or queue in waiting
            if busy and queue not in self._paused:
                self._paused.add(queue)
                self.pause(queue)
            elif not busy and queue in self._paused:
                self._paused.discard(queue)
                self.resume(queue)

    # --- burying ------------------------------------------------------------------------------------------------------

    def _bury_soon(self, faults: Sequence[Fault]) -> None:
        self._faults += faults
        if self._burying is None:
            self._burying = asyncio.get_running_loop().create_task(self._bury_all(), name="burying commands")

    async def _bury_all(self) -> None:
        try:
            while self._faults:
                try:
                    await self._bury(self._faults[:1])
                except BrokerError as error:
                    # Where the connection has gone, the broker delivers it again; where not, it is tried again here.
                    _log.warning("a step command could not be moved to its dead queue: %s", error)
                    await asyncio.sleep(_BURY_AGAIN_SECONDS)
                else:
                    del self._faults[0]
        finally:
            self._burying = None


def read(delivery: Delivery) -> Command:
    """The command that a delivery carries; raises MessageUnfit where it is none."""
    body = read_command(delivery).body
    if body.message_id != message_id(body.workflow_id, body.step, body.kind, body.attempt):
        raise MessageUnfit(
            "its message id is not that of the workflow, step, kind and attempt that its body names",
            fault=FaultName.MESSAGE_ID_UNFIT.value,
        )
    if body.expires_at.tzinfo is None or body.expires_at.year not in _YEARS:
        raise MessageUnfit(
            f"expires_at {body.expires_at.isoformat()} is no instant with a time zone, near enough to be met",
            fault=FaultName.SCHEMA.value,
        )
    command = body.command()
    command.scheduled_at = scheduled_at_of(delivery.headers)
    return command


def _nobody(_: str) -> None:
    """Nobody switches: queues are consumed all the time."""
