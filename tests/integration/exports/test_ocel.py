"""OCEL 2.0: the objects of workflows, each once, with what is known of them, and how all of it hangs together."""

import json
from collections import Counter
from typing import Any

from projections.exporting import spool
from tests.integration.exports.forms import beside, written
from tests.integration.exports.stock import paying
from tests.integration.exports.stories import child_of, stories
from tests.unit.projections.histories import forked, history

Document = dict[str, Any]


def read(content: bytes) -> Document:
    document: Document = json.loads(content)
    return document


def objects_of(document: Document, kind: str) -> dict[str, dict[str, Any]]:
    """Of each object of a type its attributes, by its id."""
    return {
        one["id"]: {attribute["name"]: attribute["value"] for attribute in one["attributes"]}
        for one in document["objects"]
        if one["type"] == kind
    }


def related(thing: Document) -> set[tuple[str, str]]:
    return {(one["qualifier"], one["objectId"]) for one in thing["relationships"]}


def test_a_workflow_with_its_step_its_person_and_its_worker() -> None:
    document = read(written("ocel", beside([list(paying("wf_003", 3))])))
    assert objects_of(document, "workflow") == {
        "workflow:wf_003": {
            "definition": "paying",
            "definition_version": "1",
            "began_at": "2030-01-01T00:00:00Z",
            "ended_as": "completed",
            "events": 5,
        }
    }
    assert objects_of(document, "step") == {
        "step:wf_003/check": {"activity": "check", "attempts": 1, "ended_as": "succeeded"}
    }
    assert set(objects_of(document, "person")) == {"person:rita"}
    assert set(objects_of(document, "worker")) == {"worker:w"}
    begun, planned, scheduled, succeeded, completed = document["events"]
    assert (begun["id"], begun["type"], begun["time"]) == ("wf_003/1", "WorkflowStarted", "2030-01-01T00:00:00Z")
    assert related(begun) == {("workflow", "workflow:wf_003"), ("requested by", "person:rita")}
    assert related(planned) == {("workflow", "workflow:wf_003"), ("planned", "step:wf_003/check")}
    assert related(scheduled) == {("workflow", "workflow:wf_003"), ("step", "step:wf_003/check")}
    assert related(succeeded) == related(scheduled) | {("worker", "worker:w")}
    assert related(completed) == {("workflow", "workflow:wf_003")}
    (step,) = [one for one in document["objects"] if one["type"] == "step"]
    assert related(step) == {("step of", "workflow:wf_003")}
    assert {"name": "ended_as", "time": "2030-01-01T00:00:03Z", "value": "succeeded"} in step["attributes"]


def test_every_workflow_and_event_is_there_once_and_persons_are_shared() -> None:
    made = stories()
    document = read(written("ocel", beside(made)))
    assert Counter(one["type"] for one in document["events"]) == Counter(one.name for events in made for one in events)
    workflows = objects_of(document, "workflow")
    assert sum("events" in attributes for attributes in workflows.values()) == len(made)
    assert "person:rita" in objects_of(document, "person")
    assert {attributes.get("ended_as") for attributes in workflows.values()} == {
        "completed",
        "failed",
        "cancelled",
        "compensated",
        None,
    }
    approvals = objects_of(document, "approval")
    assert {attributes["ended_as"] for attributes in approvals.values() if "ended_as" in attributes} == {
        "granted",
        "rejected",
        "expired",
    }
    qualifiers = {word for one in document["objects"] for word, _ in related(one)}
    assert qualifiers == {"step of", "approval of", "awaits", "forked from"}


def test_workflows_that_are_not_in_the_export_are_named_once() -> None:
    source = history(3, 30)
    made = beside([source, list(forked(source, 3, 20))])
    whole, alone = read(written("ocel", made)), read(written("ocel", made[1:]))
    for document in (whole, alone):
        fork = next(one for one in document["objects"] if one["id"] == "workflow:wf_fork")
        assert related(fork) == {("forked from", "workflow:wf_001")}
        begun = next(one for one in document["events"] if one["id"] == "wf_fork/1")
        assert ("source", "workflow:wf_001") in related(begun)
    assert "definition" in objects_of(whole, "workflow")["workflow:wf_001"]
    assert objects_of(alone, "workflow")["workflow:wf_001"] == {}


def test_a_child_is_a_workflow_that_its_parents_step_awaits() -> None:
    some = (history(seed, 60) for seed in range(60))
    started = next(made for made in some if "ChildStarted" in {one.name for one in made})
    document = read(written("ocel", beside([started, child_of("wf_001")])))
    child = "workflow:wf_001.child"
    begun = next(one for one in document["events"] if one["id"] == "wf_001.child/1")
    assert ("parent", "workflow:wf_001") in related(begun)
    assert related(next(one for one in document["objects"] if one["id"] == child)) == {("child of", "workflow:wf_001")}
    told = [one for one in document["events"] if one["type"] in {"ChildStarted", "ChildEnded"}]
    assert told
    assert all(("child", child) in related(one) for one in told)
    step = next(one for one in document["objects"] if one["id"] == "step:wf_001/child")
    assert related(step) == {("step of", "workflow:wf_001"), ("awaits", child)}
    assert objects_of(document, "workflow")[child]["definition"] == "other"


def test_memory_holds_few_names_and_the_file_each_one_once(monkeypatch: object) -> None:
    made = beside(stories())
    before = spool.REMEMBERED
    whole = written("ocel", made)
    try:
        spool.REMEMBERED = 1  # type: ignore[misc]  # so that every name is forgotten at once
        assert written("ocel", made) == whole
    finally:
        spool.REMEMBERED = before  # type: ignore[misc]


def test_of_a_withheld_payload_only_the_header_is_told() -> None:
    document = read(written("ocel", beside([list(paying("wf_003", 3))]), rules=("step", "requested_by")))
    assert {attribute["value"] for one in document["events"] for attribute in one["attributes"]} >= {"withheld", "rita"}
    assert set(objects_of(document, "person")) == set()
    scheduled = document["events"][2]
    assert {attribute["name"] for attribute in scheduled["attributes"]} == {
        "event_version",
        "actor",
        "cause",
        "decision_version",
        "engine",
        "shown",
        "event_digest",
    }
    assert related(scheduled) == {("workflow", "workflow:wf_003")}
