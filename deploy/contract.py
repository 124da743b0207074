"""The contract for other services: an AsyncAPI 3 document of the wire, generated from the models and the topology.

Operations are said from Handrail's side: it receives goals, and sends announcements. What AMQP's properties must hold
has no place in the standard's bindings and stands in `x-amqp-properties`, as a JSON Schema over property names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from domain.ids import NAME_PATTERN
from domain.messages.announcements import ANNOUNCEMENTS, Announcement
from domain.messages.bodies import CONTROLS, Approval, Goal, Outcome, Signal
from domain.messages.commands import StepCommand
from domain.messages.names import (
    ATTEMPT,
    BODY_BYTES,
    CAUSATION_ID,
    COMMAND_BODY_BYTES,
    DEADLINE,
    GOAL_BODY_BYTES,
    MESSAGE_ID_BYTES,
    REPLAYS,
    SCHEDULED_AT,
    SEQUENCE,
    TRACEPARENT,
    TRACESTATE,
)
from domain.topology import (
    APPROVALS_EXCHANGE,
    COMMANDS_EXCHANGE,
    CONTROL_EXCHANGE,
    CONTROL_KEY,
    EVENTS_EXCHANGE,
    EXCHANGES,
    GOAL_KEY,
    GOALS_EXCHANGE,
    OUTCOME_KEY,
    OUTCOMES_EXCHANGE,
    SIGNALS_EXCHANGE,
)

CHECKED_IN: Final = Path(__file__).resolve().parent / "asyncapi" / "handrail.asyncapi.json"
BINDING: Final = "0.3.0"
VERSION: Final = "1.0.0"

_ABOUT: Final = (
    "Handrail is a durable workflow runtime. Other services start workflows, carry people's decisions and signals to "
    "them, run steps in any language, and hear what happened.\n\n"
    "Delivery is at least once, in both directions: a message id makes a repeat a repeat, so send again under the same "
    "one until you know that it was taken, and remember the ids of what you have done. Order is not promised; "
    "`handrail-sequence` tells it. Within a version a body only ever gains optional fields: ignore those you do not "
    "know. What cannot be accepted goes to a dead queue with its reason; nothing is dropped."
)

_PARAMETERS: Final = {
    "definition": "The definition's name as one word: lower case, its words joined by '-'.",
    "signal": "The signal's name.",
    "queue": "The queue that the foreign activity declares.",
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of message: how it is sent, and what it says."""

    model: type[BaseModel]
    most_bytes: int = BODY_BYTES
    vouched: bool = False
    headers: tuple[str, ...] = (TRACEPARENT, TRACESTATE)
    correlated: bool = True

    @property
    def name(self) -> str:
        """Its key in the document: `handrail.goal.start.v1` is `goalStart`."""
        return channel_name(".".join(self.wire_type.split(".")[1:-1]))

    @property
    def wire_type(self) -> str:
        """Its `type` property."""
        wire_type: str = getattr(self.model, "wire_type")  # noqa: B009 - bodies have it as a class variable
        return wire_type


@dataclass(frozen=True, slots=True)
class _Channel:
    """One exchange and the routing keys of one purpose; `sends` says whether Handrail publishes there."""

    name: str
    exchange: str
    key: str
    about: str
    kinds: tuple[_Kind, ...]
    sends: bool = False
    mandatory: bool = True
    parameters: tuple[str, ...] = field(default=())


def channel_name(words: str) -> str:
    """`approval.requested` as a name of the document: `approvalRequested`."""
    first, *others = re.split(r"[._]", words)
    return first + "".join(word.capitalize() for word in others)


_CHANNELS: Final = (
    _Channel(
        "goals",
        GOALS_EXCHANGE,
        GOAL_KEY,
        "Start workflows. The workflow's id follows from your login and the message id.",
        (_Kind(Goal, GOAL_BODY_BYTES, vouched=True, correlated=False),),
    ),
    _Channel(
        "approvals",
        APPROVALS_EXCHANGE,
        "approval.{definition}",
        "Say what a person decided, quoting what `approval.requested` asked. Your login needs the right to speak for "
        "persons in that definition.",
        (_Kind(Approval, vouched=True),),
        parameters=("definition",),
    ),
    _Channel(
        "signals",
        SIGNALS_EXCHANGE,
        "{signal}",
        "Say that something happened which workflows may wait for; kept for those that will.",
        (_Kind(Signal, correlated=False),),
        parameters=("signal",),
    ),
    _Channel(
        "control",
        CONTROL_EXCHANGE,
        CONTROL_KEY,
        "Pass on an operator's act.",
        tuple(_Kind(one, vouched=True) for one in CONTROLS.values()),
    ),
    _Channel(
        "commands",
        COMMANDS_EXCHANGE,
        "{queue}",
        "Step commands for the activities that a definition declares as foreign: consume the queue "
        "`handrail.activity.{queue}`, run, answer on the channel `outcomes`, then acknowledge. The message id is the "
        "same for every delivery of one attempt, `idempotency_key` for every attempt of one step.",
        (
            _Kind(
                StepCommand,
                COMMAND_BODY_BYTES,
                headers=(CAUSATION_ID, ATTEMPT, DEADLINE, SCHEDULED_AT, TRACEPARENT, TRACESTATE, REPLAYS),
            ),
        ),
        sends=True,
        parameters=("queue",),
    ),
    _Channel(
        "outcomes",
        OUTCOMES_EXCHANGE,
        OUTCOME_KEY,
        "Answer a step command.",
        (_Kind(Outcome, vouched=True),),
    ),
    *(
        _Channel(
            channel_name(one.subject),
            EVENTS_EXCHANGE,
            f"{one.subject}.{{definition}}",
            " ".join((one.__doc__ or "").split()),
            (_Kind(one, headers=(CAUSATION_ID, SEQUENCE, TRACEPARENT)),),
            sends=True,
            mandatory=False,
            parameters=("definition",),
        )
        for one in ANNOUNCEMENTS
    ),
)


def contract() -> dict[str, Any]:
    """The document."""
    kinds = [kind for channel in _CHANNELS for kind in channel.kinds]
    schemas, references = _schemas(kinds)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Handrail", "version": VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in _CHANNELS},
        "operations": {
            f"{'send' if channel.sends else 'receive'}{channel.name[0].upper()}{channel.name[1:]}": _operation(channel)
            for channel in _CHANNELS
        },
        "components": {
            "messages": {kind.name: _message(kind, references[kind.model]) for kind in kinds},
            "schemas": schemas,
        },
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    (exchange,) = [one for one in EXCHANGES if one.name == channel.exchange]
    document: dict[str, Any] = {
        "address": channel.key,
        "description": channel.about,
        "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in channel.kinds},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange.name, "type": exchange.kind, "durable": True, "autoDelete": False},
                "bindingVersion": BINDING,
            }
        },
    }
    if channel.parameters:
        document["parameters"] = {name: {"description": _PARAMETERS[name]} for name in channel.parameters}
    return document


def _operation(channel: _Channel) -> dict[str, Any]:
    binding: dict[str, Any] = {"deliveryMode": 2, "mandatory": channel.mandatory, "bindingVersion": BINDING}
    return {
        "action": "send" if channel.sends else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.about.partition(". ")[0].removesuffix(".") + ".",
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{kind.name}"} for kind in channel.kinds],
        "bindings": {"amqp": binding},
    }


def _message(kind: _Kind, payload: dict[str, Any]) -> dict[str, Any]:
    about = " ".join((kind.model.__doc__ or "").split())
    document: dict[str, Any] = {
        "name": kind.wire_type,
        "title": kind.wire_type,
        "summary": about,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": {name: _HEADERS[name] for name in sorted(kind.headers)}},
        "payload": payload,
        "bindings": {"amqp": {"messageType": kind.wire_type, "bindingVersion": BINDING}},
        "x-amqp-properties": _properties(kind),
        "x-body-bytes": kind.most_bytes,
    }
    return document


_HEADERS: Final[dict[str, dict[str, Any]]] = {
    CAUSATION_ID: {"type": "string", "description": "The message or event that caused this one."},
    ATTEMPT: {"type": "integer", "minimum": 1, "description": "Number of the attempt; the first is 1."},
    DEADLINE: {"type": "string", "format": "date-time", "description": "After this instant nobody waits for it."},
    SCHEDULED_AT: {"type": "string", "format": "date-time", "description": "When the attempt was scheduled."},
    SEQUENCE: {"type": "integer", "minimum": 1, "description": "Number of the event within its workflow."},
    TRACEPARENT: {"type": "string", "description": "W3C trace context."},
    TRACESTATE: {"type": "string", "description": "What vendors add to the trace context."},
    REPLAYS: {"type": "integer", "minimum": 1, "description": "How often it was sent again from a dead queue."},
}


def _properties(kind: _Kind) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "message_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": MESSAGE_ID_BYTES,
            "description": "Yours; the same whenever you send the same thing again.",
        },
        "type": {"const": kind.wire_type},
        "content_type": {"const": "application/json"},
        "delivery_mode": {"const": 2},
    }
    required = ["message_id", "type"]
    if kind.vouched:
        properties["user_id"] = {
            "type": "string",
            "minLength": 1,
            "description": "The login that you connect with: the broker vouches for it.",
        }
        required.append("user_id")
    if kind.correlated:
        properties["correlation_id"] = {
            "type": "string",
            "pattern": f"^{NAME_PATTERN}$",
            "description": "The workflow's id.",
        }
    return {"type": "object", "properties": properties, "required": required}


def _schemas(kinds: list[_Kind]) -> tuple[dict[str, Any], dict[type[BaseModel], dict[str, Any]]]:
    """The schemas of all bodies, with what they share, and a reference to each.

    What Handrail sends is said as it is written, every field there; what others send as it is read.
    """
    modes: list[tuple[type[BaseModel], Any]] = [
        (kind.model, "serialization" if issubclass(kind.model, Announcement | StepCommand) else "validation")
        for kind in kinds
    ]
    found, together = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    references: dict[type[BaseModel], dict[str, Any]] = {
        kind.model: dict(found[kind.model, mode]) for kind, (_, mode) in zip(kinds, modes, strict=True)
    }
    return dict(sorted(together["$defs"].items())), references
