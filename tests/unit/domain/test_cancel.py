"""Cancelled: with or without undoing what was done; and the deadline of the whole workflow."""

from __future__ import annotations

from datetime import timedelta

from domain import events as e
from domain.state import Status
from tests.unit.domain.recipes import act, define, planner, reserve
from tests.unit.domain.scenario import BEGINNING, TRANSIENT, given


def test_cancelling_undoes_what_was_done() -> None:
    scenario = given(define(reserve(), act("look"))).ok("reserve").left_open().cancelled()
    scenario.then(e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)
    began = scenario.event(e.StoppingBegan)
    assert (began.why, began.by, began.revoked) == ("cancelled", "oscar", ("wf_001/look/run/1",))
    scenario.ok("reserve").then(e.StepCompensated, e.WorkflowCancelled)
    assert scenario.event(e.WorkflowCancelled).compensated == ("reserve",)


def test_cancelling_without_compensation_leaves_what_was_done() -> None:
    scenario = given(define(reserve(), act("look"))).ok("reserve").left_open().cancelled(compensate=False)
    scenario.then(e.StoppingBegan, e.WorkflowCancelled)
    assert scenario.event(e.WorkflowCancelled).compensated == ()


def test_cancelling_twice_is_ignored() -> None:
    given(define(act("look"))).cancelled().cancelled().then_ignored("already so")


def test_what_is_over_is_not_cancelled() -> None:
    given(define(act("look"))).ok("look").cancelled().then(e.DecisionRefused).then_refused("the workflow is completed")


def test_a_workflow_that_undoes_itself_already_is_not_cancelled() -> None:
    given(define(reserve(), act("look"))).ok("reserve").fails("look").cancelled().then_ignored("already so")


def test_while_planning_in_backoff_and_while_finalising_it_can_be_cancelled_too() -> None:
    given(define(planner=planner())).left_open().cancelled().status_is(Status.CANCELLED)
    given(define(act("look"))).fails("look", TRANSIENT).cancelled().status_is(Status.CANCELLED)
    finalising = given(define(act("look"), artifact=act("write"))).ok("look").status_is(Status.FINALIZING)
    finalising.cancelled().status_is(Status.STOPPING).ok("_artifact", artifacts=()).status_is(Status.CANCELLED)


def test_a_plan_that_comes_after_the_cancellation_begins_nothing() -> None:
    scenario = given(define(planner=planner(), activities=[act("look")])).cancelled()
    scenario.ok("_plan", {"steps": [{"id": "look", "activity": "look"}]})
    scenario.then(e.PlanProposed, e.WorkflowCancelled)


def test_the_deadline_comes_from_the_definition_or_from_the_goal() -> None:
    definition = define(act("look"), deadline=timedelta(hours=1))
    assert given(definition).state.deadline_at == BEGINNING + timedelta(hours=1)
    sooner = BEGINNING + timedelta(minutes=1)
    assert given(definition, deadline_at=sooner).state.deadline_at == sooner


def test_a_workflow_past_its_deadline_stops_and_undoes_itself() -> None:
    scenario = given(define(reserve(), act("look"), deadline=timedelta(hours=1))).ok("reserve").left_open()
    scenario.later(hours=1).wakes()
    scenario.then(e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)
    assert scenario.ok("reserve").event(e.WorkflowCompensated).reason == "the deadline has passed"


def test_a_deadline_that_has_passed_before_the_beginning_stops_at_once() -> None:
    given(define(act("look")), deadline_at=BEGINNING).then(e.WorkflowStarted, e.StoppingBegan, e.WorkflowFailed)


def test_a_deadline_does_not_stop_what_stops_already() -> None:
    scenario = given(define(reserve(), act("look"), deadline=timedelta(hours=1))).ok("reserve").fails("look")
    scenario.later(hours=2).wakes().then().status_is(Status.COMPENSATING)
