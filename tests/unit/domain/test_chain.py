"""The chain proves order and integrity: header, payload, order; a redacted payload still verifies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from pydantic import BaseModel

from domain import events as e
from domain.chain import GENESIS, canonical, digest_of, link, payload_digest, redact
from domain.definitions import Redactable, activity
from domain.errors import EventCorrupt, InputInvalid
from domain.recorded import RecordedEvent, from_state, record, stamp, to_state, verify
from domain.triggers import Given, StartWorkflow
from domain.workflow import Workflow
from tests.unit.domain.recipes import act, define
from tests.unit.domain.scenario import BEGINNING, ID, given, stored

KEY = b"the key of this workflow"


def history() -> list[RecordedEvent]:
    return [stored(one) for one in given(define(act("look"), act("tell"))).ok("look", {"found": 1}).ok("tell").history]


def test_an_untouched_history_verifies_up_to_its_head() -> None:
    events = history()
    verify(events, head=events[-1].digest)
    assert events[0].previous == GENESIS


@pytest.mark.parametrize("position", range(6))
def test_a_changed_payload_is_found_where_it_is(position: int) -> None:
    events = history()
    changed = events[position].payload.replace(b"{", b'{"x":1,', 1)
    events[position] = replace(events[position], payload=changed)
    with pytest.raises(EventCorrupt, match=f"event {position + 1}: its payload was changed"):
        verify(events)


@pytest.mark.parametrize("position", range(5))
def test_a_changed_header_is_found_at_the_event_behind_it(position: int) -> None:
    events = history()
    changed = events[position].header.replace(b'"actor":"test"', b'"actor":"eve"')
    assert changed != events[position].header
    events[position] = replace(events[position], header=changed)
    with pytest.raises(EventCorrupt, match=f"event {position + 2}: does not follow the event before it"):
        verify(events)


def test_a_changed_last_event_is_found_by_the_head_that_was_kept() -> None:
    events = history()
    head = events[-1].digest
    payload = b'{"controls":[],"output":2,"effects":[]}'
    forged = replace(events[-1], payload=payload, payload_digest=payload_digest(payload))
    with pytest.raises(EventCorrupt, match="another digest than the head that was kept"):
        verify([*events[:-1], forged], head=head)


def test_events_that_are_missing_or_in_another_order_are_found() -> None:
    events = history()
    with pytest.raises(EventCorrupt, match="event 3 is missing"):
        verify([*events[:2], *events[3:]])
    with pytest.raises(EventCorrupt, match="event 2 is missing"):
        verify([events[0], events[2], events[1], *events[3:]])
    with pytest.raises(EventCorrupt, match="the chain ends at event 4"):
        verify(events[:4], head=events[-1].digest)


def test_an_event_of_another_workflow_is_not_taken_for_one_s_own() -> None:
    one = history()[2]
    with pytest.raises(EventCorrupt, match="its header belongs to another event"):
        from_state("wf_002", 3, one.name, to_state(one))
    with pytest.raises(EventCorrupt, match="its header belongs to another event"):
        from_state(ID, 4, one.name, to_state(one))
    with pytest.raises(EventCorrupt, match="its header belongs to another event"):
        from_state(ID, 3, "StepSucceeded", to_state(one))


@pytest.mark.parametrize("state", [b"", b"{}", b"{}\nx\n{}", b"not json\na b\n{}", b'{"workflow":1}\na b\n{}'])
def test_bytes_that_are_no_event_are_corrupt(state: bytes) -> None:
    with pytest.raises(EventCorrupt, match="wf_001 event 1"):
        from_state(ID, 1, "StepSkipped", state)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("at", "0001-01-01T00:00:00+14:00"),
        ("at", "9999-12-31T23:59:59-14:00"),
        ("at", "2026-01-01T00:00:00"),
        ("at", 7),
        ("decision", 10**30),
        ("decision", -1),
        ("decision", True),
        ("decision", "1"),
        ("cause", None),
        ("actor", 5),
        ("engine", []),
    ],
)
def test_a_header_that_nobody_of_ours_writes_is_corrupt(member: str, value: object) -> None:
    one = history()[2]
    header, rest = to_state(one).split(b"\n", 1)
    made_up = json.dumps({**json.loads(header), member: value}).encode()
    with pytest.raises(EventCorrupt, match=r"wf_\d+ event 3 .* cannot be read"):
        from_state(ID, 3, one.name, made_up + b"\n" + rest)


def test_the_header_keeps_whatever_the_cause_and_the_actor_are_called() -> None:
    fact = e.StepSkipped(step="look", reason='é\n"quoted"')
    made = record(fact, stamp(ID, BEGINNING, 'a "cause"\n', "zoë", 1), 1, GENESIS)
    read = stored(made)
    assert (read.cause, read.actor, read.event) == ('a "cause"\n', "zoë", fact)
    assert read.digest == made.digest
    verify([read], head=made.digest)


def test_the_digest_of_an_event_covers_header_predecessor_and_payload() -> None:
    digests = {link(b"h", "p", "d"), link(b"x", "p", "d"), link(b"h", "x", "d"), link(b"h", "p", "x")}
    assert len(digests) == 4


# --- redaction ------------------------------------------------------------------------------------------------------


class Person(BaseModel):
    """A person, whose name may later be cut out."""

    name: Annotated[str, Redactable()]
    age: int


class Family(BaseModel):
    """A family with a person in it."""

    head: Person


@activity(effect="pure")
def greet(family: Family) -> Person:
    """Answer with the person."""
    return family.head


def redactable() -> list[RecordedEvent]:
    definition = define(greet)
    workflow = Workflow(ID, key=KEY)
    start = StartWorkflow(
        goal="g",
        definition="test",
        definition_version="1",
        input={"head": {"name": "Ada", "age": 36}},
        requested_by="rita",
    )
    workflow.handle(Given(start, BEGINNING, "c", "a"), definition)
    return [stored(one) for one in workflow.collect_events()]


def test_marked_fields_are_known_by_their_paths() -> None:
    assert greet.redactable_input == ("/head/name",)
    assert greet.redactable_output == ("/name",)
    assert isinstance(scheduled := redactable()[2].event, e.StepScheduled)
    assert scheduled.redactable == ("/input/head/name",)


def test_a_redacted_payload_still_verifies_and_says_nothing() -> None:
    events = redactable()
    verify(events, key=KEY)
    cut = redact(events[2].payload, redactable=("/input/head/name",), key=KEY, version=3)
    assert b"Ada" not in cut
    assert json.loads(cut)["input"]["head"]["age"] == 36
    events[2] = replace(events[2], payload=cut)
    verify(events, key=KEY)
    assert redact(cut, redactable=("/input/head/name",), key=KEY, version=3) == cut, "a second time changes nothing"


def test_another_value_in_place_of_a_redacted_one_is_found() -> None:
    events = redactable()
    events[2] = replace(events[2], payload=events[2].payload.replace(b"Ada", b"Eve"))
    with pytest.raises(EventCorrupt, match="event 3: its payload was changed"):
        verify(events, key=KEY)


def test_the_digest_of_a_redactable_value_depends_on_key_path_and_version() -> None:
    payload = b'{"a":"x","b":"x"}'
    digests = {
        payload_digest(payload, redactable=("/a",), key=KEY, version=1),
        payload_digest(payload, redactable=("/b",), key=KEY, version=1),
        payload_digest(payload, redactable=("/a",), key=b"other", version=1),
        payload_digest(payload, redactable=("/a",), key=KEY, version=2),
    }
    assert len(digests) == 4


def test_a_path_that_leads_nowhere_changes_nothing() -> None:
    payload = b'{"a":null,"b":{"c":1}}'
    for pointer in ("/a", "/x", "/b/x", "/b/c/d"):
        assert redact(payload, redactable=(pointer,), key=KEY, version=1) == canonical(json.loads(payload))


# --- canonical JSON -------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given_any(st.dictionaries(st.text(max_size=4), json_values, max_size=5))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))
    assert json.loads(canonical(value)) == value


@pytest.mark.parametrize("bad", [2**53, -(2**53), float("nan"), float("inf"), object(), {1: 2}, {"\ud800": 1}])
def test_what_has_no_canonical_form_is_refused(bad: Any) -> None:
    with pytest.raises(InputInvalid, match="no canonical JSON form"):
        canonical({"value": bad})
