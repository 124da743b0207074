"""How the gate's verdicts and the rounds of an approval change the state."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.evolution.moves import close_waits, end_live, list_effect
from domain.failures import FailureClass, make_failure
from domain.state import Ballot, Grant, State, StepStatus, Wait, wait_key


def policy_evaluated(state: State, event: e.PolicyEvaluated, _: datetime) -> None:
    step = state.steps[event.step]
    step.gate = event.verdict
    step.gate_approval = event.approval
    step.gate_reason = event.reason


def approval_requested(state: State, event: e.ApprovalRequested, at: datetime) -> None:
    step = state.steps[event.step]
    if event.origin == "activity":
        end_live(state, event.step)
        list_effect(state, step, event.output)
    step.status = StepStatus.AWAITING_APPROVAL
    step.rounds = event.round
    step.granted_digest = None
    state.ready.pop(event.step, None)
    state.dues.pop(f"retry:{event.step}", None)
    state.ballots[event.step] = Ballot(event.model_copy(update={"trigger": None}))
    state.waits[wait_key(event.step, "approval")] = Wait(
        event.step, "approval", at, name=event.approval_id, due_at=event.deadline_at, detail=event.reason
    )
    if event.deadline_at is not None:
        state.dues[f"approval:{event.step}"] = event.deadline_at
    if event.escalate_at is not None:
        state.dues[f"escalate:{event.step}"] = event.escalate_at


def approval_recorded(state: State, event: e.ApprovalRecorded, _: datetime) -> None:
    ballot = state.ballots[event.step]
    if event.decision == "approve":
        ballot.grants.append(event.decided_by)
        ballot.controls.extend(control for control in event.controls if control not in ballot.controls)
    else:
        ballot.rejections.append(event.decided_by)
    if event.reason:
        ballot.reasons.append(event.reason)


def approval_granted(state: State, event: e.ApprovalGranted, _: datetime) -> None:
    ballot = state.ballots[event.step]
    step = state.steps[event.step]
    close_waits(state, event.step)
    step.granted_digest = ballot.request.digest
    state.grants[event.step] = Grant("approved", list(event.decided_by), list(event.controls), event.reason)
    state.controls.extend(control for control in event.controls if control not in state.controls)
    step.status = StepStatus.PLANNED
    if ballot.request.origin == "gate":
        state.ready[event.step] = None


def approval_rejected(state: State, event: e.ApprovalRejected, _: datetime) -> None:
    close_waits(state, event.step)
    state.grants[event.step] = Grant("rejected", list(event.decided_by), [], event.reason)
    words = f"rejected by {', '.join(event.decided_by)}" + (f": {event.reason}" if event.reason else "")
    step = state.steps[event.step]
    step.undecided = make_failure(event.step, FailureClass.REJECTED, words, type_name="ApprovalRejected")
    step.undecided_kind = "approval"
    state.undecided[event.step] = None


def approval_escalated(state: State, event: e.ApprovalEscalated, _: datetime) -> None:
    state.ballots[event.step].escalated = True
    state.dues.pop(f"escalate:{event.step}", None)


def approval_expired(state: State, event: e.ApprovalExpired, _: datetime) -> None:
    state.dues.pop(f"approval:{event.step}", None)
    state.dues.pop(f"escalate:{event.step}", None)
    if event.then != "grant":
        close_waits(state, event.step)
