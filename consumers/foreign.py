"""Outcomes of consumers in other languages, as they come from the wire.

Such a consumer holds no claim: its command's row is `handed_over` once the broker has it, and is completed by the
transaction that records the outcome. An answer may come before the process that published the command has noted that;
it is noted here then, by whoever learns of it first. An answer to a command that was given up is recorded as late. One
to a command that a process of Handrail runs, or that nobody was asked for, is refused: whoever sent it runs something
that is not its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Final, cast

from pydantic import ValidationError
from pydantic_core import to_json

from consumers.attempts import Activities
from consumers.claims import Claims, OpenRow, ScheduledRow
from consumers.intake import Answer, Message, gathered
from consumers.outcomes import Ending, returned
from consumers.redaction import Redactor
from consumers.sources import UNNAMED, became, sender_of
from domain.activity_types import ActivityType
from domain.authority import Answering
from domain.chain import digest_of
from domain.errors import DefinitionMissing, Denied, HandrailError, InputInvalid, MessageUnfit, NeedsApproval
from domain.failures import make_failure
from domain.ids import Kind, epoch_of, parse_message_id, receipt_id
from domain.messages.bodies import Outcome
from domain.messages.names import Fault
from domain.messages.reading import Read, read_outcome
from domain.ports import Aside, Clock, Command, Decider, Receipt, Request
from domain.transport import Delivery
from domain.triggers import RecordOutcome

CommandsOf = Callable[[Sequence[OpenRow]], Awaitable[tuple[list[Command], list[str]]]]
"""The commands that rows of the inbox stand for, and the message ids of those that cannot be read."""

HANDED_OVER: Final = "handed_over"


class OutcomeSource:
    """Outcomes: each ends the attempt that it is about."""

    kind: ClassVar[str] = "outcome"

    def __init__(
        self,
        decider: Decider,
        clock: Clock,
        *,
        claims: Claims,
        commands_of: CommandsOf,
        activities: Activities,
        answering: Answering,
        aside: Aside,
    ) -> None:
        """`commands_of` reads what was scheduled, `activities` knows what an output has to be.

        `answering` says which services answer for which queue.
        """
        self._decider = decider
        self._clock = clock
        self._claims = claims
        self._commands_of = commands_of
        self._activities = activities
        self._answering = answering
        self._aside = aside
        self._redactor = Redactor()  # what is foreign opens no secret of ours

    def read(self, delivery: Delivery) -> Read[Outcome]:
        """As the port."""
        return read_outcome(delivery)

    def receipt(self, read: Read[Outcome]) -> Receipt:
        """One for each command: a consumer that died before it knew that it had answered may answer otherwise."""
        digest = digest_of(read.body.message_id)
        return Receipt(receipt_id(self.kind, read.sender, read.message_id), self.kind, digest)

    async def take(self, messages: Sequence[Message[Outcome]]) -> list[Answer]:
        """Record all of them together."""
        names = {one.body.message_id for one in messages}
        rows = await self._aside(lambda: self._claims.scheduled(names))
        commands, _ = await self._commands_of(
            [OpenRow(name, row.workflow_id, row.version) for name, row in rows.items()]
        )
        scheduled = {command.message_id: command for command in commands}
        believed = {one.body.message_id for one in messages if self._may_answer(one, scheduled)}
        early = [name for name, row in rows.items() if row.state == "open" and name in believed]
        if early:
            rows = await self._aside(lambda: self._hand_over(early, names))
        over = any(name not in rows or rows[name].state != HANDED_OVER for name in names)
        epoch = await self._aside(self._claims.epoch) if over else 0
        return await gathered([self._one(message, rows, scheduled, epoch) for message in messages])

    def _hand_over(self, early: Sequence[str], names: set[str]) -> dict[str, ScheduledRow]:
        """That they are answered proves that the broker had them."""
        self._claims.hand_over(early)
        return self._claims.scheduled(names)

    def _may_answer(self, message: Message[Outcome], scheduled: Mapping[str, Command]) -> bool:
        """Whether the message is about a foreign command, from a service that answers for its queue."""
        command = scheduled.get(message.body.message_id)
        declared = self._declared(command) if command is not None else None
        return (
            command is not None
            and declared is not None
            and declared.foreign
            and self._answering.may(message.read.sender, command.queue)
        )

    def _declared(self, command: Command) -> ActivityType | None:
        prepared = self._activities.find(command.definition, command.definition_version, command.activity)
        return prepared.declared if prepared is not None else None

    async def _one(
        self, message: Message[Outcome], rows: Mapping[str, ScheduledRow], scheduled: Mapping[str, Command], epoch: int
    ) -> Answer:
        name = message.body.message_id
        row, command = rows.get(name), scheduled.get(name)
        if (row is None or row.state != HANDED_OVER) and _is_older(name, epoch):
            raise MessageUnfit(
                f"command {name!r} was scheduled in a time that was lost when the store was put back from a backup: "
                "its step was asked for anew",
                fault=Fault.EPOCH_PASSED.value,
            )
        if row is None:
            raise MessageUnfit(f"there is no command {name!r}", fault=Fault.COMMAND_UNKNOWN.value)
        if command is None:
            raise MessageUnfit(f"what was scheduled as {name!r} cannot be read", fault=Fault.RECORD_DAMAGED.value)
        declared = self._declared(command)
        if declared is None:
            self._check_sender(message, command)  # nobody else is to have anything held
            raise DefinitionMissing(
                f"definition {command.definition!r} version {command.definition_version!r}, which says what activity "
                f"{command.activity!r} gives, is not loaded here",
                definition=command.definition,
                version=command.definition_version,
            )
        if not declared.foreign:
            raise MessageUnfit(
                f"activity {declared.name!r} is not foreign: processes of Handrail run it, and nobody else answers",
                fault=Fault.SENDER_NOT_ALLOWED.value,
            )
        self._check_sender(message, command)
        request = Request(
            command.workflow_id,
            _trigger(message, command, declared, self._redactor),
            self._clock(),
            message.receipt.message_id,
            sender_of(message),
            completes=name if row.state == HANDED_OVER else None,
            receipt=message.receipt,
        )
        return became(await self._decider.decide(request))

    def _check_sender(self, message: Message[Outcome], command: Command) -> None:
        if not self._answering.may(message.read.sender, command.queue):
            raise MessageUnfit(
                f"{message.read.sender or UNNAMED!r} may not answer for queue {command.queue!r}: name the "
                "login in HANDRAIL_ANSWERING",
                fault=Fault.SENDER_NOT_ALLOWED.value,
            )


def _is_older(name: str, epoch: int) -> bool:
    try:
        return epoch_of(parse_message_id(name).attempt) < epoch
    except InputInvalid:
        return False


def _trigger(message: Message[Outcome], command: Command, declared: ActivityType, redactor: Redactor) -> RecordOutcome:
    outcome = message.body
    ending = _ending(outcome, command, declared, redactor)
    return RecordOutcome(
        step=command.step,
        kind=cast("Kind", command.kind),
        attempt=command.attempt,
        status=ending.status,
        output=ending.output,
        failure=ending.failure,
        answer=ending.answer,
        worker=outcome.worker or sender_of(message),
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
    )


def _ending(outcome: Outcome, command: Command, declared: ActivityType, redactor: Redactor) -> Ending:
    """How the attempt ended, held against what its activity type declares, as if it had run here."""
    if outcome.failure is not None:
        told = outcome.failure
        failure = make_failure(
            declared.name,
            told.kind,
            told.message,
            type_name=told.type or "ForeignFailure",
            retry_after_seconds=told.retry_after_seconds,
            absent=told.absent,
        )
        return Ending("failed", failure=failure)
    if outcome.answer is None:
        return returned(declared, command.kind, _valid(declared, outcome.output), redactor)
    answer = outcome.answer
    if outcome.status == "denied":
        return returned(declared, command.kind, Denied(answer.reason), redactor)
    asked = NeedsApproval(
        answer.reason,
        answer.evidence,
        controls=answer.controls,
        policy=answer.policy,
        output=None if answer.output is None else _valid(declared, answer.output),
    )
    return returned(declared, command.kind, asked, redactor)


def _valid(declared: ActivityType, output: object) -> object:
    """The output as the declared type, where it is one: strict models read dates and the like from JSON only."""
    try:
        return declared.output_adapter.validate_json(to_json(output))
    except ValidationError:
        return output  # whoever validates it next says what is wrong with it
    except HandrailError:
        raise
    except Exception:  # noqa: BLE001 - an author's validator may raise anything; it will again, where that is recorded
        return output
