"""Interventions: each applied where it fits, and refused on the record where it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from domain import events as e
from domain.definitions import Step
from domain.plan import ChildSpec, SignalWait, TimeWait
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import act, define, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given

Act = Callable[[Scenario], Scenario]

ON_A_STEP: dict[str, Act] = {
    "retry": lambda scenario: scenario.retried("look"),
    "skip": lambda scenario: scenario.skipped("look"),
    "supply": lambda scenario: scenario.supplied("look"),
}


def failed() -> Scenario:
    """A step that failed for good and waits for a person."""
    return given(define(act("look"), act("tell"), on_failure="intervene")).fails("look").waits_for("look:intervention")


# --- applied --------------------------------------------------------------------------------------------------------


def test_retry_tries_a_failed_step_again_with_all_its_tries() -> None:
    scenario = failed().retried("look").then(e.InterventionApplied, e.StepScheduled).waits_for()
    applied = scenario.event(e.InterventionApplied)
    assert (applied.act, applied.step, applied.by, applied.reason) == ("retry", "look", "oscar", "again")
    scenario.fails("look", TRANSIENT).then(e.AttemptFailed, e.RetryScheduled)


def test_retry_does_not_wait_for_the_backoff() -> None:
    scenario = given(define(act("look"))).fails("look", TRANSIENT).retried("look")
    scenario.then(e.InterventionApplied, e.StepScheduled)
    scenario.ok("look").status_is(Status.COMPLETED)
    scenario.later(60).wakes().then_ignored("over")


def test_retry_revokes_a_command_that_nobody_has_claimed() -> None:
    scenario = given(define(act("look"))).left_open().retried("look").then(e.InterventionApplied, e.StepScheduled)
    assert scenario.event(e.InterventionApplied).revoked == ("wf_001/look/run/1",)
    assert scenario.event(e.StepScheduled).message_id == "wf_001/look/run/2"


def test_retry_with_an_input_is_a_new_generation() -> None:
    scenario = failed().retried("look", input={"n": 2})
    assert (scenario.event(e.StepScheduled).generation, scenario.event(e.StepScheduled).input) == (2, {"n": 2})


def test_retry_of_a_step_that_timed_out() -> None:
    short = act("look", start_to_finish=timedelta(seconds=1), schedule_to_finish=timedelta(seconds=9))
    scenario = given(define(short, on_failure="intervene")).left_open().later(9).wakes()
    scenario.step_is("look", StepStatus.TIMED_OUT).retried("look").then(e.InterventionApplied, e.StepScheduled)
    assert scenario.event(e.StepScheduled).expires_at == scenario.now + timedelta(seconds=9)


def test_skip_passes_a_failed_step_over() -> None:
    scenario = failed().skipped("look").then(e.InterventionApplied, e.StepSkipped, e.StepScheduled)
    scenario.step_is("look", StepStatus.SKIPPED)
    assert scenario.event(e.StepSkipped).reason == "skipped by oscar: not needed"


def test_skip_passes_a_step_over_that_has_not_begun() -> None:
    scenario = given(define(act("look"), act("tell"))).skipped("tell").then(e.InterventionApplied, e.StepSkipped)
    scenario.ok("look").then(e.StepSucceeded, e.WorkflowCompleted)


def test_supply_gives_a_failed_step_its_output() -> None:
    scenario = failed().supplied("look", {"found": 1}).then(e.InterventionApplied, e.StepSucceeded, e.StepScheduled)
    assert scenario.event(e.StepSucceeded).supplied_by == "oscar"
    assert scenario.state.settled["look"].output == {"found": 1}


def test_supply_and_skip_revoke_a_command_that_nobody_has_claimed() -> None:
    for act_on in (ON_A_STEP["skip"], ON_A_STEP["supply"]):
        scenario = act_on(given(define(act("look"), act("tell"))).left_open())
        assert scenario.event(e.InterventionApplied).revoked == ("wf_001/look/run/1",)


def test_supplying_what_never_ran_leaves_no_effect_but_what_ran_without_proof_does() -> None:
    never = given(define(reserve(), act("tell"))).left_open().supplied("reserve", {"seat": 1}).fails("tell")
    never.status_is(Status.FAILED)
    ran = (
        given(define(reserve(), act("tell"), on_failure="intervene")).fails("reserve").supplied("reserve", {"seat": 1})
    )
    ran.cancelled().ok("tell").status_is(Status.COMPENSATING)
    assert ran.event(e.StepScheduled).input["output"] == {"seat": 1}


@pytest.mark.parametrize("act_on", [ON_A_STEP["skip"], ON_A_STEP["supply"]], ids=["skip", "supply"])
@pytest.mark.parametrize("wait", ["signal", "time", "approval"])
def test_a_step_that_waits_may_be_skipped_or_supplied(wait: str, act_on: Act) -> None:
    look = {
        "signal": Step("look", wait_signal=SignalWait(name="news", correlation="k"), timeout=timedelta(minutes=1)),
        "time": Step("look", wait_time=TimeWait(duration=timedelta(hours=1))),
        "approval": Step("look", act("look"), approval="default"),
    }[wait]
    deadline = policy(deadline=timedelta(minutes=1))
    scenario = act_on(given(define(look, act("tell"), approvals=[deadline]))).waits_for()
    assert scenario.state.next_due is None, "nothing of the step falls due any more"
    scenario.ok("tell").status_is(Status.COMPLETED)


def test_the_planner_may_be_tried_again_or_passed_over() -> None:
    definition = define(planner=planner(), activities=[act("look")], on_failure="intervene")
    given(definition).fails("_plan").retried("_plan").then(e.InterventionApplied, e.StepScheduled)
    given(definition).fails("_plan").skipped("_plan").then(e.InterventionApplied, e.StepSkipped, e.WorkflowCompleted)


def test_the_artifact_may_be_tried_again_or_passed_over() -> None:
    definition = define(act("look"), artifact=act("write"), on_failure="intervene")
    again = given(definition).ok("look").fails("_artifact").retried("_artifact")
    again.then(e.InterventionApplied, e.StepScheduled)
    over = given(definition).ok("look").fails("_artifact").skipped("_artifact")
    over.then(e.InterventionApplied, e.StepSkipped, e.WorkflowCompleted)


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act_on", ON_A_STEP.values(), ids=ON_A_STEP)
def test_nobody_acts_on_an_attempt_that_is_running(act_on: Act) -> None:
    scenario = (
        act_on(given(define(act("look")))).then(e.DecisionRefused).then_refused("attempt 1 of step look is running")
    )
    assert scenario.event(e.DecisionRefused).decided_by == "oscar"


@pytest.mark.parametrize("act_on", ON_A_STEP.values(), ids=ON_A_STEP)
def test_nobody_acts_on_a_step_that_has_settled(act_on: Act) -> None:
    act_on(given(define(act("look"), act("tell"))).ok("look")).then_refused("step look has settled (ok)")


@pytest.mark.parametrize("act_on", ON_A_STEP.values(), ids=ON_A_STEP)
def test_nobody_acts_on_a_step_that_there_is_not(act_on: Act) -> None:
    act_on(given(define(act("other")))).then_refused("there is no step look")


@pytest.mark.parametrize("act_on", ON_A_STEP.values(), ids=ON_A_STEP)
def test_nobody_acts_on_a_step_whose_child_is_running(act_on: Act) -> None:
    scenario = given(define(Step("look", child=ChildSpec(definition="child"))))
    act_on(scenario).then_refused("act on that one")


def test_only_what_ended_or_waits_for_its_retry_is_tried_again() -> None:
    given(define(act("look"), act("tell"))).retried("tell").then_refused("step tell is planned")
    waiting = given(define(Step("look", act("look"), approval="default"), approvals=[policy()]))
    waiting.retried("look").then_refused("step look is awaiting_approval")


def test_nothing_is_tried_again_once_stopping_has_begun() -> None:
    steps = [Step("look", act("look"), after=()), Step("tell", act("tell"), after=())]
    given(define(*steps)).fails("look").retried("look").then(e.DecisionRefused).then_refused("is stopping")


def test_the_engine_s_own_steps_take_no_output() -> None:
    scenario = given(define(planner=planner())).left_open().supplied("_plan", {"steps": []})
    scenario.then(e.DecisionRefused).then_refused("take no output from outside")


def test_a_budget_is_extended_only_where_it_is_waited_for() -> None:
    given(define(act("look"))).extended().then(e.DecisionRefused).then_refused("does not wait for its budget")


@pytest.mark.parametrize("act_on", ON_A_STEP.values(), ids=ON_A_STEP)
def test_a_workflow_that_is_over_refuses_on_the_record(act_on: Act) -> None:
    act_on(given(define(act("look"))).ok("look")).then(e.DecisionRefused).then_refused("the workflow is completed")


def test_an_intervention_says_who_and_why() -> None:
    scenario = failed().skipped("look", by="cleo")
    applied = scenario.event(e.InterventionApplied)
    assert (applied.by, applied.reason) == ("cleo", "not needed")
    assert scenario.state.intervened == {"look": ["cleo"]}
