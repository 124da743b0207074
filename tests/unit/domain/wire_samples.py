"""One good message of every kind that others send, as it is delivered, and how to spoil it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from domain.messages import bodies, reading
from domain.messages.names import control_type
from domain.transport import Delivery

DIGEST = "ab" * 32

_ACT = {"workflow_id": "wf_1", "by": "olga", "reason": "the bank called"}

CONTROL_BODIES: dict[str, dict[str, Any]] = {
    "cancel": {**_ACT, "compensate": False},
    "pause": _ACT,
    "resume": _ACT,
    "retry": {**_ACT, "step": "pay", "input": {"amount": 7}},
    "skip": {**_ACT, "step": "pay"},
    "supply": {**_ACT, "step": "pay", "output": {"paid": True}},
    "settle": {**_ACT, "step": "pay", "applied": True, "output": {"paid": True}},
    "extend": {**_ACT, "attempts": 3},
    "fork": {**_ACT, "version": 4, "input": {"amount": 7}},
}

BODIES: dict[str, dict[str, Any]] = {
    bodies.Goal.wire_type: {
        "goal": "vendor onboarding review",
        "definition": "vendor onboarding review",
        "input": {"folder": "vendors/northwind"},
        "tags": {"team": "blue"},
        "deadline": "2030-01-02T03:04:05Z",
        "requested_by": "alice",
    },
    bodies.Approval.wire_type: {
        "workflow_id": "wf_1",
        "approval_id": "risk.1",
        "round": 1,
        "digest": DIGEST,
        "decision": "approve",
        "decided_by": "bea",
        "reason": "looks fine",
        "controls": ["review in 90 days"],
    },
    bodies.Signal.wire_type: {"name": "papers.signed", "correlation": "northwind", "payload": {"by": "ceo"}},
    bodies.Outcome.wire_type: {
        "message_id": "wf_1/pay/run/1",
        "status": "ok",
        "output": {"paid": True},
        "worker": "node-1",
        "started_at": "2030-01-02T03:04:05Z",
        "finished_at": "2030-01-02T03:04:06+00:00",
    },
    **{control_type(verb): body for verb, body in CONTROL_BODIES.items()},
}
"""A good body by its type."""

READERS: dict[str, Callable[[Delivery], reading.Read[Any]]] = {
    bodies.Goal.wire_type: reading.read_goal,
    bodies.Approval.wire_type: reading.read_approval,
    bodies.Signal.wire_type: reading.read_signal,
    bodies.Outcome.wire_type: reading.read_outcome,
    **{control_type(verb): reading.read_control for verb in CONTROL_BODIES},
}

QUEUES: dict[str, str] = {
    bodies.Goal.wire_type: "handrail.goals",
    bodies.Approval.wire_type: "handrail.approvals",
    bodies.Signal.wire_type: "handrail.signals",
    bodies.Outcome.wire_type: "handrail.outcomes",
    **{control_type(verb): "handrail.control" for verb in CONTROL_BODIES},
}

VOUCHED = frozenset(READERS) - {bodies.Signal.wire_type, bodies.Outcome.wire_type}
"""Types whose sender the broker must vouch for."""


def delivery(wire_type: str, body: dict[str, Any] | bytes | None = None, **properties: Any) -> Delivery:
    """A good message of this type; with another body or other properties, a spoilt one."""
    content = BODIES[wire_type] if body is None else body
    good = Delivery(
        queue=QUEUES[wire_type],
        body=content if isinstance(content, bytes) else json.dumps(content).encode(),
        message_id="m-1",
        type=wire_type,
        user_id="desk",
        content_type="application/json",
        exchange=f"{QUEUES[wire_type]}",
        routing_key="key",
    )
    return replace(good, **properties)


def without(wire_type: str, *names: str, **given: Any) -> dict[str, Any]:
    """A body without some fields, or with others."""
    return {name: value for name, value in BODIES[wire_type].items() if name not in names} | given
