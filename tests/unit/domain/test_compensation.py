"""Undoing: what is not proven absent, in reverse dependency order, with retries of its own; a person where it fails."""

from __future__ import annotations

from typing import Any

import pytest

from domain import events as e
from domain.definitions import Step
from domain.retry import LAPSES
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import NO_RETRY, act, define, pay, reserve, ship
from tests.unit.domain.scenario import NOT_APPLIED, PERMANENT, TRANSIENT, Scenario, given


def undoing(**options: Any) -> Scenario:
    """One effect, and a failure behind it."""
    return given(define(reserve(), act("tell"), **options)).ok("reserve", {"seat": 7}).fails("tell")


def test_effects_are_undone_in_reverse_dependency_order_one_at_a_time() -> None:
    steps = [Step("root", reserve("root"), after=()), Step("left", reserve("left"), after=("root",))]
    steps += [Step("right", reserve("right"), after=("root",)), Step("last", act("last"), after=("left", "right"))]
    scenario = given(define(*steps)).ok("root").ok("right").ok("left").fails("last")
    assert scenario.event(e.CompensationStarted).steps == ("left", "right", "root")
    for step in ("left", "right", "root"):
        scenario.status_is(Status.COMPENSATING).step_is(step, StepStatus.COMPENSATING)
        scenario.ok(step).step_is(step, StepStatus.COMPENSATED)
    scenario.then(e.StepCompensated, e.WorkflowCompensated)
    assert scenario.event(e.WorkflowCompensated).compensated == ("root", "right", "left")


def test_a_compensation_is_given_the_input_the_output_and_the_key_of_what_it_undoes() -> None:
    scenario = undoing()
    scheduled = scenario.event(e.StepScheduled)
    assert (scheduled.kind, scheduled.activity) == ("compensate", "undo_reserve")
    assert scheduled.input == {"input": {}, "output": {"seat": 7}, "idempotency_key": "wf_001/reserve/run"}


def test_a_step_that_ended_without_proof_of_absence_is_undone_like_one_that_is_ok() -> None:
    for fail in (PERMANENT, TRANSIENT):
        scenario = given(define(reserve(retry=NO_RETRY))).fails("reserve", fail).status_is(Status.COMPENSATING)
        assert scenario.event(e.StepScheduled).input["output"] is None


def test_a_step_that_is_proven_absent_is_not_undone() -> None:
    scenario = given(define(reserve(), reserve("book", retry=NO_RETRY))).ok("reserve").fails("book", NOT_APPLIED)
    assert scenario.event(e.CompensationStarted).steps == ("reserve",)


def test_a_pure_step_is_not_undone_and_neither_is_one_that_never_began() -> None:
    scenario = given(define(act("look"), act("tell"), reserve())).ok("look").fails("tell")
    scenario.then(e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_an_outcome_settled_as_applied_is_undone_and_one_settled_as_not_applied_is_not() -> None:
    applied = given(define(pay(), act("tell"))).lapses("pay").settled("pay", applied=True).fails("tell")
    assert applied.event(e.CompensationStarted).steps == ("pay",)
    steps = [Step("pay", pay(), after=()), Step("tell", act("tell"), after=())]
    absent = given(define(*steps)).lapses("pay").settled("pay", applied=False).fails("tell")
    absent.status_is(Status.FAILED)


def test_an_undoing_that_fails_is_tried_again_within_its_own_policy() -> None:
    scenario = undoing().fails("reserve", TRANSIENT).then(e.AttemptFailed, e.RetryScheduled)
    assert scenario.event(e.RetryScheduled).kind == "compensate"
    scenario.status_is(Status.COMPENSATING).later(60).wakes().then(e.StepScheduled)
    scenario.ok("reserve").then(e.StepCompensated, e.WorkflowCompensated)


def test_an_undoing_that_is_lost_is_tried_again_but_not_for_ever() -> None:
    scenario = undoing()
    for _ in range(LAPSES):
        scenario.lapses("reserve").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)
    scenario.lapses("reserve").then(e.AttemptLapsed, e.CompensationFailed, e.InterventionRequested)


def test_an_undoing_that_fails_for_good_stops_for_a_person() -> None:
    scenario = undoing().fails("reserve").then(e.AttemptFailed, e.CompensationFailed, e.InterventionRequested)
    scenario.waits_for("reserve:intervention").status_is(Status.COMPENSATING)
    scenario.later(days=9).wakes().then()


def test_a_person_may_have_it_undone_again() -> None:
    scenario = undoing().fails("reserve").retried("reserve").then(e.InterventionApplied, e.StepScheduled)
    scenario.ok("reserve").then(e.StepCompensated, e.WorkflowCompensated)


def test_a_person_may_accept_the_effect_as_it_is() -> None:
    scenario = undoing().fails("reserve").skipped("reserve")
    scenario.then(e.InterventionApplied, e.StepCompensated, e.WorkflowFailed)
    assert scenario.event(e.StepCompensated).accepted_by == "oscar"
    assert scenario.state.settled["reserve"].status is StepStatus.OK, "nobody undid it"


def test_a_person_accepts_one_effect_and_the_others_are_still_undone() -> None:
    scenario = given(define(reserve("one"), reserve("two"), act("tell"))).ok("one").ok("two").fails("tell")
    scenario.fails("two").skipped("two")
    scenario.then(e.InterventionApplied, e.StepCompensated, e.CompensationScheduled, e.StepScheduled)
    assert scenario.ok("one").event(e.WorkflowCompensated).compensated == ("one",)


def test_an_undoing_that_happens_once_and_ends_without_proof_stops_for_a_person() -> None:
    undo = act("undo_reserve", "once", pivot=True)
    scenario = undoing(activities=[undo]).fails("reserve", TRANSIENT)
    scenario.then(e.AttemptFailed, e.CompensationFailed, e.InterventionRequested)
    undoing(activities=[undo]).lapses("reserve").then(e.AttemptLapsed, e.CompensationFailed, e.InterventionRequested)
    undoing(activities=[undo]).fails("reserve", NOT_APPLIED).then(e.AttemptFailed, e.RetryScheduled)


def test_a_dead_lettered_undoing_is_tried_again_then_stops_for_a_person() -> None:
    scenario = undoing().left_open().dead_letters("reserve").then(e.CommandDeadLettered, e.RetryScheduled)
    scenario.later(60).wakes().left_open().dead_letters("reserve")
    scenario.then(e.CommandDeadLettered, e.CompensationFailed, e.InterventionRequested)


def test_a_compensation_that_the_definition_does_not_know_stops_for_a_person() -> None:
    scenario = undoing().fails("reserve", TRANSIENT)
    scenario.replays = False  # two definitions of one version cannot be replayed
    scenario.loaded(define(act("reserve"), act("tell"))).later(60).wakes()
    scenario.then(e.CompensationFailed, e.InterventionRequested)


def test_each_generation_of_a_step_is_undone_on_its_own() -> None:
    scenario = given(define(reserve(), act("tell"), on_failure="intervene"), input={"n": 1}).fails("reserve")
    scenario.retried("reserve", input={"n": 2}).ok("reserve").cancelled().ok("tell")
    assert scenario.event(e.CompensationStarted).steps == ("reserve", "reserve")
    assert scenario.event(e.StepScheduled).input["input"] == {"n": 2}
    assert scenario.ok("reserve").event(e.StepScheduled).input["input"] == {"n": 1}
    assert scenario.event(e.StepScheduled).key == "wf_001/reserve/compensate"
    scenario.ok("reserve").status_is(Status.CANCELLED)


def test_pivots_are_named_when_undoing_begins_and_are_left() -> None:
    scenario = given(define(reserve(), ship(), act("tell"))).ok("reserve").ok("ship").cancelled().ok("tell")
    started = scenario.event(e.CompensationStarted)
    assert (started.steps, started.pivots) == (("reserve",), ("ship",))
    scenario.ok("reserve").then(e.StepCompensated, e.WorkflowCancelled)


def test_a_workflow_with_nothing_to_undo_is_failed_and_one_that_undid_something_is_compensated() -> None:
    given(define(act("look"))).fails("look").status_is(Status.FAILED)
    undoing().ok("reserve").status_is(Status.COMPENSATED)


@pytest.mark.parametrize("ended", ["failed", "compensated", "cancelled"])
def test_the_end_says_why(ended: str) -> None:
    scenario = undoing() if ended != "failed" else given(define(act("tell"))).fails("tell")
    if ended == "compensated":
        scenario.ok("reserve")
    if ended == "cancelled":
        scenario = given(define(act("tell"))).cancelled().ok("tell")
        assert scenario.event(e.WorkflowCancelled).reason == "cancelled by oscar: enough"
        return
    end = scenario.last.events[-1].event
    assert isinstance(end, e.WorkflowFailed | e.WorkflowCompensated)
    assert end.reason == "step tell failed: no"
    assert end.failure is not None
