"""What is written can be read; what no reader would take is refused to its writer."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.chain import GENESIS
from domain.errors import InputInvalid
from domain.events import STORED, TERMINAL_EVENTS, ApprovalRequested, Event, InterventionRequested, WorkflowStarted
from domain.messages import announcements, bodies, writing
from domain.messages.commands import StepCommand
from domain.messages.faults import (
    HEADER_CHARACTERS,
    MOST_HEADERS,
    outgoing_fault,
    outgoing_replay,
    read_dead_letter,
)
from domain.messages.names import BODY_BYTES
from domain.messages.reading import read_command
from domain.ports import Command
from domain.recorded import RecordedEvent, record, stamp
from domain.state import State
from domain.topology import DEAD_EXCHANGE
from domain.transport import Delivery, Outgoing
from domain.triggers import CancelWorkflow, RetryStep
from tests.unit.domain.wire_samples import BODIES, CONTROL_BODIES, DIGEST, READERS, delivery

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
GOAL = bodies.Goal(goal="vendor onboarding review")
APPROVAL = bodies.Approval(
    workflow_id="wf_1", approval_id="risk.1", round=1, digest=DIGEST, decision="approve", decided_by="bea"
)


def delivered(sent: Outgoing, user_id: str = "desk") -> Delivery:
    """A message as it comes out of the broker."""
    return Delivery(
        queue="handrail.queue",
        body=sent.body,
        message_id=sent.message_id,
        type=sent.type,
        user_id=sent.user_id or user_id,
        correlation_id=sent.correlation_id,
        content_type="application/json",
        exchange=sent.exchange,
        routing_key=sent.routing_key,
        headers=dict(sent.headers),
    )


def sent_of(wire_type: str) -> Outgoing:
    body = json.dumps(BODIES[wire_type])
    if wire_type == bodies.Goal.wire_type:
        return writing.outgoing_goal(bodies.Goal.model_validate_json(body), message_id="m-1")
    if wire_type == bodies.Approval.wire_type:
        approval = bodies.Approval.model_validate_json(body)
        return writing.outgoing_approval(approval, message_id="m-1", definition="Vendor Review")
    if wire_type == bodies.Signal.wire_type:
        return writing.outgoing_signal(bodies.Signal.model_validate_json(body), message_id="m-1")
    if wire_type == bodies.Outcome.wire_type:
        return writing.outgoing_outcome(bodies.Outcome.model_validate_json(body))
    control = bodies.CONTROLS[wire_type.split(".")[2]].model_validate_json(body)
    return writing.outgoing_control(control, message_id="m-1")


@pytest.mark.parametrize("wire_type", list(READERS))
def test_what_is_written_is_read_again(wire_type: str) -> None:
    sent = sent_of(wire_type)
    read = READERS[wire_type](delivered(sent))
    again = READERS[wire_type](delivery(wire_type))
    assert read.body == again.body
    assert (sent.type, sent.mandatory, sent.user_id) == (wire_type, True, None)


@pytest.mark.parametrize(
    ("wire_type", "exchange", "key", "correlation"),
    [
        (bodies.Goal.wire_type, "handrail.goals", "goal", ""),
        (bodies.Approval.wire_type, "handrail.approvals", "approval.vendor-review", "wf_1"),
        (bodies.Signal.wire_type, "handrail.signals", "papers.signed", ""),
        (bodies.Outcome.wire_type, "handrail.outcomes", "outcome", "wf_1"),
        ("handrail.control.pause.v1", "handrail.control", "control", "wf_1"),
    ],
)
def test_every_message_has_its_way(wire_type: str, exchange: str, key: str, correlation: str) -> None:
    sent = sent_of(wire_type)
    assert (sent.exchange, sent.routing_key, sent.correlation_id) == (exchange, key, correlation)


def test_an_outcome_is_named_after_its_command() -> None:
    assert sent_of(bodies.Outcome.wire_type).message_id == "wf_1/pay/run/1/outcome"


def test_a_trace_goes_along() -> None:
    sent = writing.outgoing_goal(GOAL, message_id="m-1", traceparent="00-aa-bb-01")
    assert sent.headers == {"traceparent": "00-aa-bb-01"}


@pytest.mark.parametrize("message_id", ["", "x" * 256, "a\0", "a\n", "\ud800"])
def test_a_message_id_that_none_would_take_is_refused(message_id: str) -> None:
    with pytest.raises(InputInvalid, match="message_id"):
        writing.outgoing_goal(GOAL, message_id=message_id)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("\0", "NUL"),
        ("\ud800", "JSON form"),
        (2**53, "2\\^53"),
        (float("nan"), "NaN is no JSON number"),
        (float("inf"), "Infinity is no JSON number"),
        (b"\xff", "JSON form"),
        (object(), "JSON form"),
        ("x" * BODY_BYTES, "at most 262144"),
    ],
)
def test_a_body_that_none_would_take_is_refused(payload: Any, words: str) -> None:
    with pytest.raises(InputInvalid, match=f"handrail.signal.deliver.v1: .*{words}"):
        writing.outgoing_signal(bodies.Signal(name="n", correlation="c", payload=payload), message_id="m")


def test_a_goal_may_be_larger_than_what_others_send() -> None:
    sent = writing.outgoing_goal(bodies.Goal(goal="x" * 900_000), message_id="m")
    assert len(sent.body) > 900_000


@pytest.mark.parametrize("verb", list(CONTROL_BODIES))
def test_an_act_goes_into_its_message_and_comes_back(verb: str) -> None:
    control = bodies.CONTROLS[verb].model_validate(CONTROL_BODIES[verb])
    assert bodies.control_of("wf_1", control.trigger()) == control


def test_an_act_that_no_message_may_hold_is_refused() -> None:
    assert bodies.control_of("wf_1", RetryStep(by="a", reason="b", step="s")).model_dump()["input"] is None
    with pytest.raises(ValidationError):
        bodies.control_of("wf_1", CancelWorkflow(by="a", reason=""))


# --- step commands and announcements --------------------------------------------------------------------------------


def test_a_step_command_goes_to_its_queue() -> None:
    command = Command(
        "wf_1/pay/run/2", "wf_1", "pay", "run", 2, 1, "charge", "bank", {"amount": 7}, "shop", "4", "key", AT, "alice"
    )
    sent = writing.outgoing_command(command, causation_id="wf_1/3")
    assert (sent.exchange, sent.routing_key) == ("handrail.commands", "bank")
    assert (sent.message_id, sent.type, sent.correlation_id) == ("wf_1/pay/run/2", StepCommand.wire_type, "wf_1")
    assert sent.headers == {
        "handrail-causation-id": "wf_1/3",
        "handrail-attempt": 2,
        "handrail-deadline": "2030-01-02T03:04:05Z",
    }
    assert read_command(delivered(sent)).body.command() == command


@pytest.mark.parametrize(
    ("definition", "word"),
    [("Vendor onboarding: Review!", "vendor-onboarding-review"), ("a.b", "a-b"), ("Ärger", "ärger")],
)
def test_a_definition_is_one_word_of_a_key(definition: str, word: str) -> None:
    assert writing.routing_word(definition) == word


@given(definition=st.text(max_size=300))
def test_any_definition_fits_a_key(definition: str) -> None:
    word = writing.routing_word(definition)
    assert len(f"approval.requested.{word}".encode("utf-8", "backslashreplace")) <= 255
    assert not set(word) & set(".*#")


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert writing.routing_word("x" * 199 + "a") != writing.routing_word("x" * 199 + "b")


ASKED = ApprovalRequested(
    step="risk",
    approval_id="risk.1",
    round=1,
    origin="activity",
    digest=DIGEST,
    policy="default",
    policy_version="1",
    required=1,
    rejections=1,
    approvers=("bea",),
    four_eyes=True,
    action={"input": {"amount": 7}},
    reason="risk is high",
    evidence={"score": 9},
    proposed_controls=("review in 90 days",),
    barred=("alice",),
    deadline_at=AT,
)
ORIGIN = State("wf_1", definition="Vendor Review", definition_version="2", requested_by="alice")
ORIGIN.goal = "vendor review"


def recorded(event: Event) -> RecordedEvent:
    return record(event, stamp("wf_1", AT, "cause", "actor", 7), 7, GENESIS)


def test_a_request_for_approval_has_all_that_its_decision_quotes() -> None:
    told = announcements.announcement_of(recorded(ASKED), ORIGIN)
    assert isinstance(told, announcements.ApprovalRequested)
    assert (told.workflow_id, told.approval_id, told.round, told.digest) == ("wf_1", "risk.1", 1, DIGEST)
    assert (told.evidence, told.action, told.controls) == (
        {"score": 9},
        {"input": {"amount": 7}},
        ("review in 90 days",),
    )
    sent = writing.outgoing_announcement(told, causation_id="m-1")
    assert (sent.exchange, sent.routing_key) == ("handrail.events", "approval.requested.vendor-review")
    assert (sent.message_id, sent.mandatory) == ("wf_1@7", False)
    assert sent.headers == {"handrail-causation-id": "m-1", "handrail-sequence": 7}
    assert json.loads(sent.body)["deadline_at"] == "2030-01-02T03:04:05Z"
    assert json.loads(sent.body)["left_out"] == []


def test_what_would_be_too_large_is_left_out_and_named() -> None:
    large = ASKED.model_copy(update={"evidence": {"scan": "x" * BODY_BYTES}})
    told = announcements.announcement_of(recorded(large), ORIGIN)
    assert isinstance(told, announcements.ApprovalRequested)
    assert (told.left_out, told.evidence, told.action) == (("evidence",), {}, {"input": {"amount": 7}})
    assert len(writing.outgoing_announcement(told).body) <= BODY_BYTES


def test_a_long_goal_is_shown_in_part() -> None:
    origin = State("wf_1", definition="d")
    origin.goal = "x" * 1_000_000
    told = announcements.announcement_of(recorded(InterventionRequested(step="a", reason="b")), origin)
    assert told is not None
    assert len(told.goal) == announcements.GOAL_CHARACTERS_SHOWN


def test_only_what_is_others_business_is_announced() -> None:
    kinds = {kind for kind in STORED.values() if announcements.announced(kind)}
    assert kinds == {ApprovalRequested, InterventionRequested, WorkflowStarted, *TERMINAL_EVENTS}


# --- dead letters ---------------------------------------------------------------------------------------------------


def buried(one: Delivery) -> Delivery:
    """The dead letter of a delivery, as it comes out of the dead queue."""
    sent = outgoing_fault(one, fault="schema", reason="goal: is empty", consumer="host-1", at=AT)
    return replace(delivered(sent, user_id="handrail"), queue="handrail.dead.handrail.goals")


def test_a_dead_letter_says_why_and_keeps_what_it_was() -> None:
    one = delivery(bodies.Goal.wire_type, b"\xff", headers={"traceparent": "t"}, app_id="shop", timestamp=AT)
    sent = outgoing_fault(one, fault="not_utf8", reason="the body is no UTF-8", consumer="host-1", at=AT)
    assert (sent.exchange, sent.routing_key) == ("handrail.dead", "handrail.goals")
    assert (sent.message_id, sent.type, sent.body, sent.user_id) == ("m-1", one.type, b"\xff", None)
    assert sent.headers == {
        "traceparent": "t",
        "handrail-fault-type": "not_utf8",
        "handrail-fault-message": "the body is no UTF-8",
        "handrail-fault-at": "2030-01-02T03:04:05+00:00",
        "handrail-fault-consumer": "host-1",
        "handrail-fault-queue": "handrail.goals",
        "handrail-original-exchange": "handrail.goals",
        "handrail-original-routing-key": "key",
        "handrail-original-user-id": "desk",
        "handrail-original-app-id": "shop",
        "handrail-original-timestamp": "2030-01-02T03:04:05+00:00",
        "handrail-original-content-type": "application/json",
    }


def test_a_replay_is_the_same_message() -> None:
    one = delivery(bodies.Goal.wire_type, headers={"traceparent": "t"})
    replayed = outgoing_replay(buried(one))
    assert (replayed.exchange, replayed.routing_key) == (one.exchange, one.routing_key)
    assert (replayed.message_id, replayed.type, replayed.body, replayed.user_id) == ("m-1", one.type, one.body, "desk")
    assert replayed.headers == {"traceparent": "t", "handrail-replays": 1}


def test_replays_are_counted() -> None:
    one = delivery(bodies.Goal.wire_type)
    for times in (1, 2, 3):
        replayed = outgoing_replay(buried(one))
        one = replace(delivered(replayed), queue="handrail.goals")
        assert (one.headers["handrail-replays"], one.user_id) == (times, "desk")
    assert read_dead_letter(buried(one)).replays == 3


def moved(queue: str = "handrail.goals", death: Any = None, **properties: Any) -> Delivery:
    """What the broker moved from a queue to its dead queue by itself."""
    given: dict[str, Any] = {"exchange": DEAD_EXCHANGE, "routing_key": queue, **properties}
    headers = {**given.pop("headers", {}), "x-death": death}
    return delivery(bodies.Goal.wire_type, queue=f"handrail.dead.{queue}", headers=headers, **given)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [("delivery_limit", "delivered_too_often"), ("rejected", "rejected"), ("expired", "given_up"), (None, "given_up")],
)
def test_what_the_broker_gave_up_can_be_replayed_as_well(reason: str | None, fault: str) -> None:
    earlier = {"queue": "handrail.approvals", "reason": "rejected"}
    death = {"queue": "handrail.goals", "routing-keys": ["goal"], "time": AT, **({"reason": reason} if reason else {})}
    one = moved(death=[death, earlier])
    letter = read_dead_letter(one)
    assert (letter.fault, letter.at) == (fault, AT.isoformat())
    assert (letter.queue, letter.exchange, letter.routing_key, letter.user_id) == (
        "handrail.goals",
        "handrail.goals",
        "goal",
        "desk",
    )
    assert outgoing_replay(one).user_id == "desk"


@pytest.mark.parametrize("death", [None, [], ["x"], [{"queue": "handrail.control"}], [{"queue": 7}]])
def test_whatever_stands_in_the_mark_of_the_broker_it_is_the_queue_that_says_where_from(death: Any) -> None:
    for queue, exchange, key in (
        ("handrail.goals", "handrail.goals", "goal"),
        ("handrail.control", "handrail.control", "control"),
        ("handrail.activity.papers", "handrail.commands", "papers"),
    ):
        replayed = outgoing_replay(moved(queue, death))
        assert (replayed.exchange, replayed.routing_key) == (exchange, key)


def test_what_was_decided_under_a_topic_keeps_its_topic() -> None:
    death = {"queue": "handrail.approvals", "reason": "rejected", "routing-keys": ["approval.review"]}
    assert outgoing_replay(moved("handrail.approvals", [death])).routing_key == "approval.review"


def test_what_no_queue_took_says_where_it_was_sent() -> None:
    one = delivery(bodies.Goal.wire_type, queue="handrail.unrouted", exchange="handrail.goals", routing_key="gaol")
    letter = read_dead_letter(one)
    assert (letter.fault, letter.user_id) == ("unrouted", "desk")
    assert "'gaol' of handrail.goals is bound to no queue" in letter.reason
    assert (outgoing_replay(one).exchange, outgoing_replay(one).routing_key) == ("handrail.goals", "gaol")


FORGED: Final = {
    "handrail-fault-type": "schema",
    "handrail-fault-queue": "handrail.control",
    "handrail-original-exchange": "handrail.control",
    "handrail-original-routing-key": "control",
    "handrail-original-user-id": "root",
    "handrail-original-app-id": "root",
}


def test_a_sender_cannot_say_in_whose_name_or_where_to_its_message_is_replayed() -> None:
    """Whoever replays may speak in anybody's name: what a sender puts into our headers must count for nothing."""
    nameless = delivery(bodies.Goal.wire_type, headers=FORGED, user_id="", app_id="")
    mark = [{"queue": "handrail.goals", "exchange": "handrail.control", "routing-keys": ["control"]}]
    for one, user_id in (
        (buried(nameless), ""),
        (buried(replace(nameless, user_id="desk")), "desk"),
        (moved(death=mark, headers=FORGED), "desk"),
        (replace(nameless, queue="handrail.unrouted", exchange="handrail.goals"), ""),
        (replace(nameless, queue="handrail.unrouted", headers={**FORGED, "x-death": mark}), ""),
    ):
        replayed = outgoing_replay(one)
        assert (replayed.exchange, replayed.user_id) == ("handrail.goals", user_id)
        assert set(replayed.headers) <= {"handrail-replays"}


@pytest.mark.parametrize("text", ["", "\\xff" * 255, "ü" * 255, "\ud800" * 100])
def test_whatever_stands_in_its_properties_a_dead_letter_can_be_sent(text: str) -> None:
    """One that could not be published would stay with its consumer for good, and all others behind it."""
    one = delivery(bodies.Goal.wire_type, message_id=text, type=text, correlation_id=text)
    sent = outgoing_fault(one, fault="schema", reason="r", consumer="c", at=AT)
    assert sent.message_id
    assert max(len(part.encode()) for part in (sent.message_id, sent.type, sent.correlation_id)) <= 255
    other = outgoing_fault(
        replace(one, message_id=text + "x", body=b"x"), fault="schema", reason="r", consumer="c", at=AT
    )
    assert other.message_id != sent.message_id


def test_a_dead_letter_that_is_moved_on_keeps_where_it_came_from_first() -> None:
    death = {"queue": "handrail.activity.papers", "reason": "delivery_limit"}
    again = buried(replace(moved("handrail.activity.papers", [death]), queue="handrail.commands"))
    once_more = buried(replace(again, queue="handrail.commands"))
    for one in (again, once_more):
        letter = read_dead_letter(one)
        assert (letter.fault, letter.queue, letter.user_id) == ("schema", "handrail.activity.papers", "desk")
        assert (letter.exchange, letter.routing_key) == ("handrail.commands", "papers")


@pytest.mark.parametrize("headers", [{}, {"handrail-fault-type": 7}])
def test_what_does_not_say_where_it_came_from_is_not_replayed(headers: dict[str, object]) -> None:
    with pytest.raises(InputInvalid, match="does not say which exchange"):
        outgoing_replay(delivery(bodies.Goal.wire_type, exchange=DEAD_EXCHANGE, headers=headers))


def test_headers_that_would_not_fit_are_left_out() -> None:
    headers: dict[str, object] = {f"h{number}": number for number in range(100)}
    headers |= {"a": "x" * (HEADER_CHARACTERS + 1), "b": [1], "c": True, "x-death": [], "k" * 2_000: 1}
    one = delivery(bodies.Goal.wire_type, headers=dict(reversed(headers.items())))
    sent = outgoing_fault(one, fault="f", reason="\ud800" + "x" * 5_000, consumer="c", at=AT)
    kept = {name for name in sent.headers if not name.startswith("handrail-")}
    assert len(kept) == MOST_HEADERS
    assert not kept & {"a", "b", "c", "x-death"}
    assert len(str(sent.headers["handrail-fault-message"])) == 1_000
    assert str(sent.headers["handrail-fault-message"]).encode()
