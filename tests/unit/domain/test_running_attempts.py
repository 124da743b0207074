"""Nothing ends over a running attempt; what comes late is recorded, and never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from domain import events as e
from domain.definitions import Step
from domain.events import Undo
from domain.failures import FailureClass
from domain.state import Status, StepStatus
from domain.triggers import RecordOutcome
from tests.unit.domain.recipes import act, define, pay, reserve
from tests.unit.domain.scenario import NOT_APPLIED, PERMANENT, Scenario, failure, given

TIMED_OUT = failure(FailureClass.TIMEOUT, "took too long")


def side_by_side(**options: Any) -> Scenario:
    """Two steps under way at once, both with effects."""
    return given(define(Step("left", reserve("left"), after=()), Step("right", reserve("right"), after=()), **options))


def test_stopping_revokes_what_is_open_and_waits_for_what_is_claimed() -> None:
    scenario = side_by_side().left_open("right").fails("left")
    scenario.then(
        e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled
    )
    assert scenario.event(e.StoppingBegan).revoked == ("wf_001/right/run/1",)


def test_no_compensation_is_decided_while_an_attempt_is_claimed() -> None:
    scenario = side_by_side().fails("left")
    scenario.then(e.AttemptFailed, e.StepFailed, e.StoppingBegan).status_is(Status.STOPPING)
    scenario.wakes().then()
    scenario.ok("right").then(e.StepSucceeded, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)
    assert scenario.event(e.CompensationStarted).steps == ("right", "left")


def test_no_end_is_decided_while_an_attempt_is_claimed() -> None:
    looks = [Step("left", act("left"), after=()), Step("right", act("right"), after=())]
    scenario = given(define(*looks)).fails("left").status_is(Status.STOPPING)
    scenario.wakes().then().status_is(Status.STOPPING)
    scenario.lapses("right").then(e.AttemptLapsed, e.StepFailed, e.WorkflowFailed)


def test_a_cancelled_workflow_waits_for_its_running_attempt() -> None:
    scenario = given(define(act("look"))).cancelled().then(e.StoppingBegan).status_is(Status.STOPPING)
    scenario.ok("look").then(e.StepSucceeded, e.WorkflowCancelled)


def test_no_compensation_is_decided_while_an_outcome_is_unknown() -> None:
    steps = [Step("reserve", reserve(), after=()), Step("pay", pay(), after=())]
    scenario = given(define(*steps)).lapses("pay").then(e.AttemptLapsed, e.OutcomeUnknown)
    scenario.fails("reserve").then(e.AttemptFailed, e.StepFailed, e.StoppingBegan).status_is(Status.STOPPING)
    scenario.wakes().then()
    scenario.settled("pay", applied=True)
    scenario.then(
        e.InterventionApplied,
        e.OutcomeReconciled,
        e.StepSucceeded,
        e.CompensationStarted,
        e.CompensationScheduled,
        e.StepScheduled,
    )


def test_nothing_new_is_scheduled_once_stopping_has_begun() -> None:
    steps = [Step("left", act("left"), after=()), Step("right", act("right"), after=()), Step("last", act("last"))]
    scenario = given(define(*steps)).fails("left").ok("right")
    assert [one.step for one in scenario.events(e.StepScheduled)] == ["left", "right"]


def test_a_retry_that_was_to_come_does_not_come_once_stopping_has_begun() -> None:
    scenario = side_by_side().fails("left", failure(FailureClass.TRANSIENT)).fails("right")
    scenario.later(60).wakes()
    assert [one.kind for one in scenario.events(e.StepScheduled)] == ["run", "run", "compensate"]


# --- what comes late ------------------------------------------------------------------------------------------------


def test_a_late_success_settles_an_open_unknown() -> None:
    scenario = given(define(pay())).lapses("pay").waits_for("pay:outcome_unknown")
    scenario.ok("pay", {"paid": 1}, attempt=1)
    scenario.then(e.LateOutcomeRecorded, e.OutcomeReconciled, e.StepSucceeded, e.WorkflowCompleted)
    assert scenario.state.output == {"paid": 1}


def test_a_late_proof_of_absence_settles_an_open_unknown_too() -> None:
    scenario = given(define(pay())).lapses("pay").fails("pay", NOT_APPLIED, attempt=1)
    scenario.then(e.LateOutcomeRecorded, e.OutcomeReconciled, e.RetryScheduled)


def test_a_late_success_while_its_probe_is_under_way_outweighs_what_the_probe_finds() -> None:
    scenario = given(define(pay(probe="ask"))).lapses("pay").later(5).wakes().then(e.StepScheduled)
    scenario.ok("pay", {"paid": 1}, attempt=1).then(e.LateOutcomeRecorded)
    scenario.fails("pay", NOT_APPLIED).then(e.AttemptFailed, e.OutcomeReconciled, e.StepSucceeded, e.WorkflowCompleted)
    assert scenario.event(e.OutcomeReconciled).settled_by == "late outcome"


def test_a_late_success_stops_the_retry_of_what_was_settled_as_not_applied() -> None:
    scenario = given(define(pay())).lapses("pay").settled("pay", applied=False)
    scenario.later(60).wakes().then(e.StepScheduled).left_open()
    scenario.ok("pay", {"paid": 1}, attempt=1)
    scenario.then(e.LateOutcomeRecorded, e.OutcomeUnknown, e.OutcomeReconciled, e.StepSucceeded, e.WorkflowCompleted)
    assert scenario.event(e.OutcomeUnknown).revoked == ("wf_001/pay/run/2",)


def test_a_late_success_joins_the_list_of_what_is_undone() -> None:
    steps = [Step("pay", pay(), after=()), Step("left", act("left"), after=())]
    scenario = given(define(*steps)).lapses("pay").settled("pay", applied=False).fails("left")
    scenario.then(e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)
    other = given(define(*steps, Step("right", act("right"), after=()))).lapses("pay").settled("pay", applied=False)
    other.fails("left").status_is(Status.STOPPING).ok("pay", {"paid": 1}, attempt=1).then(e.LateOutcomeRecorded)
    other.ok("right")
    assert other.event(e.CompensationStarted).steps == ("pay",)
    assert other.event(e.StepScheduled).input["output"] == {"paid": 1}


def test_a_late_success_after_its_undoing_is_undone_again() -> None:
    scenario = side_by_side().ok("right").lapses("left").fails("left").ok("left")
    scenario.then(e.StepCompensated, e.CompensationScheduled, e.StepScheduled)
    scenario.ok("left", attempt=1).then(e.LateOutcomeRecorded)
    scenario.ok("right").then(e.StepCompensated, e.CompensationScheduled, e.StepScheduled)
    assert scenario.event(e.CompensationScheduled).step == "left"
    scenario.ok("left").then(e.StepCompensated, e.WorkflowCompensated)


def test_a_late_success_of_what_is_already_listed_changes_nothing() -> None:
    scenario = given(define(reserve(), act("tell"))).lapses("reserve").ok("reserve", attempt=1)
    scenario.then(e.LateOutcomeRecorded)
    assert scenario.event(e.LateOutcomeRecorded).undo is None
    assert list(scenario.state.effects) == ["reserve"]


def test_a_late_success_in_a_workflow_that_is_over_asks_for_a_person() -> None:
    scenario = given(define(reserve(), act("tell"))).lapses("reserve").fails("reserve").ok("reserve")
    scenario.status_is(Status.COMPENSATED).ok("reserve", attempt=1)
    scenario.then(e.LateOutcomeRecorded, e.InterventionRequested).status_is(Status.COMPENSATED)
    scenario.waits_for("reserve:intervention").skipped("reserve").then(e.InterventionApplied).waits_for()


def test_a_late_success_of_what_succeeded_anyway_asks_for_nobody() -> None:
    scenario = given(define(reserve())).lapses("reserve").ok("reserve").status_is(Status.COMPLETED)
    scenario.ok("reserve", attempt=1).then(e.LateOutcomeRecorded)


def test_a_late_failure_is_recorded_and_asks_for_nobody() -> None:
    scenario = given(define(reserve())).lapses("reserve").fails("reserve").ok("reserve").status_is(Status.COMPENSATED)
    scenario.fails("reserve", PERMANENT, attempt=1).then(e.LateOutcomeRecorded)


def test_what_comes_late_is_heard_once() -> None:
    scenario = given(define(reserve(), act("tell"))).lapses("reserve").ok("reserve", attempt=1)
    scenario.ok("reserve", attempt=1).then_ignored("its end is recorded")


def test_code_that_could_not_be_stopped_is_heard_when_it_ends_after_its_time_out() -> None:
    scenario = given(define(pay())).fails("pay", TIMED_OUT).waits_for("pay:outcome_unknown")
    scenario.fails("pay", TIMED_OUT, attempt=1).then_ignored("its end is recorded")
    scenario.ok("pay", {"paid": 1}, attempt=1)
    scenario.then(e.LateOutcomeRecorded, e.OutcomeReconciled, e.StepSucceeded, e.WorkflowCompleted)


def test_a_late_success_is_known_by_its_own_generation() -> None:
    scenario = given(define(reserve(), act("tell"), on_failure="intervene"), input={"n": 1}).lapses("reserve")
    scenario.fails("reserve").waits_for("reserve:intervention").retried("reserve", input={"n": 2})
    scenario.ok("reserve", attempt=1).then(e.LateOutcomeRecorded)
    assert scenario.state.effects["reserve"].undo.input == {"n": 1}
    assert "reserve~2" not in scenario.state.effects


def test_what_an_activity_that_is_pure_says_late_leaves_no_effect() -> None:
    scenario = given(define(act("look"), act("tell"))).lapses("look").ok("look", attempt=1).then(e.LateOutcomeRecorded)
    assert scenario.event(e.LateOutcomeRecorded).undo is None


@pytest.mark.parametrize("kind", ["compensate", "plan", "artifact", "probe"])
def test_only_the_attempts_of_a_step_leave_effects_when_they_report_late(kind: str) -> None:
    scenario = given(define(reserve())).lapses("reserve")
    late = RecordOutcome(step="reserve", kind=kind, attempt=9, status="ok")  # type: ignore[arg-type]
    scenario.when(late).then_ignored("its end is recorded")


def test_a_late_success_is_recorded_without_the_definition_too() -> None:
    scenario = given(define(reserve())).lapses("reserve").fails("reserve").ok("reserve").unloaded()
    scenario.ok("reserve", attempt=1).then(e.LateOutcomeRecorded, e.InterventionRequested)
    assert scenario.event(e.LateOutcomeRecorded).undo == Undo(
        step="reserve", activity="reserve", compensation="undo_reserve", key="wf_001/reserve/run"
    )


def test_a_lapse_of_the_present_attempt_ends_it_and_its_step_goes_on() -> None:
    scenario = given(define(act("look"))).lapses("look").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)
    scenario.step_is("look", StepStatus.SCHEDULED)
    assert scenario.event(e.RetryScheduled).delay_seconds == 0
