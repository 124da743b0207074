"""The budget bounds all attempts of a workflow's life; a person may extend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import events as e
from domain.definitions import Step
from domain.state import Status
from tests.unit.domain.recipes import act, define, pay, planner, reserve
from tests.unit.domain.scenario import TRANSIENT, given


def test_when_it_is_used_up_the_workflow_waits_for_a_person() -> None:
    scenario = given(define(act("look"), act("tell"), attempts_budget=1)).ok("look")
    scenario.then(e.StepSucceeded, e.WaitStarted).waits_for(":budget").status_is(Status.BLOCKED)
    assert scenario.event(e.WaitStarted).detail == "all 1 attempts of the budget are used"
    scenario.wakes().then()


def test_an_extension_lets_it_go_on() -> None:
    scenario = given(define(act("look"), act("tell"), act("end"), attempts_budget=1)).ok("look").extended(1)
    scenario.then(e.InterventionApplied, e.WaitSatisfied, e.StepScheduled).ok("tell").waits_for(":budget")
    scenario.extended(5).ok("end").status_is(Status.COMPLETED)


def test_retries_count_and_wait_for_the_extension() -> None:
    scenario = given(define(act("look"), attempts_budget=1)).fails("look", TRANSIENT).later(60).wakes()
    scenario.then(e.WaitStarted).status_is(Status.BLOCKED)
    scenario.extended().then(e.InterventionApplied, e.WaitSatisfied, e.StepScheduled)


def test_the_planner_counts_too() -> None:
    definition = define(planner=planner(), activities=[act("look")], attempts_budget=2)
    scenario = given(definition).ok("_plan", {"steps": [{"id": "look", "activity": "look"}], "done": False}).ok("look")
    scenario.then(e.StepSucceeded, e.PlanRequested, e.WaitStarted).waits_for(":budget").status_is(Status.BLOCKED)
    scenario.extended().then(e.InterventionApplied, e.WaitSatisfied, e.StepScheduled)


def test_undoing_probing_and_the_artifact_are_never_left_undone_for_it() -> None:
    undone = given(define(reserve(), attempts_budget=1)).fails("reserve").status_is(Status.COMPENSATING)
    undone.ok("reserve").status_is(Status.COMPENSATED)
    given(define(pay(probe="ask"), attempts_budget=1)).lapses("pay").later(5).wakes().then(e.StepScheduled)
    given(define(act("look"), artifact=act("write"), attempts_budget=1)).ok("look").then(
        e.StepSucceeded, e.StepScheduled
    )


def test_what_is_under_way_side_by_side_is_not_stopped_by_it() -> None:
    steps = [Step(name, act(name), after=()) for name in ("one", "two", "three")]
    scenario = given(define(*steps, attempts_budget=2)).waits_for(":budget").status_is(Status.EXECUTING)
    scenario.ok("one").ok("two").status_is(Status.BLOCKED).extended(1).ok("three").status_is(Status.COMPLETED)


def test_author_code_is_not_asked_for_an_input_that_no_event_would_hold() -> None:
    calls: list[str] = []

    def author(view: Mapping[str, Any]) -> dict[str, Any]:
        calls.append("called")
        return {}

    given(define(act("look"), Step("tell", act("tell"), input=author), attempts_budget=1)).ok("look").wakes()
    assert calls == []


def test_a_workflow_without_budget_can_be_cancelled_and_undoes_itself() -> None:
    scenario = given(define(reserve(), act("look"), attempts_budget=1)).ok("reserve").cancelled()
    scenario.then(e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)
