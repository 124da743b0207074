"""The planner: asked again with the observations until it is done; takes no plan that breaks a rule."""

from __future__ import annotations

from typing import Any

import pytest

from domain import events as e
from domain.definitions import Definition
from domain.failures import FailureClass
from domain.nodes import planner as node
from domain.state import Status
from tests.unit.domain.recipes import NO_RETRY, act, define, planner, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, failure, given

LOOK = {"id": "look", "activity": "look"}


def dynamic(**options: Any) -> Definition:
    return define(
        planner=options.pop("planner", planner()), activities=[act("look"), act("tell"), reserve()], **options
    )


def planned(*steps: dict[str, Any], done: bool = False, **options: Any) -> Scenario:
    return given(dynamic(**options)).ok("_plan", {"steps": list(steps), "done": done, "reason": "so"})


def test_the_planner_is_asked_with_goal_and_input() -> None:
    scenario = given(dynamic(), input={"n": 1}).then(e.WorkflowStarted, e.PlanRequested, e.StepScheduled)
    scenario.status_is(Status.PLANNING)
    scheduled = scenario.event(e.StepScheduled)
    assert (scheduled.kind, scheduled.message_id) == ("plan", "wf_001/_plan/plan/1")
    assert scheduled.input == {"goal": "goal", "input": {"n": 1}, "round": 1, "observations": [], "truncated": False}


def test_a_valid_plan_is_taken_and_begun() -> None:
    scenario = planned(LOOK).then(e.PlanProposed, e.StepScheduled).status_is(Status.EXECUTING)
    proposed = scenario.event(e.PlanProposed)
    assert (proposed.source, proposed.final, proposed.reason) == ("planner", False, "so")


def test_it_is_asked_again_with_the_observations_when_its_steps_have_settled() -> None:
    scenario = planned(LOOK).ok("look", {"found": 3}).then(e.StepSucceeded, e.PlanRequested, e.StepScheduled)
    request = scenario.event(e.StepScheduled).input
    assert request["round"] == 2
    assert request["observations"] == [
        {"step": "look", "activity": "look", "status": "ok", "output": {"found": 3}, "failure": None}
    ]


def test_it_observes_what_was_skipped_too() -> None:
    scenario = planned(LOOK).left_open().skipped("look")
    observed = scenario.event(e.StepScheduled).input["observations"][0]
    assert (observed["status"], observed["failure"]) == ("skipped", "skipped by oscar: not needed")


def test_when_it_says_that_it_is_done_the_workflow_ends_with_its_steps() -> None:
    planned(LOOK, done=True).ok("look").then(e.StepSucceeded, e.WorkflowCompleted)
    again = planned(LOOK).ok("look").ok("_plan", {"steps": [], "done": True})
    again.then(e.PlanProposed, e.WorkflowCompleted)


def test_a_later_plan_may_build_on_earlier_steps() -> None:
    later = {"id": "tell", "activity": "tell", "after": ["look"], "input": {"what": {"$ref": "steps.look.found"}}}
    scenario = planned(LOOK).ok("look", {"found": 3}).ok("_plan", {"steps": [later], "done": True})
    assert scenario.event(e.StepScheduled).input == {"what": 3}


@pytest.mark.parametrize(
    ("proposal", "words"),
    [
        ({"steps": [{"id": "x", "activity": "unheard-of"}]}, "unknown activity 'unheard-of'"),
        ({"steps": [], "done": False}, "neither steps nor done"),
        ({"steps": [LOOK, LOOK]}, "two steps are called 'look'"),
        ({"steps": [{"id": "Big", "activity": "look"}]}, "steps.0.id"),
        ({"steps": [{"id": "x", "activity": "look", "surprise": 1}]}, "steps.0.surprise"),
        ("nonsense", "plan 1 of workflow wf_001"),
        (None, "plan 1 of workflow wf_001"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_rejected_on_the_record_and_asked_for_again(proposal: Any, words: str) -> None:
    scenario = given(dynamic()).ok("_plan", proposal).then(e.PlanRejected, e.RetryScheduled)
    assert words in scenario.event(e.PlanRejected).reason
    scenario.later(60).wakes().then(e.StepScheduled).status_is(Status.PLANNING)


def test_a_plan_is_asked_for_again_only_within_its_policy() -> None:
    scenario = given(dynamic(planner=planner(retry=NO_RETRY))).ok("_plan", "nonsense")
    scenario.then(e.PlanRejected, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_a_planner_that_fails_is_asked_again_within_its_policy() -> None:
    scenario = given(dynamic()).fails("_plan", TRANSIENT).then(e.AttemptFailed, e.RetryScheduled).later(60).wakes()
    scenario.then(e.StepScheduled).fails("_plan", TRANSIENT)
    scenario.then(e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_an_output_of_a_planner_that_does_not_validate_is_asked_for_again() -> None:
    given(dynamic()).fails("_plan", failure(FailureClass.INVALID)).then(e.AttemptFailed, e.RetryScheduled)


def test_what_was_done_is_undone_when_the_planner_gives_up() -> None:
    scenario = planned({"id": "seat", "activity": "reserve"}, planner=planner(retry=NO_RETRY)).ok("seat").fails("_plan")
    assert scenario.event(e.CompensationStarted).steps == ("seat",)


def test_a_lost_planner_is_asked_again_and_its_late_answer_is_only_recorded() -> None:
    scenario = given(dynamic()).lapses("_plan").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)
    scenario.ok("_plan", {"steps": [LOOK]}, attempt=1, kind="plan").then(e.LateOutcomeRecorded)


def test_a_plan_that_cannot_be_checked_without_the_definition_is_asked_for_again() -> None:
    scenario = given(dynamic())
    definition = scenario.definition
    assert definition is not None
    scenario.unloaded().ok("_plan", {"steps": [LOOK]}).then(e.AttemptFailed, e.WaitStarted)
    scenario.loaded(definition).wakes().then(e.WaitSatisfied, e.RetryScheduled)


def test_a_planner_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "PLAN_ROUNDS", 1)
    scenario = planned(LOOK).then(e.PlanRejected, e.RetryScheduled)
    assert "was asked 1 times and is not done" in scenario.event(e.PlanRejected).reason
    planned(LOOK, done=True).then(e.PlanProposed, e.StepScheduled)


def test_the_oldest_observations_are_left_out_where_they_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "OBSERVATIONS_BYTES", 200)
    scenario = planned(LOOK, {"id": "tell", "activity": "tell", "after": ["look"]}).ok("look", "x" * 90)
    request = scenario.ok("tell", "y" * 90).event(e.StepScheduled).input
    assert [one["step"] for one in request["observations"]] == ["tell"]
    assert request["truncated"]


def test_a_step_of_another_round_waits_for_the_planner_before_the_workflow_is_finalised() -> None:
    planned(LOOK, artifact=act("write")).ok("look").status_is(Status.PLANNING)
