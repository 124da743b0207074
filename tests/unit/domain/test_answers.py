"""An activity may answer NeedsApproval (a grant makes the step ok without running it again) or Denied."""

from __future__ import annotations

from typing import Any

from domain import events as e
from domain.policies import ApprovalPolicy
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import Scenario, given


def screened(**parts: Any) -> Scenario:
    """An activity that asked for a person, with its evidence."""
    scenario = given(define(reserve("screen"), act("tell"), approvals=[policy(), policy("board")]))
    return scenario.needs_approval("screen", evidence={"score": 71}, **parts)


def test_the_step_awaits_approval_with_the_activity_s_reason_evidence_and_controls() -> None:
    scenario = screened(controls=("watch",)).then(e.ApprovalRequested).step_is("screen", StepStatus.AWAITING_APPROVAL)
    request = scenario.event(e.ApprovalRequested)
    assert (request.origin, request.reason, request.attempt) == ("activity", "a person must look", 1)
    assert request.evidence == {"score": 71}
    assert request.proposed_controls == ("watch",)


def test_a_grant_makes_it_ok_without_running_it_again() -> None:
    scenario = screened().approves("screen")
    scenario.then(e.ApprovalRecorded, e.ApprovalGranted, e.StepSucceeded, e.StepScheduled)
    assert scenario.event(e.StepSucceeded).granted
    assert [one.step for one in scenario.events(e.StepScheduled)] == ["screen", "tell"]


def test_the_output_is_the_one_it_answered_with_or_else_the_evidence() -> None:
    assert screened().approves("screen").event(e.StepSucceeded).output == {"score": 71}
    assert screened(output={"fine": True}).approves("screen").event(e.StepSucceeded).output == {"fine": True}


def test_the_digest_covers_the_input_and_the_answer() -> None:
    one, other = screened(), screened(controls=("watch",))
    digests = [scenario.event(e.ApprovalRequested).digest for scenario in (one, other)]
    assert digests[0] != digests[1]
    assert one.event(e.ApprovalRequested).action["answer"]["evidence"] == {"score": 71}


def test_it_may_name_the_policy() -> None:
    assert screened(policy="board").event(e.ApprovalRequested).policy == "board"


def test_a_policy_that_the_definition_does_not_have_is_an_invalid_answer() -> None:
    scenario = screened(policy="unheard-of")
    assert scenario.event(e.AttemptFailed).failure.kind == "invalid"
    assert "unheard-of" in scenario.event(e.AttemptFailed).failure.message


def test_a_rejection_compensates_it_since_it_may_have_had_its_effect() -> None:
    scenario = screened().rejects("screen").status_is(Status.COMPENSATING)
    assert scenario.event(e.CompensationStarted).steps == ("screen",)


def test_an_answer_while_the_workflow_stops_is_a_failure() -> None:
    scenario = given(define(act("screen"))).cancelled().needs_approval("screen")
    scenario.then(e.AttemptFailed, e.StepFailed, e.WorkflowCancelled)


def test_an_answer_while_paused_is_recorded_and_can_be_decided() -> None:
    scenario = given(define(act("screen"), approvals=[ApprovalPolicy()])).paused().needs_approval("screen")
    scenario.then(e.ApprovalRequested).status_is(Status.PAUSED)
    scenario.approves("screen").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepSucceeded)
    scenario.resumed().status_is(Status.COMPLETED)


def test_only_a_step_s_own_attempt_may_ask_for_an_approval() -> None:
    scenario = given(define(reserve(), act("tell"))).ok("reserve").fails("tell").needs_approval("reserve")
    assert scenario.event(e.AttemptFailed).failure.kind == "invalid"


def test_denied_fails_the_step_at_once_and_compensates() -> None:
    scenario = given(define(reserve(), act("screen"))).ok("reserve").denies("screen", "on the list")
    scenario.then(
        e.AttemptFailed, e.StepFailed, e.StoppingBegan, e.CompensationStarted, e.CompensationScheduled, e.StepScheduled
    )
    failure = scenario.event(e.StepFailed).failure
    assert (failure.kind, failure.message) == ("rejected", "on the list")
