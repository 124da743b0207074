"""Paused: outcomes are recorded, nothing new is scheduled, and what fell due is decided when it is resumed."""

from __future__ import annotations

from datetime import timedelta

from domain import events as e
from domain.definitions import Step
from domain.plan import ChildSpec, SignalWait
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, given


def test_outcomes_are_recorded_and_nothing_new_is_scheduled() -> None:
    scenario = given(define(act("look"), act("tell"))).paused().then(e.WorkflowPaused).status_is(Status.PAUSED)
    scenario.ok("look").then(e.StepSucceeded).status_is(Status.PAUSED)
    scenario.resumed().then(e.WorkflowResumed, e.StepScheduled).status_is(Status.EXECUTING)


def test_what_nobody_has_claimed_is_revoked_and_scheduled_anew() -> None:
    scenario = given(define(act("look"))).left_open().paused().step_is("look", StepStatus.PLANNED)
    assert scenario.event(e.WorkflowPaused).revoked == ("wf_001/look/run/1",)
    scenario.resumed().then(e.WorkflowResumed, e.StepScheduled)
    assert scenario.event(e.StepScheduled).message_id == "wf_001/look/run/2"


def test_a_revoked_attempt_does_not_count_against_the_policy() -> None:
    scenario = given(define(act("look"))).left_open().paused().resumed().fails("look", TRANSIENT)
    scenario.then(e.AttemptFailed, e.RetryScheduled)


def test_a_revoked_probe_is_asked_again() -> None:
    scenario = given(define(pay(probe="ask"))).lapses("pay").later(5).wakes().left_open().paused()
    scenario.step_is("pay", StepStatus.OUTCOME_UNKNOWN).resumed().then(e.WorkflowResumed, e.StepScheduled)
    assert scenario.event(e.StepScheduled).kind == "probe"


def test_a_revoked_planner_or_artifact_is_asked_again() -> None:
    scenario = given(define(planner=planner())).left_open().paused().resumed().then(e.WorkflowResumed, e.StepScheduled)
    assert scenario.event(e.StepScheduled).kind == "plan"
    scenario = given(define(act("look"), artifact=act("write"))).ok("look").left_open().paused().resumed()
    assert scenario.event(e.StepScheduled).kind == "artifact"


def test_a_failure_is_recorded_now_and_judged_when_it_is_resumed() -> None:
    scenario = given(define(reserve())).paused().fails("reserve").then(e.AttemptFailed).status_is(Status.PAUSED)
    scenario.resumed()
    scenario.then(
        e.WorkflowResumed,
        e.StepFailed,
        e.StoppingBegan,
        e.CompensationStarted,
        e.CompensationScheduled,
        e.StepScheduled,
    )


def test_a_rejection_is_recorded_now_and_judged_when_it_is_resumed() -> None:
    scenario = given(define(Step("pay", act("pay"), approval="default"), approvals=[policy()])).paused()
    scenario.rejects("pay").then(e.ApprovalRecorded, e.ApprovalRejected).status_is(Status.PAUSED)
    scenario.resumed().then(e.WorkflowResumed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_a_failed_child_is_recorded_now_and_judged_when_it_is_resumed() -> None:
    scenario = given(define(Step("enrol", child=ChildSpec(definition="child")))).paused()
    scenario.child_ends("enrol", "failed").then(e.ChildEnded).status_is(Status.PAUSED)
    scenario.resumed().then(e.WorkflowResumed, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)


def test_a_grant_is_recorded_now_and_the_step_runs_when_it_is_resumed() -> None:
    scenario = given(define(Step("pay", act("pay"), approval="default"), approvals=[policy()])).paused()
    scenario.approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted)
    scenario.resumed().then(e.WorkflowResumed, e.StepScheduled)


def test_a_decision_after_the_deadline_is_refused_while_paused_too() -> None:
    brief = policy(deadline=timedelta(minutes=1))
    scenario = given(define(Step("pay", act("pay"), approval="default"), approvals=[brief])).paused().later(60)
    scenario.approves("pay").then(e.DecisionRefused).then_refused("after the deadline")


def test_a_signal_that_comes_while_paused_is_not_lost() -> None:
    wait = Step("wait", wait_signal=SignalWait(name="news", correlation="k"))
    scenario = given(define(wait, act("tell"))).paused().signalled("news", "k").then(e.WaitSatisfied, e.StepSucceeded)
    scenario.resumed().then(e.WorkflowResumed, e.StepScheduled)


def test_a_plan_that_comes_while_paused_is_taken_and_nothing_of_it_begins() -> None:
    scenario = given(define(planner=planner(), activities=[act("look")])).paused()
    scenario.ok("_plan", {"steps": [{"id": "look", "activity": "look"}]}).then(e.PlanProposed)
    scenario.resumed().then(e.WorkflowResumed, e.StepScheduled)


def test_timers_wake_nobody_while_paused() -> None:
    scenario = given(define(act("look"), deadline=timedelta(minutes=1))).paused()
    assert scenario.state.next_due is None
    scenario.later(60).wakes().then_ignored("paused")
    scenario.resumed().then(e.WorkflowResumed, e.StoppingBegan)


def test_pausing_twice_and_resuming_what_is_not_paused_are_ignored() -> None:
    scenario = given(define(act("look"))).resumed().then_ignored("not paused")
    scenario.paused().paused().then_ignored("already so")


def test_a_workflow_that_stops_undoes_or_is_over_is_not_paused() -> None:
    scenario = given(define(reserve(), act("look"))).ok("reserve").cancelled()
    scenario.paused().then(e.DecisionRefused).then_refused("the workflow is stopping")
    scenario.ok("look").paused().then(e.DecisionRefused).then_refused("the workflow is compensating")
    scenario.ok("reserve").paused().then(e.DecisionRefused).then_refused("the workflow is cancelled")


def test_a_paused_workflow_can_be_cancelled() -> None:
    given(define(act("look"))).left_open().paused().cancelled().then(e.StoppingBegan, e.WorkflowCancelled)


def test_an_operator_may_act_while_paused_and_nothing_begins_before_it_is_resumed() -> None:
    scenario = given(define(act("look"), on_failure="intervene")).fails("look").paused()
    scenario.retried("look").then(e.InterventionApplied).resumed().then(e.WorkflowResumed, e.StepScheduled)
