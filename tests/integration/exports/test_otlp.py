"""OTLP: a trace for each workflow, made from its history, with the ids that live traces derive."""

from typing import Any

from deploy.traces import past
from deploy.traces.asked import salt_of
from deploy.traces.past import salt_to_read
from domain.events import TERMINAL_EVENTS
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.tracing import span_of
from tests.integration.exports.forms import (
    SALT,
    as_protobuf,
    attributes_of,
    beside,
    derived,
    lines_in,
    spans_in,
    written,
)
from tests.integration.exports.stock import paying
from tests.integration.exports.stories import child_of, stories
from tests.unit.projections.histories import history

Span = dict[str, Any]


def is_open(span: Span) -> bool:
    return "handrail.open" in attributes_of(span)


def spans_of(made: list[list[RecordedEvent]], **given: Any) -> list[Span]:
    return [span for line in lines_in(written("otlp", beside(made), **given)) for span in spans_in(line)]


def test_a_workflow_its_step_and_its_attempt() -> None:
    attempt, step, root = spans_of([list(paying("wf_003", 3))])
    trace, begun = derived("wf_003")
    assert {span["traceId"] for span in (attempt, step, root)} == {trace}
    assert (root["spanId"], "parentSpanId" in root) == (begun, False)
    assert attempt["spanId"] == f"{span_of(SALT, 'attempt', 'wf_003/check/run/1'):016x}"
    assert (attempt["parentSpanId"], step["parentSpanId"]) == (step["spanId"], begun)
    assert [span["name"] for span in (attempt, step, root)] == [
        "execute_tool check",
        "step check",
        "invoke_workflow paying",
    ]
    seconds = 1_893_456_000
    assert (attempt["startTimeUnixNano"], attempt["endTimeUnixNano"]) == (f"{seconds}{0:09}", f"{seconds + 3}{0:09}")
    assert attributes_of(root) == {
        "handrail.workflow.id": "wf_003",
        "gen_ai.conversation.id": "wf_003",
        "handrail.definition": "paying",
        "handrail.definition.version": "1",
        "handrail.workflow.version": "5",
        "handrail.events": "5",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "paying",
        "handrail.workflow.status": "completed",
    }
    assert attributes_of(attempt)["handrail.outcome"] == "ok"


def test_collectors_understand_it() -> None:
    lines = lines_in(written("otlp", beside(stories())))
    requests = [as_protobuf(line) for line in lines]
    assert len(requests) == len(stories())
    for line, request in zip(lines, requests, strict=True):
        spans = request.resource_spans[0].scope_spans[0].spans
        assert [span.trace_id.hex() for span in spans] == [span["traceId"] for span in spans_in(line)]
        assert [span.name for span in spans] == [span["name"] for span in spans_in(line)]


def test_attempts_failures_and_waits_for_people_are_told_and_what_is_open_is_said_to_be() -> None:
    made = stories()
    spans = spans_of(made)
    waits = {attributes_of(span).get("handrail.wait") for span in spans} - {None}
    assert waits >= {"approval", "intervention", "outcome_unknown", "child", "resume", "signal", "time", "definition"}
    outcomes = {attributes_of(span).get("handrail.outcome") for span in spans} - {None}
    assert outcomes >= {"ok", "failed", "lapsed", "timed_out", "dead_lettered", "needs_approval", "revoked"}
    assert outcomes >= {"granted", "rejected", "expired", "applied", "settled", "satisfied", "skipped", "ended"}
    for trace in {span["traceId"] for span in spans if "parentSpanId" not in span and not is_open(span)}:
        begun_after_its_end = {"wait intervention", "wait outcome_unknown"}
        assert {one["name"] for one in spans if one["traceId"] == trace and is_open(one)} <= begun_after_its_end
    failed = [span for span in spans if span["status"] == {"code": 2}]
    assert all("error.type" in attributes_of(span) for span in failed)
    assert {"bug", "permanent", "transient", "rejected"} <= {attributes_of(span)["error.type"] for span in failed}
    roots = [span for span in spans if "parentSpanId" not in span]
    assert [span["spanId"] for span in roots] == [derived(events[0].originator_id)[1] for events in made]
    over = [any(isinstance(one.event, TERMINAL_EVENTS) for one in events) for events in made]
    assert [attributes_of(span).get("handrail.open", False) for span in roots] == [not ended for ended in over]


def test_what_a_step_waited_for_is_over_with_the_step() -> None:
    over = []
    for seed in range(120):
        spans = spans_of([history(seed, 60)])
        steps = {span["spanId"]: span for span in spans if attributes_of(span).get("handrail.outcome") == "skipped"}
        over += [
            (steps[span["parentSpanId"]], span)
            for span in spans
            if span.get("parentSpanId") in steps and attributes_of(span).get("handrail.outcome") == "ended"
        ]
    assert {attributes_of(wait)["handrail.wait"] for _, wait in over} >= {"approval", "time"}
    assert all(wait["endTimeUnixNano"] == step["endTimeUnixNano"] for step, wait in over)


def test_every_parent_is_there_and_other_workflows_are_linked() -> None:
    spans = spans_of(stories())
    known = {(span["traceId"], span["spanId"]) for span in spans}
    assert len(known) == len(spans)
    assert all((span["traceId"], span["parentSpanId"]) in known for span in spans if "parentSpanId" in span)
    fork = next(span for span in spans if span["spanId"] == derived("wf_fork")[1])
    trace, begun = derived("wf_001")
    assert fork["links"] == [{"traceId": trace, "spanId": begun}]
    (child,) = spans_of([child_of("wf_001")])
    assert child["links"] == fork["links"]
    waits = [span for span in spans if span["name"] == "wait child" and span["traceId"] == derived("wf_002")[0]]
    trace, begun = derived("wf_002.child")
    assert [one["links"] for one in waits] == [[{"traceId": trace, "spanId": begun}]]


def test_no_person_no_reason_and_no_payload_is_told() -> None:
    content = written("otlp", beside(stories()))
    for word in (b"rita", b"because", b"it broke", b"NL0003", b"a goal", b"olga"):
        assert word not in content
    assert b"wf_003" in content


def test_what_is_withheld_names_no_step() -> None:
    (root,) = spans_of([list(paying("wf_003", 3))], rules=("step",))
    assert (root["name"], attributes_of(root)["handrail.events"]) == ("invoke_workflow paying", "5")


def test_a_long_workflow_has_many_lines(monkeypatch: Any) -> None:
    whole = spans_of(stories())
    monkeypatch.setattr(past, "SPANS_A_LINE", 3)
    lines = lines_in(written("otlp", beside(stories())))
    assert max(len(spans_in(line)) for line in lines) == 3
    assert [span for line in lines for span in spans_in(line)] == whole


def test_the_salt_is_the_stores_and_reading_it_makes_none(stocked: WorkflowStore) -> None:
    before = salt_to_read(stocked)
    assert before == salt_to_read(stocked)
    assert stocked.query("SELECT value FROM store_facts WHERE name = 'trace_salt'") == []
    salt = salt_of(stocked)
    assert salt_to_read(stocked) == salt != before
    assert derived("wf_003", salt)[0].encode() in written("otlp", stocked)
