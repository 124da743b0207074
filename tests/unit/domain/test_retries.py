"""Retries: bounded, no earlier than told, by class; what follows when there are no more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain import events as e
from domain.definitions import Step
from domain.failures import FailureClass
from domain.policies import RetryPolicy
from domain.retry import LAPSES
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import SECOND, act, define, reserve, ship
from tests.unit.domain.scenario import BUG, NOT_APPLIED, TRANSIENT, failure, given

MINUTE = timedelta(minutes=1)
THRICE = RetryPolicy(max_attempts=3, initial_delay=10 * SECOND, multiplier=3.0, maximum_delay=20 * SECOND)


def test_a_transient_failure_is_tried_again_with_growing_bounded_delays_then_no_more() -> None:
    scenario = given(define(act("look", retry=THRICE))).fails("look", TRANSIENT).status_is(Status.EXECUTING)
    scenario.step_is("look", StepStatus.RETRY_WAIT)
    first = scenario.event(e.RetryScheduled)
    assert 8 <= first.delay_seconds <= 10
    scenario.later(10).wakes().fails("look", TRANSIENT)
    second = scenario.event(e.RetryScheduled)
    assert 16 <= second.delay_seconds <= 20
    assert (first.attempt, second.attempt) == (2, 3)
    scenario.later(20).wakes().fails("look", TRANSIENT).then(
        e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed
    )


def test_the_delay_is_derived_from_the_attempt_not_from_chance() -> None:
    delays = {given(define(act("look"))).fails("look", TRANSIENT).event(e.RetryScheduled).due_at for _ in range(5)}
    assert len(delays) == 1


def test_a_rate_limited_step_is_tried_no_earlier_than_it_was_told() -> None:
    told = failure(FailureClass.RATE_LIMITED, retry_after_seconds=300)
    scenario = given(define(act("look"))).fails("look", told)
    assert scenario.event(e.RetryScheduled).delay_seconds == 300
    scenario.later(299).wakes().then()
    scenario.later(1).wakes().then(e.StepScheduled)


@pytest.mark.parametrize("kind", [FailureClass.PERMANENT, FailureClass.INVALID, FailureClass.REJECTED])
def test_what_stays_is_not_tried_again_and_compensates(kind: FailureClass) -> None:
    scenario = given(define(reserve(), act("look"))).ok("reserve").fails("look", failure(kind))
    scenario.then(
        e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled
    )


@pytest.mark.parametrize("kind", [FailureClass.TIMEOUT, FailureClass.OUTCOME_UNKNOWN, FailureClass.BUG])
def test_what_may_pass_is_tried_again(kind: FailureClass) -> None:
    given(define(act("look"))).fails("look", failure(kind)).then(e.AttemptFailed, e.RetryScheduled)


def test_a_bug_is_tried_again_within_bounds_then_a_person_is_asked() -> None:
    scenario = given(define(reserve(), act("look"))).ok("reserve").fails("look", BUG).later(60).wakes()
    scenario.fails("look", BUG).then(e.AttemptFailed, e.StepFailed, e.InterventionRequested)
    assert "KeyError: surprise" in scenario.event(e.InterventionRequested).reason
    scenario.status_is(Status.BLOCKED).waits_for("look:intervention")


def test_a_definition_may_prefer_a_person_to_undoing() -> None:
    scenario = given(define(reserve(), act("look"), on_failure="intervene")).ok("reserve").fails("look")
    scenario.then(e.AttemptFailed, e.StepFailed, e.InterventionRequested).waits_for("look:intervention")


def test_no_attempt_begins_after_the_policy_s_deadline() -> None:
    brief = RetryPolicy(max_attempts=9, initial_delay=10 * SECOND, deadline=15 * SECOND)
    scenario = given(define(act("look", retry=brief))).fails("look", TRANSIENT).later(10).wakes()
    scenario.fails("look", TRANSIENT).then(e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_a_lapse_is_tried_again_at_once_and_does_not_count_against_the_policy() -> None:
    scenario = given(define(act("look", retry=RetryPolicy(max_attempts=1))))
    for _ in range(LAPSES):
        scenario.lapses("look").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)
    scenario.lapses("look").then(e.AttemptLapsed, e.StepFailed, e.InterventionRequested)


def test_an_exception_that_is_only_called_like_a_lapse_is_none() -> None:
    scenario = given(define(act("look"))).fails("look", failure(FailureClass.BUG, type_name="Lapsed"))
    assert scenario.event(e.RetryScheduled).delay_seconds > 0


def test_a_step_runs_out_of_its_schedule_to_finish_between_attempts() -> None:
    slow = RetryPolicy(max_attempts=9, initial_delay=MINUTE)
    short = act("look", retry=slow, start_to_finish=SECOND, schedule_to_finish=30 * SECOND)
    scenario = given(define(short)).fails("look", TRANSIENT)
    scenario.then(e.AttemptFailed, e.StepTimedOut, e.StoppingBegan, e.WorkflowFailed)
    assert scenario.event(e.StepTimedOut).due_at == scenario.now + 30 * SECOND


def test_a_command_that_nobody_claims_runs_out_of_its_schedule_to_finish() -> None:
    short = act("look", start_to_finish=SECOND, schedule_to_finish=30 * SECOND)
    scenario = given(define(reserve(), short)).ok("reserve").left_open().later(29).wakes().then()
    scenario.later(1).wakes()
    scenario.then(e.StepTimedOut, e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled)
    assert scenario.event(e.StepTimedOut).revoked == ("wf_001/look/run/1",)
    scenario.step_is("look", StepStatus.TIMED_OUT)


def test_a_claimed_attempt_is_left_to_its_worker_when_its_time_is_up() -> None:
    short = act("look", start_to_finish=SECOND, schedule_to_finish=30 * SECOND)
    given(define(short)).later(60).wakes().then().status_is(Status.EXECUTING)


def test_all_attempts_of_a_step_share_one_schedule_to_finish() -> None:
    scenario = given(define(act("look"))).fails("look", TRANSIENT).later(60).wakes()
    first, second = (one.expires_at for one in scenario.events(e.StepScheduled))
    assert first == second


def test_a_dead_lettered_command_is_tried_again_within_bounds_then_a_person_is_asked() -> None:
    scenario = (
        given(define(reserve())).left_open().dead_letters("reserve").then(e.CommandDeadLettered, e.RetryScheduled)
    )
    assert scenario.event(e.CommandDeadLettered).revoked == ("wf_001/reserve/run/1",)
    scenario.later(60).wakes().left_open().dead_letters("reserve")
    scenario.then(e.CommandDeadLettered, e.StepFailed, e.InterventionRequested)
    assert not scenario.state.effects, "what nobody claimed cannot have had an effect"


def test_a_dead_letter_of_a_claimed_command_is_its_worker_s_business() -> None:
    given(define(act("look"))).dead_letters("look").then_ignored("its worker reports")


def test_a_proof_of_absence_leaves_no_effect_but_does_not_take_away_an_earlier_one() -> None:
    scenario = given(define(reserve())).fails("reserve", NOT_APPLIED)
    assert not scenario.state.effects
    scenario.later(60).wakes().fails("reserve", TRANSIENT)
    assert list(scenario.state.effects) == ["reserve"]
    other = given(define(reserve())).fails("reserve", TRANSIENT).later(60).wakes().fails("reserve", NOT_APPLIED)
    assert list(other.state.effects) == ["reserve"]


def test_behind_a_pivot_a_failure_asks_for_a_person() -> None:
    scenario = given(define(reserve(), ship(), act("tell"))).ok("reserve").ok("ship").fails("tell")
    scenario.then(e.AttemptFailed, e.StepFailed, e.InterventionRequested)
    assert "cannot be undone" in scenario.event(e.InterventionRequested).reason


def test_a_pivot_that_may_have_been_applied_counts_as_passed() -> None:
    scenario = given(define(reserve(), ship())).ok("reserve").fails("ship")
    scenario.then(e.AttemptFailed, e.StepFailed, e.InterventionRequested)
    absent = given(define(reserve(), ship())).ok("reserve").fails("ship", NOT_APPLIED).later(60).wakes()
    absent.fails("ship", NOT_APPLIED).status_is(Status.COMPENSATING)


def test_an_output_that_does_not_validate_is_an_applied_effect_with_a_bad_output() -> None:
    scenario = given(define(reserve(), Step("tell", act("tell"))))
    scenario.fails("reserve", failure(FailureClass.INVALID, "output: field required")).status_is(Status.COMPENSATING)
    assert scenario.event(e.CompensationStarted).steps == ("reserve",)


@pytest.mark.parametrize("name", ["initial_delay", "maximum_delay", "deadline"])
def test_a_time_that_leads_out_of_the_calendar_is_refused_when_the_policy_is_made(name: str) -> None:
    RetryPolicy.model_validate({name: timedelta(days=36_525)})
    with pytest.raises(ValueError, match="less than or equal to 36525 days"):
        RetryPolicy.model_validate({name: timedelta(days=36_526)})
