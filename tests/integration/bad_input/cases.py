"""The bad messages: for every queue each kind that a sender can get wrong, and the fault and words it ends with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from domain.messages import bodies
from domain.messages.names import BODY_BYTES, COMMAND_BODY_BYTES, GOAL_BODY_BYTES, control_type
from domain.topology import DEAD_COMMANDS_QUEUE, activity_queue, dead_queue

LONG = "x" * 255
NOWHERE = "wf_nowhere"
DIGEST = "ab" * 32


@dataclass(frozen=True)
class Post:
    """One queue as its senders see it: who writes where, and what a good message to it looks like."""

    sender: str
    exchange: str
    key: str
    type: str
    body: dict[str, Any] = field(hash=False)
    queue: str
    dead: str
    most_bytes: int = BODY_BYTES
    vouched: bool = True


POSTS = {
    "goals": Post(
        "shop", "handrail.goals", "goal", bodies.Goal.wire_type, {"goal": "greet"},
        "handrail.goals", "handrail.dead.goals", GOAL_BODY_BYTES,
    ),
    "approvals": Post(
        "desk", "handrail.approvals", "approval.asking", bodies.Approval.wire_type,
        {
            "workflow_id": NOWHERE, "approval_id": "big.1", "round": 1, "digest": DIGEST,
            "decision": "approve", "decided_by": "bea",
        },
        "handrail.approvals", "handrail.dead.approvals",
    ),
    "signals": Post(
        "crm", "handrail.signals", "letter", bodies.Signal.wire_type, {"name": "letter", "correlation": "box-9"},
        "handrail.signals", "handrail.dead.signals", vouched=False,
    ),
    "control": Post(
        "operator", "handrail.control", "control", control_type("pause"),
        {"workflow_id": NOWHERE, "by": "olga", "reason": "the bank called"},
        "handrail.control", "handrail.dead.control",
    ),
    "outcomes": Post(
        "worker", "handrail.outcomes", "outcome", bodies.Outcome.wire_type,
        {
            "message_id": f"{NOWHERE}/count/run/1", "status": "ok", "output": {"words": 2},
            "started_at": "2030-01-02T03:04:05Z", "finished_at": "2030-01-02T03:04:06Z",
        },
        "handrail.outcomes", "handrail.dead.outcomes", vouched=False,
    ),
    "commands": Post(
        "runtime", "handrail.commands", "default", "handrail.step.run.v1", {"message_id": "m"},
        activity_queue("default"), DEAD_COMMANDS_QUEUE, COMMAND_BODY_BYTES, vouched=False,
    ),
}  # fmt: skip
assert dead_queue(activity_queue("default")) != DEAD_COMMANDS_QUEUE, "dead commands are moved on to where people look"


@dataclass(frozen=True)
class Case:
    """One bad message, and how it must end: in the post's dead queue with this fault and these words."""

    name: str
    post: Post
    fault: str
    words: str
    message_id: str | None = ""
    type: str | None = ""
    body: bytes | None = None
    content_type: str = "application/json"
    user_id: bool = True
    sender: str = ""

    def changed(self, **fields: Any) -> bytes:
        """The good body with other fields."""
        return json.dumps({**self.post.body, **fields}).encode()

    @property
    def published(self) -> dict[str, Any]:
        """What is published: exchange, key, body, properties; `sender` is whose connection it goes over."""
        properties: dict[str, Any] = {
            "message_id": self.name if self.message_id == "" else self.message_id,
            "message_type": self.post.type if self.type == "" else self.type,
            "content_type": self.content_type,
            "delivery_mode": 2,
            "headers": {"case": self.name},
        }
        body = self.changed() if self.body is None else self.body
        return {"exchange": self.post.exchange, "key": self.post.key, "body": body, **properties}


def anywhere(where: str, post: Post) -> Iterator[Case]:
    """What is bad in every queue."""

    def case(name: str, fault: str, words: str, **given: Any) -> Case:
        return Case(f"{where}: {name}", post, fault, words, **given)

    good = Case("", post, "", "")
    strange = "handrail.signal.deliver.v1" if where == "goals" else "handrail.goal.start.v1"
    yield case("no JSON", "not_json", "JSON", body=b"{")
    yield case("a raw NUL", "not_json", "JSON", body=b'{"a": "\0"}')
    yield case(
        "another's type", "type_unknown", f"this queue takes {'' if where == 'control' else post.type}", type=strange
    )
    yield case("an unknown type", "type_unknown", "its type is 'made.up'", type="made.up")
    yield case("no type", "type_missing", "there is no `type` property", type=None)
    yield case("a later version", "version_unknown", "version 9 of", type=post.type.replace(".v1", ".v9"))
    yield case("another schema", "schema", "the body is no handrail.", body=b'{"unheard": 1}')
    yield case("over-large", "too_large", "at most", body=good.changed(more="x" * post.most_bytes))
    yield case("no message id", "message_id_missing", "there is no message_id", message_id=None)
    yield case("a NUL in the message id", "message_id_unfit", "control character", message_id=f"{where}\0nul")
    yield case("no JSON by its own account", "content_type_unfit", "must be application/json", content_type="text/xml")
    if where != "commands":
        yield case("no UTF-8", "not_utf8", "no UTF-8", body=b"\xff{}")
        yield case("an escaped NUL", "text_unfit", "NUL character", body=good.changed(more="a\0b"))
        yield case("a key twice", "duplicate_key", "said twice", body=b'{"goal": 1, "goal": 2}')
        yield case("a vast number", "number_unfit", "beyond", body=good.changed(more=2**60))
        yield case("an abyss", "too_deep", "nested", body=b'{"a":' * 1000 + b"1" + b"}" * 1000)
    if post.vouched:
        yield case("no user id", "user_id_missing", "there is no user_id", user_id=False)


def somewhere(deployed: dict[str, str]) -> Iterator[Case]:
    """What is bad in one queue; `deployed` are ids of workflows that there are."""

    def case(
        where: str, name: str, fault: str, words: str, *, change: dict[str, Any] | None = None, **given: Any
    ) -> Case:
        made = Case(f"{where}: {name}", POSTS[where], fault, words, **given)
        return made if change is None else replace(made, body=made.changed(**change))

    speaks = "may not speak for persons in definition"
    yield case("goals", "a sender that may not vouch", "sender_not_allowed", speaks, change={"requested_by": "rita"})
    yield case("goals", "no such definition", "definition_unknown", "no definition", change={"goal": "make it so"})
    yield case("approvals", "for nothing", "workflow_unknown", "there is no workflow")
    yield case(
        "approvals", "a sender that may not", "sender_not_allowed", speaks,
        sender="stranger", change={"workflow_id": deployed["asking"]},
    )  # fmt: skip
    yield case("approvals", "an id of 255 characters", "schema", "workflow_id", change={"workflow_id": LONG})
    yield case("signals", "an id of 255 characters", "schema", "name", change={"name": LONG})
    yield case("control", "for nothing", "workflow_unknown", "there is no workflow")
    yield case("control", "an id of 255 characters", "schema", "workflow_id", change={"workflow_id": LONG})
    yield case(
        "control", "a sender that may not", "sender_not_allowed", "may not cancel workflows",
        type=control_type("cancel"), change={"workflow_id": deployed["asking"]},
    )  # fmt: skip
    yield case("outcomes", "for nothing", "command_unknown", "there is no command")
    yield case(
        "outcomes", "an id of 255 characters", "command_unknown", "there is no command", change={"message_id": LONG}
    )
    yield case(
        "outcomes", "an activity that is not foreign", "sender_not_allowed", "is not foreign",
        change={"message_id": f"{deployed['asking']}/put/run/1"},
    )  # fmt: skip
