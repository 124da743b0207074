"""Child workflows: awaited, cancelled and compensated with their parent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.definitions import Step
from domain.events import Undo
from domain.plan import ChildSpec, OnTimeout
from domain.policies import GatePolicy
from domain.state import Status
from domain.triggers import EndChild
from tests.unit.domain.recipes import act, define, policy, reserve, ship
from tests.unit.domain.scenario import Scenario, given

MINUTE = timedelta(minutes=1)
SEAT = Undo(
    step="seat", activity="reserve", compensation="undo_reserve", key="wf_001.enrol/seat/run", output={"seat": 1}
)
SENT = Undo(step="send", activity="ship", key="wf_001.enrol/send/run")


def parent(*after: Any, **options: Any) -> Scenario:
    """A workflow whose first step is a child."""
    child = ChildSpec(definition="enrolment", input={"who": {"$ref": "input.who"}})
    timing = {key: options.pop(key) for key in ("timeout", "on_timeout") if key in options}
    enrol = Step("enrol", child=child, **timing)
    helpers = [reserve(), act("undo_reserve", "idempotent", pivot=True)]
    return given(define(enrol, *(after or (act("tell"),)), activities=helpers, **options), input={"who": "me"})


def test_a_child_is_started_with_its_resolved_input_and_awaited() -> None:
    scenario = parent().then(e.WorkflowStarted, e.PlanProposed, e.ChildStarted).status_is(Status.BLOCKED)
    started = scenario.event(e.ChildStarted)
    assert (started.child_workflow, started.definition, started.goal) == ("wf_001.enrol", "enrolment", "goal")
    assert started.input == {"who": "me"}
    scenario.waits_for("enrol:child")


def test_a_child_that_completes_gives_its_output_to_the_step() -> None:
    scenario = parent().child_ends("enrol", output={"number": 5}).then(e.ChildEnded, e.StepSucceeded, e.StepScheduled)
    assert scenario.state.settled["enrol"].output == {"number": 5}


@pytest.mark.parametrize("status", ["failed", "cancelled", "compensated"])
def test_a_child_that_does_not_complete_fails_its_step(status: str) -> None:
    scenario = parent().child_ends("enrol", status, reason="no room")
    scenario.then(e.ChildEnded, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)
    assert scenario.event(e.StepFailed).failure.message == f"child workflow wf_001.enrol {status}: no room"


def test_the_end_of_a_child_that_comes_twice_counts_once() -> None:
    scenario = parent().child_ends("enrol")
    scenario.child_ends("enrol", child="wf_001.enrol", effects=(SEAT,)).then_ignored("the child's end is recorded")
    scenario.child_ends("enrol", child="wf_009.other").then_ignored("the child's end is recorded")


def test_the_effects_that_a_child_leaves_are_the_parent_s_to_undo() -> None:
    scenario = parent().child_ends("enrol", effects=(SEAT,)).fails("tell")
    assert scenario.event(e.CompensationStarted).steps == ("enrol:seat",)
    scheduled = scenario.event(e.StepScheduled)
    assert (scheduled.message_id, scheduled.activity) == ("wf_001/enrol:seat/compensate/1", "undo_reserve")
    assert scheduled.input == {"input": {}, "output": {"seat": 1}, "idempotency_key": "wf_001.enrol/seat/run"}
    scenario.ok("enrol:seat").status_is(Status.COMPENSATED)


def test_the_effects_of_a_child_that_failed_are_undone_too() -> None:
    scenario = parent().child_ends("enrol", "failed", effects=(SEAT,)).status_is(Status.COMPENSATING)
    scenario.ok("enrol:seat").status_is(Status.COMPENSATED)


def test_what_a_child_cannot_undo_is_a_pivot_of_its_parent() -> None:
    scenario = parent().child_ends("enrol", effects=(SEAT, SENT)).fails("tell")
    scenario.then(e.AttemptFailed, e.StepFailed, e.InterventionRequested)
    scenario.cancelled().then(e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)
    assert scenario.event(e.CompensationStarted).pivots == ("enrol:send",)


def test_a_parent_that_stops_asks_its_children_to_and_waits_for_them() -> None:
    scenario = parent().cancelled().then(e.StoppingBegan).status_is(Status.STOPPING)
    assert scenario.event(e.StoppingBegan).children == ("wf_001.enrol",)
    scenario.wakes().then()
    scenario.child_ends("enrol", "cancelled", effects=(SEAT,))
    scenario.then(e.ChildEnded, e.StepFailed, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)


@pytest.mark.parametrize(("then", "event"), [("ok", e.StepSucceeded), ("skip", e.StepSkipped)])
def test_a_step_goes_on_without_a_child_that_ran_out_of_time_and_the_workflow_does_not_end_without_it(
    then: OnTimeout, event: type[e.Event]
) -> None:
    scenario = parent(timeout=MINUTE, on_timeout=then).later(60).wakes().then(e.WaitTimedOut, event, e.StepScheduled)
    assert scenario.event(e.WaitTimedOut).child_workflow == "wf_001.enrol"
    scenario.ok("tell").then(e.StepSucceeded).waits_for("wf_001.enrol:child").status_is(Status.BLOCKED)
    scenario.child_ends("enrol", "cancelled", child="wf_001.enrol").then(e.ChildEnded, e.WorkflowCompleted)


def test_the_effects_of_a_child_that_ran_out_of_time_are_undone_with_the_parent_s() -> None:
    scenario = parent(timeout=MINUTE, on_timeout="fail").later(60).wakes()
    scenario.then(e.WaitTimedOut, e.StepFailed, e.StoppingBegan).status_is(Status.STOPPING)
    scenario.child_ends("enrol", "completed", child="wf_001.enrol", effects=(SEAT,))
    scenario.then(e.ChildEnded, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)


def test_another_try_of_a_child_is_another_child_and_its_effects_are_others() -> None:
    scenario = parent(on_failure="intervene").child_ends("enrol", "failed", effects=(SEAT,)).retried("enrol")
    scenario.then(e.InterventionApplied, e.ChildStarted)
    again = scenario.event(e.ChildStarted).child_workflow
    assert again != "wf_001.enrol"
    scenario.child_ends("enrol", effects=(SEAT,)).cancelled().ok("tell")
    assert scenario.event(e.CompensationStarted).steps == ("enrol~2:seat", "enrol:seat")


def test_the_end_of_a_child_is_known_by_the_child_whatever_step_it_names() -> None:
    scenario = parent()
    scenario.when(EndChild(step="nobody", child_workflow="wf_001.enrol", status="failed", effects=(SEAT,)))
    scenario.then(
        e.ChildEnded, e.StepFailed, e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled
    )


def test_a_child_passes_the_gate_and_has_its_approval_like_any_step() -> None:
    enrol = Step("enrol", child=ChildSpec(definition="enrolment", input={"n": 1}), approval="default")
    scenario = given(define(enrol, approvals=[policy()])).then(e.WorkflowStarted, e.PlanProposed, e.ApprovalRequested)
    action = scenario.event(e.ApprovalRequested).action
    assert (action["child"], action["input"]) == ("enrolment", {"n": 1})
    scenario.approves("enrol").then(e.ApprovalRecorded, e.ApprovalGranted, e.ChildStarted)
    never = GatePolicy(name="never", steps=("enrol",), verdict="deny", reason="no children")
    denied = given(define(Step("enrol", child=ChildSpec(definition="enrolment")), gates=[never]))
    assert denied.event(e.StepFailed).failure.message == "no children"
    denied.status_is(Status.FAILED)


def test_a_child_whose_input_is_no_object_fails_its_step() -> None:
    child = ChildSpec(definition="enrolment", input={"$ref": "goal"})
    scenario = given(define(Step("enrol", child=child)))
    assert scenario.event(e.StepFailed).failure.kind == "invalid"


def test_a_child_that_ends_while_the_definition_is_missing_is_recorded_and_judged_later() -> None:
    scenario = parent()
    definition = scenario.definition
    scenario.unloaded().child_ends("enrol", "failed").then(e.ChildEnded, e.WaitStarted)
    assert definition is not None
    scenario.loaded(definition).wakes().then(e.WaitSatisfied, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


# --- the child's side -----------------------------------------------------------------------------------------------


def child(*steps: Any, **options: Any) -> Scenario:
    return given(define(*steps, **options), parent_workflow="wf_000", parent_step="enrol")


def test_a_child_hands_its_open_effects_over_when_it_ends() -> None:
    scenario = child(reserve(), ship()).ok("reserve", {"seat": 1}).ok("ship")
    effects = scenario.event(e.WorkflowCompleted).effects
    assert [(one.step, one.compensation) for one in effects] == [("reserve", "undo_reserve"), ("ship", None)]
    assert (
        child(reserve(), act("look"))
        .ok("reserve")
        .cancelled(compensate=False)
        .ok("look")
        .event(e.WorkflowCancelled)
        .effects
    )


def test_a_child_does_not_hand_over_what_is_undone_or_accepted_as_it_is() -> None:
    scenario = child(reserve("one"), reserve("two"), act("look")).ok("one").ok("two").fails("look")
    scenario.fails("two").skipped("two").ok("one")
    assert scenario.event(e.WorkflowCompensated).effects == ()


def test_a_workflow_without_parent_hands_nothing_over() -> None:
    assert given(define(reserve())).ok("reserve").event(e.WorkflowCompleted).effects == ()
