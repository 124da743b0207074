"""Messages made of bodies: where each goes, under which type, key and headers. Pure; whoever publishes has the rest.

A message id is the sender's: the same for every attempt at sending the same thing. Raises InputInvalid for what no
reader would accept, so that a sender hears of it before the broker does.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from domain.definitions import words
from domain.errors import InputInvalid, MessageUnfit
from domain.messages.announcements import Announcement
from domain.messages.bodies import Approval, Control, Goal, Outcome, Signal
from domain.messages.commands import Headers, StepCommand
from domain.messages.names import (
    BODY_BYTES,
    GOAL_BODY_BYTES,
)
from domain.messages.reading import check_body, message_id_fault
from domain.ports import Command
from domain.topology import (
    APPROVALS_EXCHANGE,
    COMMANDS_EXCHANGE,
    CONTROL_EXCHANGE,
    CONTROL_KEY,
    EVENTS_EXCHANGE,
    GOAL_KEY,
    GOALS_EXCHANGE,
    OUTCOME_KEY,
    OUTCOMES_EXCHANGE,
    SIGNALS_EXCHANGE,
)
from domain.transport import Outgoing

_WORD_BYTES: Final = 120
"""Most bytes of a definition's name in a routing key, which holds 255 in all."""

_SHORT_DIGEST: Final = 12


def routing_word(definition: str) -> str:
    """A definition's name as one word of a routing key: its words joined by '-'; a long one ends in a digest."""
    word = "-".join(words(definition))
    encoded = word.encode("utf-8", "backslashreplace")
    if len(encoded) <= _WORD_BYTES:
        return word
    digest = hashlib.sha256(encoded).hexdigest()[:_SHORT_DIGEST]
    return f"{encoded[: _WORD_BYTES - _SHORT_DIGEST - 1].decode('utf-8', 'ignore')}-{digest}"


def announcement_id(workflow_id: str, version: int) -> str:
    """Message id of the announcement of a workflow's event: the same for every time it is sent."""
    return f"{workflow_id}@{version}"


def outgoing_goal(goal: Goal, *, message_id: str, traceparent: str | None = None) -> Outgoing:
    """A goal; the workflow's id follows from whom the broker knows as its sender, and the message id."""
    return _outgoing(GOALS_EXCHANGE, GOAL_KEY, goal, message_id, headers=Headers(traceparent=traceparent))


def outgoing_approval(approval: Approval, *, message_id: str, definition: str) -> Outgoing:
    """A person's decision; the definition is in the routing key, for whoever binds queues of their own."""
    key = f"approval.{routing_word(definition)}"
    return _outgoing(APPROVALS_EXCHANGE, key, approval, message_id, approval.workflow_id)


def outgoing_signal(signal: Signal, *, message_id: str) -> Outgoing:
    """A signal, under its name."""
    return _outgoing(SIGNALS_EXCHANGE, signal.name, signal, message_id)


def outgoing_control(control: Control, *, message_id: str) -> Outgoing:
    """An operator's act."""
    return _outgoing(CONTROL_EXCHANGE, CONTROL_KEY, control, message_id, control.workflow_id)


def outgoing_outcome(outcome: Outcome, *, message_id: str | None = None) -> Outgoing:
    """A foreign consumer's outcome; its message id is the command's with `/outcome` behind it, unless it is given."""
    return _outgoing(
        OUTCOMES_EXCHANGE,
        OUTCOME_KEY,
        outcome,
        message_id if message_id is not None else f"{outcome.message_id}/outcome",
        outcome.message_id.partition("/")[0],
    )


def outgoing_command(command: Command, *, causation_id: str = "", traceparent: str | None = None) -> Outgoing:
    """A step command, to the queue of its activity type."""
    headers = Headers(
        causation_id=causation_id,
        attempt=command.attempt,
        deadline=command.expires_at,
        scheduled_at=command.scheduled_at,
        traceparent=traceparent,
    )
    # What was recorded was checked when it was decided: checking it again would be most of what this costs.
    return Outgoing(
        COMMANDS_EXCHANGE,
        command.queue,
        command.message_id,
        StepCommand.wire_type,
        to_json(StepCommand.of(command)),
        command.workflow_id,
        headers.wire(),
    )


def outgoing_announcement(announcement: Announcement, *, causation_id: str = "") -> Outgoing:
    """What others may listen to; not mandatory: nobody need listen."""
    return Outgoing(
        EVENTS_EXCHANGE,
        f"{announcement.subject}.{routing_word(announcement.definition)}",
        announcement_id(announcement.workflow_id, announcement.version),
        announcement.wire_type,
        to_json(announcement),
        announcement.workflow_id,
        Headers(causation_id=causation_id, sequence=announcement.version).wire(),
        mandatory=False,
    )


def check_message_id(message_id: str) -> str:
    """Return the message id; raise InputInvalid where it cannot be one."""
    fault = message_id_fault(message_id)
    if fault is not None:
        raise InputInvalid(fault)
    return message_id


def _outgoing(
    exchange: str,
    routing_key: str,
    body: BaseModel,
    message_id: str,
    correlation_id: str = "",
    *,
    headers: Headers | None = None,
) -> Outgoing:
    wire_type: str = getattr(body, "wire_type")  # noqa: B009 - bodies have it as a class variable
    try:
        encoded = to_json(body.model_dump(exclude_defaults=True))
    except (PydanticSerializationError, ValueError) as error:
        raise InputInvalid(f"{wire_type}: has no JSON form: {str(error)[:200]}") from error
    try:
        check_body(encoded, most_bytes=GOAL_BODY_BYTES if isinstance(body, Goal) else BODY_BYTES)
    except MessageUnfit as unfit:
        raise InputInvalid(f"{wire_type}: {unfit}") from unfit
    return Outgoing(
        exchange,
        routing_key,
        check_message_id(message_id),
        wire_type,
        encoded,
        correlation_id,
        headers.wire() if headers is not None else {},
    )
