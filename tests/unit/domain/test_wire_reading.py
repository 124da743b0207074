"""Whatever the bytes: a body, or a fault with a reason that a person understands; never anything else."""

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MessageUnfit
from domain.messages.bodies import CONTROLS, Approval, Goal, Outcome, Signal
from domain.messages.commands import StepCommand
from domain.messages.names import BODY_BYTES, COMMAND_BODY_BYTES, GOAL_BODY_BYTES, Fault, control_type
from domain.messages.reading import read_command, read_goal
from domain.transport import Delivery
from domain.triggers import Intervention
from tests.unit.domain.wire_samples import BODIES, CONTROL_BODIES, READERS, VOUCHED, delivery, without

GOAL = Goal.wire_type
APPROVAL = Approval.wire_type
SIGNAL = Signal.wire_type
OUTCOME = Outcome.wire_type

each_type = pytest.mark.parametrize("wire_type", list(READERS))


def fault_of(message: Delivery, wire_type: str) -> tuple[str, str]:
    with pytest.raises(MessageUnfit) as caught:
        READERS[wire_type](message)
    return caught.value.fault, str(caught.value)


@each_type
def test_a_good_message_is_read(wire_type: str) -> None:
    read = READERS[wire_type](delivery(wire_type))
    assert (read.message_id, read.sender, read.unknown_fields) == ("m-1", "desk", 0)
    said = json.loads(read.body.model_dump_json(exclude_unset=True))
    at = {"deadline", "started_at", "finished_at"}
    assert {k: v for k, v in said.items() if k not in at} == {k: v for k, v in BODIES[wire_type].items() if k not in at}


def test_instants_are_read_with_their_zone() -> None:
    read = read_goal(delivery(GOAL, without(GOAL, deadline="2030-01-02T05:04:05+02:00")))
    assert read.body.deadline == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("verb", list(CONTROL_BODIES))
def test_every_act_of_an_operator_has_its_message(verb: str) -> None:
    trigger = READERS[control_type(verb)](delivery(control_type(verb))).body.trigger()
    assert isinstance(trigger, Intervention)
    said = {"workflow_id": "wf_1", **trigger.model_dump(mode="json", exclude={"type", "fork", "digest"})}
    assert said == CONTROL_BODIES[verb]


def test_there_is_a_control_message_for_every_intervention() -> None:
    with_message = {type(one.model_validate(CONTROL_BODIES[verb]).trigger()) for verb, one in CONTROLS.items()}
    assert with_message == set(Intervention.__subclasses__())


# --- what bad input gets --------------------------------------------------------------------------------------------

DEEP = b'{"goal": "x", "input": ' + b'{"a":' * 60_000 + b"1" + b"}" * 60_000 + b"}"
LEVELS = b'{"goal": "x", "input": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}"

UNREADABLE: dict[str, tuple[bytes, Fault, str]] = {
    "nothing": (b"", Fault.NOT_JSON, "is no JSON"),
    "words": (b"hello", Fault.NOT_JSON, "at line 1, column 1"),
    "half an object": (b'{"goal": "x"', Fault.NOT_JSON, "is no JSON"),
    "two objects": (b"{}{}", Fault.NOT_JSON, "is no JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", Fault.NOT_JSON, "is no JSON"),
    "UTF-16": ('{"goal": "x"}'.encode("utf-16"), Fault.NOT_UTF8, "byte 0 is 0xff"),
    "Latin-1": ('{"goal": "\xfc"}'.encode("latin-1"), Fault.NOT_UTF8, "byte 10 is 0xfc"),
    "a list": (b"[1]", Fault.SCHEMA, "is no JSON object"),
    "a text": (b'"goal"', Fault.SCHEMA, "is no JSON object"),
    "null": (b"null", Fault.SCHEMA, "is no JSON object"),
    "a key twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', Fault.DUPLICATE_KEY, "'c' is said twice"),
    "NaN": (b'{"a": NaN}', Fault.NUMBER_UNFIT, "NaN is no JSON number"),
    "Infinity": (b'{"a": [-Infinity]}', Fault.NUMBER_UNFIT, "-Infinity is no JSON number"),
    "a float beyond all": (b'{"a": 1e999}', Fault.NUMBER_UNFIT, "inf is no JSON number"),
    "an integer too large": (b'{"a": 9007199254740992}', Fault.NUMBER_UNFIT, "2^53"),
    "an integer too small": (b'{"a": -9007199254740992}', Fault.NUMBER_UNFIT, "2^53"),
    "an integer of 10,000 digits": (b'{"a": ' + b"9" * 10_000 + b"}", Fault.NUMBER_UNFIT, "2^53"),
    "a NUL in a text": (b'{"a": {"b": ["x\\u0000y"]}}', Fault.TEXT_UNFIT, "the body.a.b[0]: holds a NUL"),
    "a NUL in a key": (b'{"a": {"\\u0000": 1}}', Fault.TEXT_UNFIT, "a key: holds a NUL"),
    "a NUL as it is": (b'{"a": "\x00"}', Fault.NOT_JSON, "is no JSON"),
    "half a character": (b'{"a": "\\ud800"}', Fault.TEXT_UNFIT, "lone surrogate"),
    "half a character as a key": (b'{"\\udc00": 1}', Fault.TEXT_UNFIT, "lone surrogate"),
    "too deep": (LEVELS, Fault.TOO_DEEP, "deeper than 100 levels"),
    "too deep, with a NUL": (LEVELS.replace(b"1", b'"\\u0000"'), Fault.TOO_DEEP, "deeper than 100 levels"),
    "a depth bomb": (DEEP, Fault.TOO_DEEP, "deeper than 100 levels"),
}


@each_type
@pytest.mark.parametrize("case", list(UNREADABLE))
def test_what_no_reader_could_take_is_refused(wire_type: str, case: str) -> None:
    body, fault, words = UNREADABLE[case]
    found, reason = fault_of(delivery(wire_type, body), wire_type)
    if len(body) > BODY_BYTES and wire_type != GOAL:
        assert found == Fault.TOO_LARGE
        return
    assert found == fault
    assert words in reason
    assert reason.isprintable()


@each_type
def test_what_is_too_large_is_refused(wire_type: str) -> None:
    most = GOAL_BODY_BYTES if wire_type == GOAL else BODY_BYTES
    body = json.dumps(BODIES[wire_type]).encode()
    padded = body + b" " * (most - len(body))
    assert READERS[wire_type](delivery(wire_type, padded)).unknown_fields == 0
    fault, reason = fault_of(delivery(wire_type, padded + b" "), wire_type)
    assert fault == Fault.TOO_LARGE
    assert f"at most {most}" in reason


@each_type
@pytest.mark.parametrize(
    ("properties", "fault", "words"),
    [
        ({"message_id": ""}, Fault.MESSAGE_ID_MISSING, "no message_id"),
        ({"message_id": "x" * 256}, Fault.MESSAGE_ID_UNFIT, "more than 255 bytes"),
        ({"message_id": "ü" * 128}, Fault.MESSAGE_ID_UNFIT, "more than 255 bytes"),
        ({"message_id": "a\0b"}, Fault.MESSAGE_ID_UNFIT, "control character"),
        ({"message_id": "a\nb"}, Fault.MESSAGE_ID_UNFIT, "control character"),
        ({"message_id": "a\ud800b"}, Fault.MESSAGE_ID_UNFIT, "control character"),
        ({"user_id": "de\0sk"}, Fault.USER_ID_MISSING, "no login"),
        ({"type": ""}, Fault.TYPE_MISSING, "this queue takes handrail."),
        ({"type": "order.placed"}, Fault.TYPE_UNKNOWN, "'order.placed': this queue takes handrail."),
        ({"type": "x" * 255}, Fault.TYPE_UNKNOWN, "…"),
        ({"content_type": "text/xml"}, Fault.CONTENT_TYPE_UNFIT, "'text/xml', it must be application/json"),
    ],
)
def test_properties_are_looked_at(wire_type: str, properties: dict[str, Any], fault: Fault, words: str) -> None:
    found, reason = fault_of(delivery(wire_type, **properties), wire_type)
    assert found == fault
    assert words in reason
    assert reason.isprintable()


@each_type
def test_the_longest_message_id_is_taken(wire_type: str) -> None:
    longest = "x" * 255
    assert READERS[wire_type](delivery(wire_type, message_id=longest)).message_id == longest


@each_type
def test_the_broker_vouches_for_senders_where_it_must(wire_type: str) -> None:
    anonymous = delivery(wire_type, user_id="")
    if wire_type in VOUCHED:
        fault, reason = fault_of(anonymous, wire_type)
        assert fault == Fault.USER_ID_MISSING
        assert "set it to the login" in reason
    else:
        assert READERS[wire_type](anonymous).sender == ""


@each_type
def test_another_version_is_told_from_another_type(wire_type: str) -> None:
    later = wire_type.removesuffix(".v1") + ".v2"
    fault, reason = fault_of(delivery(wire_type, type=later), wire_type)
    assert fault == Fault.VERSION_UNKNOWN
    assert f"version 2 of {wire_type.removesuffix('.v1')}" in reason
    assert f"send {wire_type}" in reason


@each_type
@pytest.mark.parametrize("content_type", ["", "application/json", "Application/JSON; charset=utf-8"])
def test_json_is_known_by_any_of_its_names(wire_type: str, content_type: str) -> None:
    assert READERS[wire_type](delivery(wire_type, content_type=content_type)).message_id == "m-1"


@each_type
def test_every_field_that_must_be_there_is_asked_for(wire_type: str) -> None:
    fault, reason = fault_of(delivery(wire_type, {}), wire_type)
    assert fault == Fault.SCHEMA
    assert "Field required" in reason


@pytest.mark.parametrize(
    ("wire_type", "body", "words"),
    [
        (GOAL, without(GOAL, goal=7), "goal: Input should be a valid string"),
        (GOAL, without(GOAL, goal="   "), "goal: is empty"),
        (GOAL, without(GOAL, goal="x" * 1_000_001), "goal: String should have at most 1000000"),
        (GOAL, without(GOAL, input=[]), "input: Input should be an object"),
        (GOAL, without(GOAL, tags={"a": 1}), "tags.a: Input should be a valid string"),
        (GOAL, without(GOAL, tags={str(n): "" for n in range(101)}), "tags: Dictionary should have at most 100"),
        (GOAL, without(GOAL, deadline="2030-01-02T03:04:05"), "deadline: Input should have timezone info"),
        (GOAL, without(GOAL, deadline=1893553445), "deadline: Input should be a valid datetime"),
        (GOAL, without(GOAL, deadline="0001-01-01T00:00:00+14:00"), "deadline: must lie between the years"),
        (GOAL, without(GOAL, deadline="9999-12-31T23:59:59-14:00"), "deadline: must lie between the years"),
        (GOAL, without(GOAL, requested_by="a\nb"), "requested_by: must be one line"),
        (APPROVAL, without(APPROVAL, digest="AB" * 32), "digest: String should match pattern"),
        (APPROVAL, without(APPROVAL, digest="ab"), "digest: String should match pattern"),
        (APPROVAL, without(APPROVAL, round="1"), "round: Input should be a valid integer"),
        (APPROVAL, without(APPROVAL, round=True), "round: Input should be a valid integer"),
        (APPROVAL, without(APPROVAL, decision="maybe"), "decision: Input should be 'approve' or 'reject'"),
        (APPROVAL, without(APPROVAL, workflow_id="Wf 1"), "workflow_id: String should match pattern"),
        (APPROVAL, without(APPROVAL, decided_by=""), "decided_by: String should have at least 1"),
        (APPROVAL, without(APPROVAL, controls=["x"] * 101), "controls: Tuple should have at most 100"),
        (SIGNAL, without(SIGNAL, correlation="x" * 201), "correlation: String should have at most 200"),
        (SIGNAL, without(SIGNAL, name="No Name"), "name: String should match pattern"),
        (OUTCOME, without(OUTCOME, finished_at="2030-01-02T03:04:04Z"), "`finished_at` lies before `started_at`"),
        (OUTCOME, without(OUTCOME, status="done"), "status: Input should be 'ok', 'failed'"),
        (OUTCOME, without(OUTCOME, "output", status="failed"), "`failure` is given where, and only where"),
        (OUTCOME, without(OUTCOME, "output", status="denied"), "`answer` is given where, and only where"),
        (OUTCOME, without(OUTCOME, answer={"reason": "x"}), "`answer` is given where, and only where"),
        (
            OUTCOME,
            without(OUTCOME, status="failed", failure={"kind": "bug", "message": "x"}),
            "`output` is given only where",
        ),
        (
            OUTCOME,
            without(OUTCOME, "output", status="failed", failure={"kind": "odd", "message": "x"}),
            "failure.kind: Input should be 'transient'",
        ),
        (
            control_type("cancel"),
            without(control_type("cancel"), compensate="no"),
            "compensate: Input should be a valid",
        ),
        (control_type("pause"), without(control_type("pause"), reason=" "), "reason: is empty"),
        (control_type("settle"), without(control_type("settle"), "applied"), "applied: Field required"),
        (control_type("extend"), without(control_type("extend"), attempts=0), "attempts: Input should be greater"),
    ],
)
def test_what_does_not_fit_its_kind_is_named(wire_type: str, body: dict[str, Any], words: str) -> None:
    fault, reason = fault_of(delivery(wire_type, body), wire_type)
    assert fault == Fault.SCHEMA
    assert words in reason


def test_a_reason_does_not_quote_what_was_sent() -> None:
    _, reason = fault_of(delivery(GOAL, without(GOAL, input="hunter2", requested_by=7)), GOAL)
    assert "hunter2" not in reason


# --- what is tolerated ----------------------------------------------------------------------------------------------


@each_type
def test_unknown_fields_are_ignored_and_counted(wire_type: str) -> None:
    assert READERS[wire_type](delivery(wire_type, without(wire_type, later=1, much_later={"a": 1}))).unknown_fields == 2


def test_unknown_fields_are_counted_where_bodies_are_nested() -> None:
    failure = {"kind": "transient", "message": "x", "stack": "…"}
    read = READERS[OUTCOME](delivery(OUTCOME, without(OUTCOME, "output", status="failed", failure=failure)))
    assert read.unknown_fields == 1
    assert READERS[GOAL](delivery(GOAL, without(GOAL, input={"anything": 1}))).unknown_fields == 0


def test_equal_bodies_have_equal_digests() -> None:
    one = read_goal(delivery(GOAL, b'{"goal": "x", "later": 1}')).digest
    same = read_goal(delivery(GOAL, b'{ "later":1.0,"goal":"\\u0078" }')).digest
    assert one == same
    assert read_goal(delivery(GOAL, b'{"goal": "x"}')).digest != one


# --- step commands --------------------------------------------------------------------------------------------------

COMMAND = {
    "message_id": "wf_1/pay/run/1",
    "workflow_id": "wf_1",
    "step": "pay",
    "kind": "run",
    "attempt": 1,
    "activity": "charge",
    "queue": "bank",
    "input": {"amount": 7},
    "definition": "shop",
    "definition_version": "1",
    "idempotency_key": "wf_1/pay/run",
    "expires_at": "2030-01-02T00:00:00Z",
}
SENT = Delivery(
    queue="handrail.activity.bank",
    body=json.dumps({**COMMAND, "later": 1}).encode(),
    message_id="wf_1/pay/run/1",
    type=StepCommand.wire_type,
)


def test_a_step_command_is_read() -> None:
    read = read_command(SENT)
    assert (read.body.command().input, read.unknown_fields) == ({"amount": 7}, 1)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"message_id": ""}, Fault.MESSAGE_ID_MISSING),
        ({"message_id": "wf_1/pay/run/2"}, Fault.MESSAGE_ID_UNFIT),
        ({"type": GOAL}, Fault.TYPE_UNKNOWN),
        ({"type": "handrail.step.run.v7"}, Fault.VERSION_UNKNOWN),
        ({"body": b"{"}, Fault.NOT_JSON),
        ({"body": b"\xff"}, Fault.NOT_JSON),
        ({"body": b"[]"}, Fault.SCHEMA),
        ({"body": b'{"message_id": NaN}'}, Fault.NOT_JSON),
        ({"body": b"[" * 100_000}, Fault.NOT_JSON),
        ({"body": b" " * (COMMAND_BODY_BYTES + 1)}, Fault.TOO_LARGE),
    ],
)
def test_a_step_command_that_is_none_is_refused(changed: dict[str, Any], fault: Fault) -> None:
    with pytest.raises(MessageUnfit) as caught:
        read_command(replace(SENT, **changed))
    assert caught.value.fault == fault


# --- nothing else is ever raised ------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@each_type
@given(body=st.binary(max_size=200), message_id=st.text(max_size=10), kind=st.text(max_size=30))
def test_any_bytes_are_read_or_unfit(wire_type: str, body: bytes, message_id: str, kind: str) -> None:
    for one in (delivery(wire_type, body), delivery(wire_type, body, message_id=message_id, type=kind, user_id=kind)):
        with contextlib.suppress(MessageUnfit):
            READERS[wire_type](one)


@each_type
@given(data=st.data())
def test_any_json_is_read_or_unfit(wire_type: str, data: st.DataObject) -> None:
    names = st.sampled_from([*BODIES[wire_type], "later"])
    changed = data.draw(st.dictionaries(names, JSON, min_size=1, max_size=5))
    body = json.dumps({**BODIES[wire_type], **changed}).encode()
    unfit: MessageUnfit | None = None
    try:
        read = READERS[wire_type](delivery(wire_type, body))
    except MessageUnfit as error:
        unfit = error
    if unfit is None:
        assert len(read.digest) == 64
        assert read.body.model_dump_json()
    else:
        assert str(unfit).encode().decode()
        assert unfit.fault in set(Fault)


@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_command_is_read_or_unfit(body: bytes) -> None:
    with contextlib.suppress(MessageUnfit):
        read_command(replace(SENT, body=body))
