"""The finalizer closes a workflow whose steps have settled, with its artifact where it has one."""

from __future__ import annotations

from typing import Any

from domain import events as e
from domain.definitions import Step
from domain.state import Status
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given

REPORT = e.Artifact(name="report.json", digest="ab" * 32, size=7)


def finalising(**options: Any) -> Scenario:
    return given(define(reserve(), artifact=act("write"), **options)).ok("reserve", {"seat": 1})


def test_the_artifact_is_written_before_the_end_from_all_that_is_known() -> None:
    pay = Step("pay", act("pay"), approval="default")
    scenario = given(define(act("look"), pay, artifact=act("write"), approvals=[policy()]), input={"n": 1}).ok(
        "look", 1
    )
    scenario.approves("pay", controls=("log",)).ok("pay", 2).then(e.StepSucceeded, e.StepScheduled)
    scenario.status_is(Status.FINALIZING)
    scheduled = scenario.event(e.StepScheduled)
    assert (scheduled.kind, scheduled.message_id) == ("artifact", "wf_001/_artifact/artifact/1")
    grant = {"decision": "approved", "decided_by": ["ann"], "controls": ["log"], "reason": ""}
    assert scheduled.input == {
        "workflow_id": "wf_001",
        "goal": "goal",
        "input": {"n": 1},
        "outputs": {"look": 1, "pay": 2},
        "approvals": {"pay": grant},
        "controls": ["log"],
    }


def test_name_digest_and_size_are_recorded_then_the_workflow_is_completed() -> None:
    scenario = finalising().ok("_artifact", artifacts=(REPORT,)).then(e.ArtifactRecorded, e.WorkflowCompleted)
    recorded = scenario.event(e.ArtifactRecorded)
    assert (recorded.name, recorded.digest, recorded.size) == ("report.json", "ab" * 32, 7)
    assert scenario.state.artifacts == {"report.json": REPORT}


def test_an_activity_that_wrote_nothing_has_failed() -> None:
    scenario = finalising().ok("_artifact")
    assert scenario.event(e.AttemptFailed).failure.kind == "invalid"
    scenario.status_is(Status.COMPENSATING)


def test_an_artifact_that_fails_is_tried_again_then_everything_is_undone() -> None:
    scenario = finalising().fails("_artifact", TRANSIENT).then(e.AttemptFailed, e.RetryScheduled).later(60).wakes()
    scenario.then(e.StepScheduled).fails("_artifact", TRANSIENT).status_is(Status.COMPENSATING)


def test_a_lost_artifact_is_written_again() -> None:
    finalising().lapses("_artifact").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)


def test_artifacts_that_steps_wrote_are_known_too() -> None:
    scenario = given(define(act("look"))).ok("look", artifacts=(REPORT,))
    assert scenario.state.artifacts == {"report.json": REPORT}


def test_without_an_artifact_the_workflow_ends_with_its_last_step() -> None:
    given(define(act("look"))).ok("look", 1).then(e.StepSucceeded, e.WorkflowCompleted)


def test_no_end_is_decided_while_anything_is_waited_for() -> None:
    steps = [Step("look", act("look"), after=()), Step("tell", act("tell"), after=())]
    scenario = given(define(*steps, on_failure="intervene")).fails("look").ok("tell").status_is(Status.BLOCKED)
    scenario.skipped("look").status_is(Status.COMPLETED)
