"""Due instants live in state; timers only wake it. A lost, doubled or late timer changes nothing but the delay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain import events as e
from domain.definitions import Step
from domain.plan import TimeWait
from domain.policies import RetryPolicy
from domain.state import Status
from tests.unit.domain.recipes import SECOND, act, define, policy, reserve
from tests.unit.domain.scenario import BEGINNING, TRANSIENT, Scenario, given

MINUTE = timedelta(minutes=1)


def asked(**options: Any) -> Scenario:
    """A workflow that waits for an approval of its only step."""
    parts: dict[str, Any] = {"deadline": 10 * MINUTE, "escalate_after": 5 * MINUTE, "escalate_to": ("chief",)} | options
    return given(define(Step("look", act("look"), approval="default"), approvals=[policy(**parts)]))


def told(scenario: Scenario) -> list[tuple[str, object]]:
    """What was decided, without when."""
    return [(one.event.stored_name, getattr(one.event, "due_at", None)) for one in scenario.history]


def test_a_timer_that_fires_early_decides_nothing() -> None:
    asked().later(60).wakes().then().status_is(Status.BLOCKED)


def test_a_doubled_timer_decides_once() -> None:
    scenario = asked().later(minutes=5).wakes().then(e.ApprovalEscalated)
    scenario.wakes().then()


def test_a_late_wake_gives_the_same_decisions_in_the_same_order() -> None:
    in_time = asked().later(minutes=5).wakes().later(minutes=5).wakes()
    late = asked().later(days=3).wakes()
    assert told(late) == told(in_time)
    late.then(e.ApprovalEscalated, e.ApprovalExpired, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_a_lost_timer_is_made_up_for_by_whatever_comes_next() -> None:
    scenario = asked().later(minutes=6).approves("look", by="chief")
    scenario.then(e.ApprovalEscalated, e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_an_approval_after_the_deadline_but_before_the_timer_is_refused() -> None:
    scenario = asked()
    late = scenario.decision("look", "ann", "approve")
    scenario.later(minutes=10).when(late)
    assert scenario.events(e.ApprovalExpired)
    assert not scenario.events(e.ApprovalGranted)
    scenario.then_refused("the workflow is").status_is(Status.FAILED)


def test_an_approval_at_the_last_instant_before_the_deadline_counts() -> None:
    asked().later(minutes=10, microseconds=-1).approves("look", by="ann").status_is(Status.EXECUTING)


def test_everything_that_fell_due_is_decided_in_the_order_of_its_instants() -> None:
    waits = [Step("late", wait_time=TimeWait(duration=3 * MINUTE), after=())]
    waits += [Step("soon", wait_time=TimeWait(duration=MINUTE), after=())]
    scenario = given(define(*waits)).later(hours=1).wakes()
    assert [one.step for one in scenario.events(e.WaitSatisfied)] == ["soon", "late"]


def test_the_deadline_of_the_workflow_is_met_without_a_timer() -> None:
    scenario = given(define(reserve(), act("look"), deadline=10 * MINUTE)).ok("reserve").later(minutes=11)
    scenario.ok("look").then(
        e.StoppingBegan, e.StepSucceeded, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled
    )
    assert scenario.event(e.StoppingBegan).why == "deadline"


def test_the_next_due_instant_is_the_earliest_and_never_in_the_past_after_a_wake() -> None:
    scenario = asked()
    assert scenario.state.next_due == BEGINNING + 5 * MINUTE
    scenario.later(minutes=5).wakes()
    assert scenario.state.next_due == BEGINNING + 10 * MINUTE
    scenario.later(minutes=5).wakes()
    assert scenario.state.next_due is None


def test_what_cannot_go_on_holds_up_nothing_else_that_fell_due() -> None:
    patient = RetryPolicy(max_attempts=5, initial_delay=SECOND)
    scenario = given(define(act("look", retry=patient), attempts_budget=1, deadline=10 * MINUTE))
    scenario.fails("look", TRANSIENT).later(60).wakes().then(e.WaitStarted).waits_for(":budget")
    assert scenario.state.next_due == BEGINNING + 10 * MINUTE, "the retry that has no budget wakes nobody"
    scenario.later(minutes=10).wakes().status_is(Status.FAILED)


def test_a_retry_falls_due_at_its_instant_and_not_before() -> None:
    scenario = given(define(act("look"))).fails("look", TRANSIENT)
    due_at = scenario.event(e.RetryScheduled).due_at
    scenario.now = due_at - timedelta(microseconds=1)
    scenario.wakes().then()
    scenario.now = due_at
    scenario.wakes().then(e.StepScheduled)


def test_resuming_decides_what_fell_due_while_paused() -> None:
    scenario = asked().paused().later(days=1).wakes().then_ignored("paused")
    scenario.resumed()
    scenario.then(
        e.WorkflowResumed, e.ApprovalEscalated, e.ApprovalExpired, e.StepFailed, e.StoppingBegan, e.WorkflowFailed
    )


def test_nothing_falls_due_after_the_end() -> None:
    scenario = given(define(act("look"), deadline=MINUTE)).ok("look")
    assert scenario.state.next_due is None
    scenario.later(hours=1).wakes().then_ignored("the workflow is over")
