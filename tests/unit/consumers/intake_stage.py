"""A process that takes messages in: a real store, real definitions, and a publisher that notes what it is given."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from consumers.attempts import Activities
from consumers.burial import Burial
from consumers.claims import Claims, OpenRow
from consumers.foreign import OutcomeSource
from consumers.held_messages import MESSAGES_HELD_SCHEMA, HeldMessages
from consumers.inbox import INBOX_SCHEMA, InboxCompanion, receive
from consumers.intake import Holding, IntakeCounts, MessageIntake
from consumers.later import LaterAnswers
from consumers.receipts import Receipts
from consumers.sources import ApprovalSource, ControlSource, GoalSource, SignalSource
from deploy.beginning import GoalBeginning
from deploy.forking import check_fork
from deploy.loading import LoadedDefinitions, check_output
from domain.authority import AnsweringGrants, OperatingGrants, VouchingGrants
from domain.definitions import Definition, Step, activity
from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.events import ApprovalRequested
from domain.ids import workflow_id_from_message
from domain.messages import command_of
from domain.messages.bodies import Signal
from domain.plan import SignalWait
from domain.policies import ApprovalPolicy, GatePolicy
from domain.ports import Command, Decided, Request
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.turns import Turns
from domain.transport import Delivery, Outgoing, Published
from domain.triggers import ForkHere, SettleOutcome, SupplyOutput
from producers.signals import SIGNALS_SCHEMA, Signals, SignalsCompanion
from producers.signals import Signal as KeptSignal
from tests.databases import open_store
from tests.unit.consumers.stage import BEGINNING
from tests.unit.domain.wire_samples import BODIES, QUEUES, delivery

GOAL, APPROVAL, SIGNAL, OUTCOME = list(BODIES)[:4]


class Amount(BaseModel):
    """What the stage's activity takes and gives."""

    amount: int = 0


class Fragile(BaseModel):
    """What a definition asks for whose author's code falls over."""

    amount: int = 0

    def model_post_init(self, _: Any, /) -> None:
        if self.amount == 13:
            raise RuntimeError("an author's mistake")


@activity(effect="pure")
async def pay(input: Amount) -> Amount:
    """Never run here."""
    return input


BANKING = Definition(
    "refund",
    steps=[Step("pay", pay, input={"amount": 7})],
    gates=[GatePolicy(name="people", verdict="require_approval", approval="default")],
    approvals=[ApprovalPolicy(approvers=("bea", "carl"), required=2)],
)
PLAIN = Definition("plain", steps=[Step("pay", pay, input={"amount": 7})], input_model=Fragile)
WAITING = Definition(
    "waiting", steps=[Step("papers", wait_signal=SignalWait(name="papers.signed", correlation="northwind"))]
)


@activity(effect="idempotent", pivot=True, foreign=True, queue="scanner", schedule_to_finish=timedelta(hours=1))
async def scan(input: Amount) -> Amount:
    """Run in another language: never called here."""
    return input


SCANNING = Definition(
    "scanning",
    steps=[Step("scan", scan, input={"amount": 7}), Step("pay", pay, input={"amount": 7})],
    approvals=[ApprovalPolicy(approvers=("bea",))],
)
DEFINITIONS = (BANKING, PLAIN, WAITING, SCANNING)

VOUCHING = VouchingGrants({"desk": ["*"], "shop": ["plain"]})
OPERATING = OperatingGrants({"desk": {"*": ["*"]}, "shop": {"pause": ["Plain"]}})


class RecordingPublisher:
    """The port `Publisher` in memory. `answers` are given first, one a message; `down` is a broker that is gone."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.answers: list[Published] = []
        self.down = False

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        if self.down:
            raise BrokerUnavailable("the broker is gone")
        self.published += messages
        return [self.answers.pop(0) if self.answers else Published.CONFIRMED for _ in messages]


class Between:
    """The port `Decider`: `before` runs before a decision, `after` when it is in the store; either may raise."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.before: Callable[[Request], Awaitable[None]] | None = None
        self.after: Callable[[Request], None] | None = None

    async def decide(self, request: Request) -> Decided:
        if self.before is not None:
            await self.before(request)
        decided = await self._turns.decide(request)
        if self.after is not None:
            self.after(request)
        return decided


class _Answering:
    """The port `Answering` by grants that a test may still change."""

    def __init__(self, grants: dict[str, list[str]]) -> None:
        self._grants = grants

    def may(self, user_id: str, queue: str) -> bool:
        return AnsweringGrants(self._grants).may(user_id, queue)


@dataclass
class Settled:
    """How deliveries were settled: each at most once."""

    acknowledged: list[Delivery] = field(default_factory=list)
    rejected: list[Delivery] = field(default_factory=list)

    def of(self, one: Delivery) -> Delivery:
        def settle(acknowledged: bool) -> None:
            known = [other for other in self.acknowledged + self.rejected if other is one]
            if not known:
                (self.acknowledged if acknowledged else self.rejected).append(one)

        one.settle = settle
        return one


class Process:
    """One process with an intake for every queue, on a store that others may have open too."""

    def __init__(
        self,
        place: Path,
        publisher: RecordingPublisher,
        settled: Settled,
        definitions: Sequence[Definition] = DEFINITIONS,
    ) -> None:
        self.definitions = LoadedDefinitions(definitions)
        self.inbox = InboxCompanion("here", lease_seconds=30)
        self.store: WorkflowStore = open_store(
            place,
            definitions=self.definitions,
            schema=(*INBOX_SCHEMA, *SIGNALS_SCHEMA, *MESSAGES_HELD_SCHEMA),
            companions=(self.inbox, SignalsCompanion()),
            open_commands=self.inbox,
        )
        self.turns = Turns(self.store)
        self.decider = Between(self.turns)
        self.publisher = publisher
        self.settled = settled
        self.counts = IntakeCounts()
        self.answering: dict[str, list[str]] = {"worker": ["*"]}
        self.now = BEGINNING
        signals = Signals(self.store, self.decider, self.clock, receive)
        self.beginning = GoalBeginning(self.definitions)

        async def deliver(message_id: str, signal: Signal, *, sender: str) -> None:
            await signals.receive(KeptSignal(message_id, signal.name, signal.correlation, signal.payload, sender))

        async def definition_of(workflow_id: str) -> str:
            return self.store.load(workflow_id).definition

        async def check(workflow_id: str, trigger: SupplyOutput | SettleOutcome) -> None:
            check_output(self.definitions, self.store.load(workflow_id), trigger)

        async def complete(workflow_id: str, asked: ForkHere, receipt: str) -> ForkHere:
            return check_fork(self.definitions, self.store, workflow_id, asked, salt=receipt)

        goals = GoalSource(self.decider, self.clock, beginning=self.beginning, vouching=VOUCHING)
        approvals = ApprovalSource(self.decider, self.clock, definition_of=definition_of, vouching=VOUCHING)
        control = ControlSource(
            self.decider,
            self.clock,
            definition_of=definition_of,
            operating=OPERATING,
            check_output=check,
            complete_fork=complete,
        )
        self.held = HeldMessages(self.store, inline, tell=self.store.tell)
        self.later = LaterAnswers(self.held, [f"{one.name} {one.version}" for one in self.definitions])
        waiting = {QUEUES[APPROVAL]: approvals, "handrail.control": control, QUEUES[OUTCOME]: self.outcomes()}
        self.later.intakes.update({queue: self.intake(source, self.later) for queue, source in waiting.items()})
        self.intakes: dict[str, MessageIntake[Any]] = {
            QUEUES[GOAL]: self.intake(goals),
            QUEUES[SIGNAL]: self.intake(SignalSource(deliver)),
            **{queue: self.intake(source, self.held) for queue, source in waiting.items()},
        }

    def outcomes(self) -> OutcomeSource:
        self.claims = Claims(self.store, "here", lease_seconds=30)

        async def commands_of(rows: Sequence[OpenRow]) -> tuple[list[Command], list[str]]:
            commands = []
            for row in rows:
                state = self.store.load(row.workflow_id)
                event = self.events(row.workflow_id)[row.version - 1]
                commands.append(command_of(event, row.workflow_id, state))
            return commands, []

        return OutcomeSource(
            self.decider,
            self.clock,
            claims=self.claims,
            commands_of=commands_of,
            activities=Activities(self.definitions),
            answering=_Answering(self.answering),
            aside=inline,
        )

    def intake(self, source: Any, holding: Holding | None = None) -> MessageIntake[Any]:
        burial = Burial(self.publisher, consumer="host-1", clock=self.clock)
        return MessageIntake(
            source, receipts=Receipts(self.store, inline), burial=burial, counts=self.counts, holding=holding
        )

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    # --- sending

    async def send(self, *messages: Delivery) -> None:
        """Hand these to the intake of their queue, all at once."""
        await self.intakes[messages[0].queue]([self.settled.of(one) for one in messages])

    async def goal(self, message_id: str = "m-1", sender: str = "desk", **body: Any) -> str:
        """Send a goal; the id of its workflow."""
        content = {"goal": "refund", **body}
        await self.send(delivery(GOAL, content, message_id=message_id, user_id=sender))
        return workflow_id_from_message(sender, message_id)

    def decision(self, workflow_id: str, message_id: str = "d-1", sender: str = "desk", **changed: Any) -> Delivery:
        """A decision on the approval that the workflow waits for."""
        asked = next(event for event in self.events(workflow_id) if isinstance(event, ApprovalRequested))
        content = {
            "workflow_id": workflow_id,
            "approval_id": asked.approval_id,
            "round": asked.round,
            "digest": asked.digest,
            "decision": "approve",
            "decided_by": "bea",
            **changed,
        }
        return delivery(APPROVAL, content, message_id=message_id, user_id=sender)

    # --- looking

    def events(self, workflow_id: str) -> list[Any]:
        return [recorded.event for recorded in self.store.read(workflow_id, verified=True)]

    def names(self, workflow_id: str) -> list[str]:
        return [type(event).__name__ for event in self.events(workflow_id)]

    def receipts(self) -> dict[str, str]:
        """Kind and state of the messages that were received."""
        rows = self.store.query("SELECT message_id, kind, state FROM inbox")
        return {row[0]: f"{row[1]} {row[2]}" for row in rows if ":" in row[0]}

    @property
    def dead(self) -> list[tuple[str, str, str]]:
        """Where dead letters went, why, and which message each is."""
        return [
            (one.routing_key, str(one.headers["handrail-fault-type"]), one.message_id)
            for one in self.publisher.published
        ]

    @property
    def reasons(self) -> list[str]:
        return [str(one.headers["handrail-fault-message"]) for one in self.publisher.published]

    @property
    def acknowledged(self) -> list[str]:
        return [one.message_id for one in self.settled.acknowledged]

    @contextmanager
    def store_down(self) -> Iterator[None]:
        """Nothing can be read or written."""
        recorder = self.store.recorder
        reading, transaction, insert = recorder.reading, recorder.transaction, recorder.insert_rows

        def gone(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("the database is away")

        recorder.reading = recorder.transaction = recorder.insert_rows = gone  # type: ignore[method-assign]
        try:
            yield
        finally:
            recorder.reading, recorder.transaction, recorder.insert_rows = reading, transaction, insert  # type: ignore[method-assign]


def body_of(one: Delivery) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(one.body)
    return content
