"""Facts that a definition alone decides are one object in many workflows: encoded once, recorded like any other."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from domain.chain import GENESIS
from domain.events import PolicyEvaluated
from domain.recorded import _SHARED, _SHARED_HELD, RecordedEvent, record, stamp, verify

AT = datetime(2030, 1, 1, tzinfo=UTC)


def recorded(event: PolicyEvaluated, workflow_id: str = "wf_1") -> RecordedEvent:
    return record(event, stamp(workflow_id, AT, "cause", "actor", 1), 1, GENESIS)


def evaluated(step: str) -> PolicyEvaluated:
    return PolicyEvaluated(step=step, policy="p", policy_version="1", verdict="allow")


def test_a_shared_event_is_encoded_as_any_other() -> None:
    event = evaluated("a")
    first, second = recorded(event), recorded(event, "wf_2")
    assert first.payload == second.payload == event.model_dump_json(exclude_none=True).encode()
    assert first.payload_digest == second.payload_digest == sha256(first.payload).hexdigest()
    assert first.digest != second.digest
    verify([first])
    verify([second])


def test_an_equal_event_with_more_to_it_is_another() -> None:
    event = evaluated("a")
    plain, with_trigger = recorded(event), recorded(event.model_copy(update={"trigger": {"type": "wake"}}))
    assert b"wake" in with_trigger.payload
    assert b"wake" not in plain.payload


def test_more_of_them_than_are_held_are_encoded_all_the_same() -> None:
    for number in range(2 * _SHARED_HELD + 1):
        step = f"s{number}"
        assert f'"{step}"'.encode() in recorded(evaluated(step)).payload


def test_nothing_of_a_shared_event_can_be_cut_out() -> None:
    assert not [kind for kind in _SHARED if "redactable" in kind.model_fields]
