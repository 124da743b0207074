"""What goals, approvals, control and signals ask of a workflow, and who may ask it.

The record's actor is the service whose login the broker vouches for; the person whom it speaks for is in the trigger.
A service that may not speak for persons, or not operate, in workflows of a definition is refused before anything is
decided.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel

from consumers.intake import Answer, Message, gathered
from consumers.settlement import Received
from domain.authority import Operating, Vouching
from domain.chain import digest_of
from domain.errors import FenceMissed, MessageUnfit
from domain.events import DecisionRefused, LateOutcomeRecorded
from domain.ids import receipt_id, workflow_id_from_message
from domain.messages.bodies import Approval, Control, Goal, Signal
from domain.messages.names import Fault
from domain.messages.reading import Read, message_id_fault, read_approval, read_control, read_goal, read_signal
from domain.ports import Clock, Decided, Decider, Receipt, Request
from domain.store.deciding import RECEIVED_BEFORE
from domain.transport import Delivery
from domain.triggers import ForkHere, SettleOutcome, StartWorkflow, SupplyOutput

AnyBody = TypeVar("AnyBody", bound=BaseModel)

UNNAMED: Final = "unnamed service"
"""The actor of a signal or outcome whose sender the broker does not vouch for, and that does not say who it is."""

DefinitionOf = Callable[[str], Awaitable[str]]
"""The name of a workflow's definition; raises WorkflowUnknown or another HandrailError."""

CheckOutput = Callable[[str, SupplyOutput | SettleOutcome], Awaitable[None]]
"""Workflow and trigger: raises InputInvalid where a person's output does not fit the step's activity."""


CompleteFork = Callable[[str, ForkHere, str], Awaitable[ForkHere]]
"""Workflow, trigger, and the receipt that makes a repeat a repeat: the trigger with what the source's history says.

Raises InputInvalid where it cannot be forked there, DefinitionMissing, WorkflowUnknown.
"""


class Beginning(Protocol):
    """Who knows which definition a goal means, and what it asks for."""

    def __call__(self, goal: Goal, *, requested_by: str) -> StartWorkflow:
        """The trigger that starts it; raises DefinitionUnknown or InputInvalid."""
        ...


class DeliverTo(Protocol):
    """Who brings a signal to those who wait for it, and writes its receipt."""

    async def __call__(self, message_id: str, signal: Signal, *, sender: str) -> None:
        """`message_id` is the receipt's. Raises WorkflowConflict, InputInvalid, Refused, StoreUnavailable."""
        ...


def became(decided: Decided) -> Answer:
    """What became of a message, by what was decided on it."""
    if decided.ignored == RECEIVED_BEFORE:  # whether it was the same, its receipt says
        return FenceMissed(f"workflow {decided.request.workflow_id}: {RECEIVED_BEFORE}")
    kinds = {type(recorded.event) for recorded in decided.events}
    if DecisionRefused in kinds:
        return Received.REFUSED
    if LateOutcomeRecorded in kinds:
        return Received.LATE
    return Received.IGNORED if decided.ignored is not None else Received.RECORDED


def sender_of(message: Message[Any]) -> str:
    """The record's actor: the login that the broker vouches for, or what the message calls its sender."""
    said = message.delivery.app_id
    return message.read.sender or (said if message_id_fault(said) is None else UNNAMED)


class DecidedSource(ABC, Generic[AnyBody]):
    """A kind of message that a workflow decides on."""

    kind: ClassVar[str]

    def __init__(self, decider: Decider, clock: Clock) -> None:
        """Ask this decider; `clock` gives the instant of each decision."""
        self._decider = decider
        self._clock = clock

    def receipt(self, read: Read[AnyBody]) -> Receipt:
        """By sender and message id."""
        return Receipt(receipt_id(self.kind, read.sender, read.message_id), self.kind, read.digest)

    @abstractmethod
    async def asked(self, message: Message[AnyBody]) -> Request:
        """What the message asks; raises MessageUnfit, or another HandrailError that says why it cannot be asked."""

    async def take(self, messages: Sequence[Message[AnyBody]]) -> list[Answer]:
        """Decide on all of them together."""
        return await gathered([self._one(message) for message in messages])

    async def _one(self, message: Message[AnyBody]) -> Answer:
        return became(await self._decider.decide(await self.asked(message)))

    def _request(self, message: Message[AnyBody], workflow_id: str, trigger: Any) -> Request:
        receipt, sent_at = message.receipt, message.delivery.timestamp
        return Request(
            workflow_id,
            trigger,
            self._clock(),
            receipt.message_id,
            sender_of(message),
            receipt=receipt,
            sent_at=sent_at,
        )


class GoalSource(DecidedSource[Goal]):
    """Goals: each starts the workflow whose id follows from its sender and its message id."""

    kind = "goal"

    def __init__(self, decider: Decider, clock: Clock, *, beginning: Beginning, vouching: Vouching) -> None:
        """`beginning` knows the definitions, `vouching` who may say on whose behalf it asks."""
        super().__init__(decider, clock)
        self._beginning = beginning
        self._vouching = vouching

    def read(self, delivery: Delivery) -> Read[Goal]:
        """As the port."""
        return read_goal(delivery)

    async def asked(self, message: Message[Goal]) -> Request:
        """Start the workflow."""
        goal, sender = message.body, message.read.sender
        trigger = self._beginning(goal, requested_by=goal.requested_by or sender)
        if goal.requested_by is not None:
            _check_vouching(self._vouching, sender, trigger.definition, f"{goal.requested_by!r} asks")
        return self._request(message, workflow_id_from_message(sender, message.read.message_id), trigger)


class ApprovalSource(DecidedSource[Approval]):
    """Approvals: a service says what a person decided; a decision that does not count is refused, and recorded."""

    kind = "approval"

    def __init__(self, decider: Decider, clock: Clock, *, definition_of: DefinitionOf, vouching: Vouching) -> None:
        """`vouching` says which services may speak for persons in which definitions."""
        super().__init__(decider, clock)
        self._definition_of = definition_of
        self._vouching = vouching

    def read(self, delivery: Delivery) -> Read[Approval]:
        """As the port."""
        return read_approval(delivery)

    async def asked(self, message: Message[Approval]) -> Request:
        """Record the decision."""
        approval = message.body
        definition = await self._definition_of(approval.workflow_id)
        _check_vouching(self._vouching, message.read.sender, definition, f"{approval.decided_by!r} decides")
        return self._request(message, approval.workflow_id, approval.trigger())


class ControlSource(DecidedSource[Control]):
    """Control: a service passes on an operator's act."""

    kind = "control"

    def __init__(
        self,
        decider: Decider,
        clock: Clock,
        *,
        definition_of: DefinitionOf,
        operating: Operating,
        check_output: CheckOutput,
        complete_fork: CompleteFork,
    ) -> None:
        """`operating` says which services may do what; `check_output` looks at outputs that persons supply.

        `complete_fork` looks where a workflow is to be forked.
        """
        super().__init__(decider, clock)
        self._definition_of = definition_of
        self._operating = operating
        self._check_output = check_output
        self._complete_fork = complete_fork

    def read(self, delivery: Delivery) -> Read[Control]:
        """As the port."""
        return read_control(delivery)

    async def asked(self, message: Message[Control]) -> Request:
        """Carry out the act."""
        control, sender = message.body, message.read.sender
        definition = await self._definition_of(control.workflow_id)
        if not self._operating.may(sender, control.verb, definition):
            raise MessageUnfit(
                f"{sender!r} may not {control.verb} workflows of definition {definition!r}: grant it in the settings",
                fault=Fault.SENDER_NOT_ALLOWED.value,
            )
        trigger = control.trigger()
        if isinstance(trigger, SupplyOutput | SettleOutcome):
            await self._check_output(control.workflow_id, trigger)
        if isinstance(trigger, ForkHere):
            trigger = await self._complete_fork(control.workflow_id, trigger, message.receipt.message_id)
        return self._request(message, control.workflow_id, trigger)


class SignalSource:
    """Signals: handed to whoever brings them to the workflows that wait."""

    kind: ClassVar[str] = "signal"

    def __init__(self, deliver: DeliverTo) -> None:
        """`deliver` keeps the signal with its receipt, and then looks for those who wait."""
        self._deliver = deliver

    def read(self, delivery: Delivery) -> Read[Signal]:
        """As the port."""
        return read_signal(delivery)

    def receipt(self, read: Read[Signal]) -> Receipt:
        """The receipt that whoever keeps the signal writes: its digest is that of what is kept."""
        signal = read.body
        digest = digest_of([signal.name, signal.correlation, signal.payload])
        return Receipt(receipt_id(self.kind, read.sender, read.message_id), self.kind, digest)

    async def take(self, messages: Sequence[Message[Signal]]) -> list[Answer]:
        """Deliver all of them."""
        return await gathered([self._one(message) for message in messages])

    async def _one(self, message: Message[Signal]) -> Answer:
        await self._deliver(message.receipt.message_id, message.body, sender=sender_of(message))
        return Received.RECORDED


def _check_vouching(vouching: Vouching, sender: str, definition: str, claim: str) -> None:
    if not vouching.may(sender, definition):
        raise MessageUnfit(
            f"{sender!r} says that {claim}, and may not speak for persons in definition {definition!r}: "
            "grant it in the settings",
            fault=Fault.SENDER_NOT_ALLOWED.value,
        )
