"""Messages taken in: goals, approvals, signals, control and outcomes, a turn of deliveries at a time.

Theory. A message is read, and asks something of a workflow; the inbox row that makes a repeat of it a repeat (the
receipt) is inserted by the transaction that decides on it. So a delivery may be acknowledged as soon as its receipt is
in the store, however it came there: by this delivery, by an earlier one, or by a commit whose answer was lost. A
message whose receipt stands for another body is a conflict. What became of a message, and how its delivery is settled
for that, is a table (`consumers/settlement.py`); whatever cannot be accepted goes to the dead queue with its reason.

What cannot be decided on for want of its workflow's definition is held for a process that has it, if anybody holds.

Trouble with the store or the broker is nobody's fault: it is raised, and what it concerns is not settled. All members
of a turn are decided together, and one that is bad harms no other. Nothing that a message holds can raise out of here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel

from consumers.burial import Burial, Fault
from consumers.receipts import Receipts
from consumers.settlement import Received, Settlement, settle_received
from domain.errors import (
    DecisionFault,
    DefinitionMissing,
    DefinitionUnknown,
    EventCorrupt,
    EventUnknown,
    HandrailError,
    InputInvalid,
    MessageUnfit,
    PayloadWithheld,
    Refused,
    StoreUnavailable,
    WorkflowConflict,
    WorkflowUnknown,
)
from domain.ids import workflow_id_from_message
from domain.messages.bodies import Goal, Outcome, Signal
from domain.messages.names import Fault as FaultName
from domain.messages.reading import Read
from domain.ports import Receipt
from domain.tracing import Traces
from domain.transport import Delivery

_log: Final = logging.getLogger("handrail.consumers")

AnyBody = TypeVar("AnyBody", bound=BaseModel)

# The first row that fits decides; subclasses stand before their bases.
FAULTS: Final[tuple[tuple[type[HandrailError], FaultName], ...]] = (
    (WorkflowConflict, FaultName.CONFLICT),
    (WorkflowUnknown, FaultName.WORKFLOW_UNKNOWN),
    (DefinitionUnknown, FaultName.DEFINITION_UNKNOWN),
    (DefinitionMissing, FaultName.DEFINITION_UNKNOWN),
    (InputInvalid, FaultName.INPUT_INVALID),
    (Refused, FaultName.REFUSED),
    (EventCorrupt, FaultName.RECORD_DAMAGED),
    (EventUnknown, FaultName.RECORD_DAMAGED),
    (PayloadWithheld, FaultName.REFUSED),
    (DecisionFault, FaultName.CONSUMER_FAULT),
)


@dataclass(slots=True)
class Message(Generic[AnyBody]):
    """One message of a turn: what was read, and the receipt that it leaves."""

    delivery: Delivery
    read: Read[AnyBody]
    receipt: Receipt

    @property
    def body(self) -> AnyBody:
        """What it says."""
        return self.read.body


Answer = Received | HandrailError
"""What became of a message, or why nothing did."""


Missing = tuple[Message[AnyBody], DefinitionMissing]
"""A message, and the definition for want of which nobody here can decide on it."""


class Holding(Protocol):
    """Who writes down what only a process with another definition can decide on."""

    async def hold(self, missing: Sequence[Missing[Any]], /) -> Mapping[str, str | DefinitionMissing]:
        """By receipt: the digest under which a message is held, its own or another's, or why it is not.

        Once this has returned, what is held may be acknowledged. Raises StoreUnavailable; then none is held.
        """
        ...


class Source(Protocol[AnyBody]):
    """One kind of message: how it is read, and what is done with it."""

    def read(self, delivery: Delivery) -> Read[AnyBody]:
        """Raises MessageUnfit."""
        ...

    def receipt(self, read: Read[AnyBody]) -> Receipt:
        """The receipt that it leaves; the same for the same message from the same sender."""
        ...

    async def take(self, messages: Sequence[Message[AnyBody]]) -> Sequence[Answer]:
        """Decide on messages that have no receipt yet, each by itself: what became of each, in their order."""
        ...


@dataclass(slots=True)
class IntakeCounts:
    """What became of the messages of each queue, for the metrics."""

    received: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By queue and outcome: a name of `Received`, lower case."""
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By queue and fault."""
    unknown_fields: Counter[str] = field(default_factory=Counter)
    """Fields of bodies that this version does not know, by queue."""


class MessageIntake(Generic[AnyBody]):
    """The port `Intake` for one kind of message."""

    def __init__(
        self,
        source: Source[AnyBody],
        *,
        receipts: Receipts,
        burial: Burial,
        counts: IntakeCounts | None = None,
        holding: Holding | None = None,
    ) -> None:
        """Nothing is taken in yet. Without `holding`, what lacks its definition goes to the dead queue."""
        self._holding = holding
        self.counts = counts if counts is not None else IntakeCounts()
        self.traces: Traces | None = None
        self._source = source
        self._receipts = receipts
        self._burial = burial

    async def __call__(self, deliveries: Sequence[Delivery], /) -> None:
        """Take these in. Raises StoreUnavailable or BrokerUnavailable; then some of them are not settled."""
        turn = _Turn(self.counts, self.traces)
        waiting = [one for delivery in deliveries if (one := self._read(delivery, turn)) is not None]
        trouble: StoreUnavailable | None = None
        try:
            # The same message twice in a turn: the second looks at the receipt of the first, in a pass of its own.
            while waiting:
                first: dict[str, Message[AnyBody]] = {}
                waiting = [one for one in waiting if first.setdefault(one.receipt.message_id, one) is not one]
                await self._pass(list(first.values()), turn)
        except StoreUnavailable as error:
            trouble = error
        turn.acknowledge()
        await self._burial.bury(turn.faults)
        if trouble is None and turn.undecided:
            trouble = turn.undecided[0]
        if trouble is not None:
            raise trouble

    def _read(self, delivery: Delivery, turn: _Turn) -> Message[AnyBody] | None:
        try:
            read = self._source.read(delivery)
            receipt = self._source.receipt(read)
        except MessageUnfit as error:
            turn.unfit(delivery, error)
            return None
        if read.unknown_fields:
            self.counts.unknown_fields[delivery.queue] += read.unknown_fields
        return Message(delivery, read, receipt)

    async def _pass(self, messages: Sequence[Message[AnyBody]], turn: _Turn) -> None:
        """Decide on messages of different receipts."""
        known = await self._receipts.digests(one.receipt.message_id for one in messages)
        new = [one for one in messages if not turn.met(one, known)]
        if not new:
            return
        answers = dict(zip(map(id, new), await self._source.take(new), strict=True))
        doubtful = [one for one in new if _is_doubtful(answers[id(one)])]
        for one in new:
            if not _is_doubtful(answers[id(one)]):
                turn.answered(one, answers[id(one)])
        # Somebody else may have been first: then the receipt says so, and what was refused here is beside the point.
        known = await self._receipts.digests(one.receipt.message_id for one in doubtful)
        missing: list[Missing[AnyBody]] = []
        for one in doubtful:
            answer = answers[id(one)]
            if turn.met(one, known):
                continue
            if self._holding is not None and isinstance(answer, DefinitionMissing):
                missing.append((one, answer))
            else:
                turn.answered(one, answer)
        if self._holding is not None and missing:
            held = await self._holding.hold(missing)
            for one, _ in missing:
                turn.held(one, held[one.receipt.message_id])


def _is_doubtful(answer: Answer) -> bool:
    return isinstance(answer, HandrailError) and not isinstance(answer, MessageUnfit | StoreUnavailable)


class _Turn:
    """What became of the deliveries of one turn, before they are settled."""

    def __init__(self, counts: IntakeCounts, traces: Traces | None) -> None:
        self.faults: list[Fault] = []
        self.undecided: list[StoreUnavailable] = []
        self._counts = counts
        self._traces = traces
        self._began = None if traces is None else traces.instant()
        self._done: list[Delivery] = []

    def unfit(self, delivery: Delivery, error: MessageUnfit) -> None:
        self._settle(delivery, Received.UNFIT, error.fault, str(error))

    def met(self, message: Message[Any], known: Mapping[str, str]) -> bool:
        """Settle a message that has a receipt; whether it has."""
        digest = known.get(message.receipt.message_id)
        if digest is None:
            return False
        if digest == message.receipt.digest:
            self._settle(message.delivery, Received.REPEATED, message=message)
        else:
            reason = (
                f"message {message.read.message_id!r} was received before with another body: what was said first "
                "stands; send this one under an id of its own"
            )
            self._settle(message.delivery, Received.CONFLICT, FaultName.CONFLICT.value, reason, message=message)
        return True

    def answered(self, message: Message[Any], answer: Answer) -> None:
        if isinstance(answer, Received):
            self._settle(message.delivery, answer, message=message)
            return
        if isinstance(answer, MessageUnfit):
            self.unfit(message.delivery, answer)
            return
        fault = next((name for kind, name in FAULTS if isinstance(answer, kind)), None)
        if fault is None:  # the store's trouble, or others were first again and again
            trouble = answer if isinstance(answer, StoreUnavailable) else StoreUnavailable(str(answer))
            self._settle(message.delivery, Received.UNDECIDED)
            self.undecided.append(trouble)
            return
        received = Received.CONFLICT if fault is FaultName.CONFLICT else Received.UNFIT
        self._settle(message.delivery, received, fault.value, str(answer))

    def held(self, message: Message[Any], held: str | DefinitionMissing) -> None:
        """Settle a message that waits for its definition, or cannot."""
        if isinstance(held, DefinitionMissing):
            self.answered(message, held)
        elif held == message.receipt.digest:
            self._settle(message.delivery, Received.HELD, message=message)
        else:
            self.met(message, {message.receipt.message_id: held})

    def acknowledge(self) -> None:
        for delivery in self._done:
            delivery.acknowledge()

    def _settle(
        self,
        delivery: Delivery,
        received: Received,
        fault: str = "",
        reason: str = "",
        *,
        message: Message[Any] | None = None,
    ) -> None:
        if self._traces is not None and self._began is not None and received is not Received.UNDECIDED:
            self._traces.received(
                self._began,
                delivery,
                received.name.lower(),
                workflow_id=_workflow_of(message) if message is not None else "",
                receipt=message.receipt.message_id if message is not None else "",
                fault=fault,
            )
        self._counts.received[delivery.queue, received.name.lower()] += 1
        match settle_received(received):
            case Settlement.ACKNOWLEDGE:
                self._done.append(delivery)
            case Settlement.BURY:
                self._counts.faults[delivery.queue, fault] += 1
                self.faults.append(Fault(delivery, fault, reason))
            case _:
                pass


def _workflow_of(message: Message[Any]) -> str:
    """The workflow that a message is for; nothing for a signal, which goes to whoever waits."""
    body = message.body
    if isinstance(body, Goal):
        return workflow_id_from_message(message.read.sender, message.read.message_id)
    if isinstance(body, Outcome):
        return body.message_id.partition("/")[0]
    return "" if isinstance(body, Signal) else str(body.workflow_id)


async def gathered(asked: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """What each of these gives, or the HandrailError that it raised.

    Whatever else is raised is a fault of ours, or of author code: that message is buried, the others go on.
    """
    answers: list[Answer] = []
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, Received | HandrailError):
            answers.append(answer)
        elif isinstance(answer, Exception):
            _log.error("a message could not be decided on", exc_info=answer)
            answers.append(DecisionFault(f"the consumer fell over it: {type(answer).__name__}: {answer}"))
        else:
            raise answer
    return answers
