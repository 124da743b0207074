"""XES: a trace for each workflow, an event for each stored one, with the lifecycle that miners know."""

import xml.etree.ElementTree as ET
from collections import Counter

from tests.integration.exports.forms import beside, written
from tests.integration.exports.stock import paying
from tests.integration.exports.stories import HOSTILE, hostile, stories

TRANSITIONS = {
    "schedule",
    "reassign",
    "start",
    "suspend",
    "resume",
    "autoskip",
    "manualskip",
    "ate_abort",
    "pi_abort",
    "complete",
}
"""Those of XES's standard lifecycle that Handrail's events can be."""


def attributes_of(element: ET.Element) -> dict[str, str]:
    return {one.attrib["key"]: one.attrib["value"] for one in element if "key" in one.attrib}


def traces_in(content: bytes) -> list[tuple[dict[str, str], list[dict[str, str]]]]:
    """The traces: the attributes of each, and those of its events."""
    log = ET.fromstring(content)  # noqa: S314 - our own file
    return [(attributes_of(one), [attributes_of(event) for event in one.iter("event")]) for one in log.iter("trace")]


def test_a_workflow_is_a_trace_of_activities_with_transitions() -> None:
    ((trace, events),) = traces_in(written("xes", beside([list(paying("wf_003", 3))])))
    assert trace == {"concept:name": "wf_003", "definition": "paying", "definition_version": "1"}
    assert [(one["concept:name"], one["lifecycle:transition"]) for one in events] == [
        ("workflow", "start"),
        ("plan", "complete"),
        ("check", "schedule"),
        ("check", "complete"),
        ("workflow", "complete"),
    ]
    assert events[3] | {"digest": ""} == {
        "concept:name": "check",
        "lifecycle:transition": "complete",
        "time:timestamp": "2030-01-01T00:00:03Z",
        "org:resource": "w",
        "event": "StepSucceeded",
        "version": "4",
        "shown": "whole",
        "step": "check",
        "attempt": "1",
        "cause": "wf/check/run/1",
        "decision": "4",
        "digest": "",
    }


def test_every_event_is_there_with_a_transition_of_the_standard() -> None:
    made = stories()
    traces = traces_in(written("xes", beside(made)))
    assert [trace["concept:name"] for trace, _ in traces] == [events[0].originator_id for events in made]
    told = Counter(one["event"] for _, events in traces for one in events)
    assert told == Counter(one.name for events in made for one in events)
    assert {one["lifecycle:transition"] for _, events in traces for one in events} == TRANSITIONS
    for (_, events), recorded in zip(traces, made, strict=True):
        assert [one["digest"] for one in events] == [one.digest for one in recorded]
        skipped = [one for one in events if one["event"] == "StepSkipped"]
        assert all((one["lifecycle:transition"] == "manualskip") == ("skipped by" in one["reason"]) for one in skipped)


def test_what_belongs_to_a_step_has_its_name() -> None:
    names = {one["concept:name"] for _, events in traces_in(written("xes", beside(stories()))) for one in events}
    assert {"put-again", "undo first", "probe pay", "approve right", "wait nap", "child child", "artifact"} <= names
    assert "InterventionRequested" in names, "what belongs to no activity is one by itself"


def test_texts_stay_what_they_are_but_for_what_xml_cannot_hold() -> None:
    content = written("xes", beside([list(hostile("wf_001"))]))
    assert content.isascii()
    ((_, events),) = traces_in(content)
    told = {one["reason"] for one in events if "reason" in one}
    without = str.maketrans("", "", "\x00\x1b\ufffe\uffff")
    assert told == {text.translate(without) for text in HOSTILE} | {"signal"}


def test_of_a_withheld_payload_no_step_is_told() -> None:
    ((_, events),) = traces_in(written("xes", beside([list(paying("wf_003", 3))]), rules=("step",)))
    withheld = [one for one in events if one["shown"] == "withheld"]
    assert [one["concept:name"] for one in withheld] == ["StepScheduled", "StepSucceeded"]
    assert all("check" not in one["concept:name"] and "step" not in one for one in withheld)
