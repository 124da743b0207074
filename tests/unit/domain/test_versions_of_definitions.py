"""A workflow stays on the version it started on, side by side with others; without it, it waits and says so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.definitions import Step
from domain.errors import DefinitionMissing
from domain.plan import SignalWait
from domain.state import Status
from domain.triggers import CancelWorkflow, PauseWorkflow
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import Scenario, given

OLD = define(reserve(), act("look"), version="1")
NEW = define(act("look"), act("tell"), act("end"), version="2")


def without_definition() -> Scenario:
    """A workflow whose definition went away while its first step ran."""
    return given(OLD).unloaded().ok("reserve")


def test_versions_run_side_by_side_each_by_its_own_plan() -> None:
    old, new = given(OLD), given(NEW)
    assert [one.id for one in old.event(e.PlanProposed).steps] == ["reserve", "look"]
    assert [one.id for one in new.event(e.PlanProposed).steps] == ["look", "tell", "end"]
    old.ok("reserve").ok("look").status_is(Status.COMPLETED)
    new.ok("look").ok("tell").status_is(Status.EXECUTING)


def test_without_its_version_a_workflow_records_outcomes_and_waits_naming_the_version() -> None:
    scenario = without_definition().then(e.StepSucceeded, e.WaitStarted).waits_for(":definition")
    assert scenario.event(e.WaitStarted).detail == "definition 'test' version '1' is not loaded"
    scenario.status_is(Status.BLOCKED).wakes().then()


def test_nothing_is_under_way_where_nobody_can_run_what_is_scheduled() -> None:
    given(OLD).unloaded().wakes().then(e.WaitStarted).status_is(Status.BLOCKED)


def test_it_goes_on_when_the_version_is_loaded() -> None:
    scenario = without_definition().loaded(OLD).wakes().then(e.WaitSatisfied, e.StepScheduled)
    scenario.ok("look").status_is(Status.COMPLETED)


def test_whatever_comes_next_finds_it_loaded() -> None:
    definition = define(
        reserve(), Step("wait", wait_signal=SignalWait(name="go", correlation="k"), after=()), act("look")
    )
    scenario = given(definition).unloaded().ok("reserve").loaded(definition).signalled("go", "k")
    scenario.then(e.WaitSatisfied, e.WaitSatisfied, e.StepSucceeded, e.StepScheduled)


def test_failures_are_recorded_and_judged_when_it_is_loaded() -> None:
    scenario = given(OLD).unloaded().fails("reserve").then(e.AttemptFailed, e.WaitStarted)
    scenario.loaded(OLD).wakes().status_is(Status.COMPENSATING)
    lost = given(OLD).unloaded().lapses("reserve").then(e.AttemptLapsed, e.WaitStarted)
    lost.loaded(OLD).wakes().then(e.WaitSatisfied, e.RetryScheduled, e.StepScheduled)


def test_nothing_falls_due_without_it() -> None:
    definition = define(act("look"), deadline=timedelta(minutes=1))
    scenario = given(definition).unloaded().wakes().then(e.WaitStarted)
    assert scenario.state.next_due is None
    scenario.later(60).wakes().then()
    scenario.loaded(definition).wakes().then(e.WaitSatisfied, e.StoppingBegan)


def test_what_a_person_decides_needs_it() -> None:
    definition = define(Step("pay", act("pay"), approval="default"), approvals=[policy()])
    scenario = given(definition).unloaded()
    person: dict[str, Any] = {"by": "oscar", "reason": "so"}
    for act_of_a_person in (
        scenario.decision("pay", "ann", "approve"),
        CancelWorkflow(**person),
        PauseWorkflow(**person),
    ):
        with pytest.raises(DefinitionMissing, match=r"definition 'test' version '1' is not loaded here; .* --module"):
            scenario.when(act_of_a_person)


def test_a_goal_needs_it() -> None:
    scenario = Scenario(OLD).unloaded()
    with pytest.raises(DefinitionMissing, match="version '1'"):
        scenario.started(definition=OLD)


def test_the_same_goal_again_does_not() -> None:
    given(OLD).unloaded().started(definition=OLD).then_ignored("already started")


def test_a_workflow_that_is_over_does_not() -> None:
    scenario = given(define(act("look"))).ok("look").unloaded().cancelled()
    scenario.then(e.DecisionRefused).then_refused("the workflow is completed")


def test_it_is_missed_while_paused_too_so_that_the_record_says_what_was_decided_without_it() -> None:
    scenario = given(OLD).paused().unloaded().ok("reserve").then(e.StepSucceeded, e.WaitStarted)
    scenario.loaded(OLD).resumed().then(e.WaitSatisfied, e.WorkflowResumed, e.StepScheduled)


def test_a_cancellation_finds_it_loaded_and_says_so_first() -> None:
    scenario = without_definition().loaded(OLD).cancelled()
    scenario.then(e.WaitSatisfied, e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)


def test_an_answer_that_cannot_be_asked_about_without_it_is_tried_again() -> None:
    definition = define(act("screen"), approvals=[policy()])
    scenario = given(definition).unloaded().needs_approval("screen").then(e.AttemptFailed, e.WaitStarted)
    assert scenario.event(e.AttemptFailed).failure.type == "DefinitionMissing"
    scenario.loaded(definition).wakes().then(e.WaitSatisfied, e.RetryScheduled)
