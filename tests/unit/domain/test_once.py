"""A `once` activity never runs again without proof that it was not applied."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.failures import FailureClass
from domain.policies import RetryPolicy
from domain.retry import LAPSES
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import SECOND, act, define, pay
from tests.unit.domain.scenario import BUG, NOT_APPLIED, PERMANENT, TRANSIENT, Scenario, failure, given

UNPROVEN = [TRANSIENT, PERMANENT, BUG, failure(FailureClass.TIMEOUT), failure(FailureClass.INVALID)]


def lost(**options: Any) -> Scenario:
    """A payment whose attempt was lost, with a probe."""
    return given(define(pay(probe="ask", **options), act("tell"))).lapses("pay")


def probed(**options: Any) -> Scenario:
    """A payment whose attempt was lost, and whose probe is under way."""
    return lost(**options).later(5).wakes().then(e.StepScheduled)


def runs(scenario: Scenario) -> int:
    return sum(one.kind == "run" and one.step == "pay" for one in scenario.events(e.StepScheduled))


@pytest.mark.parametrize("what", UNPROVEN, ids=lambda what: what.kind.value)
def test_an_end_without_proof_is_unknown_and_not_tried_again(what: object) -> None:
    scenario = given(define(pay())).fails("pay", what)  # type: ignore[arg-type]
    scenario.then(e.AttemptFailed, e.OutcomeUnknown).step_is("pay", StepStatus.OUTCOME_UNKNOWN)
    scenario.later(days=9).wakes()
    assert runs(scenario) == 1


def test_a_lapse_is_no_proof() -> None:
    given(define(pay())).lapses("pay").then(e.AttemptLapsed, e.OutcomeUnknown).waits_for("pay:outcome_unknown")


def test_not_applied_proves_absence_and_is_tried_again() -> None:
    scenario = given(define(pay())).fails("pay", NOT_APPLIED).then(e.AttemptFailed, e.RetryScheduled)
    assert not scenario.state.effects
    scenario.later(60).wakes().then(e.StepScheduled)


def test_a_command_that_nobody_claimed_proves_absence() -> None:
    given(define(pay())).left_open().dead_letters("pay").then(e.CommandDeadLettered, e.RetryScheduled)


def test_the_probe_is_asked_no_earlier_than_it_is_told_to() -> None:
    scenario = lost(settle_after=timedelta(seconds=30))
    assert scenario.event(e.OutcomeUnknown).probe_due_at == scenario.now + 30 * SECOND
    scenario.later(29).wakes().then()
    scenario.later(1).wakes().then(e.StepScheduled)
    assert scenario.event(e.StepScheduled).kind == "probe"
    assert scenario.event(e.StepScheduled).activity == "ask"


def test_a_probe_that_finds_it_makes_the_step_ok() -> None:
    scenario = probed().ok("pay", {"paid": 7}).then(e.OutcomeReconciled, e.StepSucceeded, e.StepScheduled)
    assert scenario.state.settled["pay"].output == {"paid": 7}
    assert runs(scenario) == 1


def test_a_probe_that_proves_absence_lets_it_run_again() -> None:
    scenario = probed().fails("pay", NOT_APPLIED).then(e.AttemptFailed, e.OutcomeReconciled, e.RetryScheduled)
    scenario.later(60).wakes()
    assert runs(scenario) == 2


def test_a_probe_that_cannot_tell_is_asked_again_within_its_policy_then_a_person() -> None:
    scenario = probed().fails("pay", TRANSIENT).then(e.AttemptFailed, e.RetryScheduled)
    assert scenario.event(e.RetryScheduled).kind == "probe"
    scenario.later(60).wakes().fails("pay", TRANSIENT).then(e.AttemptFailed, e.OutcomeUnknown)
    scenario.waits_for("pay:outcome_unknown").status_is(Status.BLOCKED)


def test_a_lost_probe_is_asked_again_after_the_same_patience_but_not_for_ever() -> None:
    scenario = probed()
    for _ in range(LAPSES):
        scenario.lapses("pay").then(e.AttemptLapsed, e.RetryScheduled).later(5).wakes()
    scenario.lapses("pay").then(e.AttemptLapsed, e.OutcomeUnknown).waits_for("pay:outcome_unknown")


def test_a_probe_that_nobody_takes_up_leaves_the_outcome_unknown() -> None:
    probe = act("ask", start_to_finish=SECOND, schedule_to_finish=SECOND)
    scenario = given(define(pay(probe="ask"), activities=[probe])).lapses("pay").later(5).wakes().left_open()
    scenario.later(10).wakes().then(e.StepTimedOut, e.RetryScheduled).step_is("pay", StepStatus.OUTCOME_UNKNOWN)
    scenario.later(10).wakes().left_open().later(10).wakes().then(e.StepTimedOut, e.OutcomeUnknown)
    scenario.waits_for("pay:outcome_unknown")


def test_a_probe_has_time_of_its_own_however_long_the_attempt_took() -> None:
    scenario = given(define(pay(probe="ask", schedule_to_finish=timedelta(hours=1)))).later(hours=2).lapses("pay")
    scenario.later(5).wakes()
    assert scenario.event(e.StepScheduled).expires_at == scenario.now + timedelta(hours=24)


def test_a_dead_letter_of_the_probe_counts_as_one_of_its_tries() -> None:
    scenario = probed().left_open().dead_letters("pay").then(e.CommandDeadLettered, e.RetryScheduled)
    scenario.later(60).wakes().left_open().dead_letters("pay").then(e.CommandDeadLettered, e.OutcomeUnknown)


def test_without_a_probe_a_person_settles_it_as_applied() -> None:
    scenario = given(define(pay())).lapses("pay").settled("pay", applied=True, output={"paid": 1})
    scenario.then(e.InterventionApplied, e.OutcomeReconciled, e.StepSucceeded, e.WorkflowCompleted)
    assert scenario.event(e.OutcomeReconciled).settled_by == "oscar"
    assert scenario.state.output == {"paid": 1}


def test_without_a_probe_a_person_settles_it_as_not_applied_and_it_runs_again() -> None:
    scenario = given(define(pay())).lapses("pay").settled("pay", applied=False)
    scenario.then(e.InterventionApplied, e.OutcomeReconciled, e.RetryScheduled)
    assert not scenario.state.effects
    scenario.later(60).wakes()
    assert runs(scenario) == 2


def test_an_operator_cannot_have_an_unknown_outcome_run_again() -> None:
    scenario = given(define(pay())).lapses("pay")
    scenario.retried("pay").then(e.DecisionRefused).then_refused("settle it first")
    scenario.retried("pay", input={"n": 2}).then_refused("settle it first")
    scenario.skipped("pay").then_refused("settle it first")
    scenario.supplied("pay").then_refused("settle it first")


def test_an_operator_cannot_have_it_run_again_before_its_end_is_judged() -> None:
    scenario = given(define(pay())).paused().lapses("pay").then(e.AttemptLapsed)
    scenario.retried("pay").then(e.DecisionRefused).then_refused("resume the workflow first")
    scenario.resumed().then(e.WorkflowResumed, e.OutcomeUnknown)


def test_an_operator_cannot_have_run_again_what_may_stand_but_may_begin_another() -> None:
    scenario = given(define(pay(), on_failure="intervene"), input={"n": 1}).denies("pay").waits_for("pay:intervention")
    scenario.retried("pay").then(e.DecisionRefused).then_refused("may have been applied")
    scenario.retried("pay", input={"n": 2}).then(e.InterventionApplied, e.StepScheduled)
    assert scenario.event(e.StepScheduled).key == "wf_001/pay/run~2"


def test_a_settlement_is_refused_where_nothing_is_unknown_or_the_probe_is_still_asking() -> None:
    given(define(pay())).settled("pay", applied=True).then(e.DecisionRefused).then_refused("has no unknown outcome")
    probed().settled("pay", applied=True).then(e.DecisionRefused).then_refused("wait for its answer")


def test_what_is_lost_again_and_again_ends_with_a_person_even_where_a_probe_proves_absence() -> None:
    scenario = given(define(pay(probe="ask", retry=RetryPolicy(max_attempts=50, initial_delay=SECOND))))
    for _ in range(LAPSES + 1):
        scenario.lapses("pay").later(5).wakes().fails("pay", NOT_APPLIED).later(60).wakes()
    scenario.waits_for("pay:intervention")


@pytest.mark.parametrize("effect", ["pure", "idempotent"])
def test_what_is_not_once_runs_again_after_an_end_without_proof(effect: str) -> None:
    again = act("look", effect, pivot=effect != "pure")  # type: ignore[arg-type]
    given(define(again)).lapses("look").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)
    given(define(again)).fails("look", BUG).then(e.AttemptFailed, e.RetryScheduled)
