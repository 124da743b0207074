"""Samples as files: messages of every type, whole and with only what they must have; the rows of a store in use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consumers.commands import read as read_a_command
from consumers.inbox import command_digest
from domain.messages import bodies
from domain.messages.commands import StepCommand
from domain.messages.names import control_type
from domain.transport import Delivery
from tests.unit.domain.wire_samples import BODIES, QUEUES, READERS

FOLDER = Path(__file__).with_name("samples")
WIRE = FOLDER / "wire.jsonl"
STORE = FOLDER / "store.jsonl"
RECIPES = "tests.upgrade.recipes"

COMMAND = {
    "message_id": "wf_1/pay/run/2",
    "workflow_id": "wf_1",
    "step": "pay",
    "kind": "run",
    "attempt": 2,
    "generation": 3,
    "activity": "pay",
    "queue": "default",
    "input": {"amount": 7, "to": {"name": "Zoë"}},
    "definition": "refund",
    "definition_version": "1",
    "idempotency_key": "wf_1/pay/run",
    "expires_at": "2030-01-02T03:04:05Z",
    "requested_by": "alice",
}
FAILURE = {"kind": "transient", "message": "busy", "type": "Busy", "retry_after_seconds": 1.5, "absent": True}
ANSWER = {"reason": "a large sum", "evidence": {"sum": 5}, "controls": ["call"], "policy": "desk", "output": 1}


def wire() -> Iterator[dict[str, Any]]:
    """One message of every type whole, one bare; with what this version makes of it."""
    models: dict[str, type[bodies.Body]] = {
        one.wire_type: one for one in (bodies.Goal, bodies.Approval, bodies.Signal, bodies.Outcome)
    }
    models |= {control_type(verb): one for verb, one in bodies.CONTROLS.items()}
    for wire_type, body in BODIES.items():
        required = {name for name, field in models[wire_type].model_fields.items() if field.is_required()}
        yield sample("whole", wire_type, body)
        yield sample("bare", wire_type, {name: value for name, value in body.items() if name in required})
    outcome = {key: value for key, value in BODIES[bodies.Outcome.wire_type].items() if key != "output"}
    yield sample("failed", bodies.Outcome.wire_type, {**outcome, "status": "failed", "failure": FAILURE})
    yield sample("asking", bodies.Outcome.wire_type, {**outcome, "status": "needs_approval", "answer": ANSWER})
    yield sample("whole", StepCommand.wire_type, COMMAND)
    bare = {name: COMMAND[name] for name, field in StepCommand.model_fields.items() if field.is_required()}
    yield sample("bare", StepCommand.wire_type, bare)


def sample(name: str, wire_type: str, body: dict[str, Any]) -> dict[str, Any]:
    """A message, and what it is read as."""
    made = {
        "sample": name,
        "type": wire_type,
        "queue": QUEUES.get(wire_type, "handrail.activity.default"),
        "message_id": body["message_id"] if wire_type == StepCommand.wire_type else "m-1",
        "headers": {"handrail-causation-id": "wf_1@4", "handrail-attempt": 2},
        "body": json.dumps(body, ensure_ascii=False),
    }
    return {**made, "read": as_read(delivery(made))}


def delivery(made: dict[str, Any], **more: Any) -> Delivery:
    """The sample as it is delivered; `more` are fields and headers that its version did not know."""
    body = json.dumps({**json.loads(made["body"]), **more}, ensure_ascii=False) if more else made["body"]
    headers = {**made["headers"], **{f"later-{name}": "1" for name in more}}
    return Delivery(
        queue=made["queue"],
        body=body.encode(),
        message_id=made["message_id"],
        type=made["type"],
        user_id="desk",
        content_type="application/json",
        headers=headers,
    )


def as_read(delivered: Delivery) -> dict[str, Any]:
    """All that was understood, and the digest by which a repeat is known."""
    if delivered.type == StepCommand.wire_type:
        command = read_a_command(delivered)
        return {"body": json.loads(StepCommand.of(command).model_dump_json()), "digest": command_digest(command)}
    read = READERS[delivered.type](delivered)
    return {"body": json.loads(read.body.model_dump_json()), "digest": read.digest}


def lines(path: Path) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, documents: list[dict[str, Any]]) -> None:
    """Write a file of documents."""
    text = "".join(json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n" for one in documents)
    path.write_text(text, encoding="utf-8")
