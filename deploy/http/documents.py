"""What the endpoint shows, as JSON documents: an approval with all that a person needs to decide, and a workflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from deploy.cli.pending import Place, pendings, step_statuses
from deploy.cli.standing import iso, standing
from deploy.http.desk import Answer, PendingApproval
from deploy.roles import Role
from deploy.tokens import Bearer
from domain.ids import attempts_made
from domain.policies import ANYONE
from domain.state import Ballot, State


def approval_document(one: PendingApproval, bearer: Bearer) -> dict[str, Any]:
    """An open approval. What is approved is the `action` with its resolved input; a decision quotes `digest`."""
    state, asked = one.state, one.ballot.request
    why_not = why_not_decide(one.ballot, bearer)
    return {
        "workflow_id": state.workflow_id,
        "approval_id": asked.approval_id,
        "step": asked.step,
        "round": asked.round,
        "digest": asked.digest,
        "reason": asked.reason,
        "origin": asked.origin,
        "goal": state.goal,
        "definition": state.definition,
        "definition_version": state.definition_version,
        "requested_by": state.requested_by,
        "tags": state.tags,
        "since": iso(one.wait.since if one.wait is not None else None),
        "action": asked.action,
        "input": asked.action.get("input"),
        "evidence": asked.evidence,
        "proposed_controls": list(asked.proposed_controls),
        "policy": {
            "name": asked.policy,
            "version": asked.policy_version,
            "approvers": list(asked.approvers),
            "required": asked.required,
            "rejections": asked.rejections,
            "four_eyes": asked.four_eyes,
            "barred": list(asked.barred),
            "deadline_at": iso(asked.deadline_at),
            "on_expiry": asked.on_expiry,
            "escalate_at": iso(asked.escalate_at),
            "escalate_to": list(asked.escalate_to),
            "escalated": one.ballot.escalated,
        },
        "votes": {
            "approved_by": list(one.ballot.grants),
            "rejected_by": list(one.ballot.rejections),
            "controls": list(one.ballot.controls),
            "reasons": list(one.ballot.reasons),
        },
        "deadline_at": iso(asked.deadline_at),
        "you": {"name": bearer.name, "may_decide": why_not is None, "why_not": why_not},
        "decide": approval_path(state.workflow_id, asked.approval_id),
    }


def why_not_decide(ballot: Ballot, bearer: Bearer) -> str | None:
    """Why this bearer's decision would not count; None where it would, as things stand. The engine has the last word.

    Deadlines are left out: only the engine's clock knows.
    """
    asked, who = ballot.request, bearer.name
    people = (*asked.approvers, *(asked.escalate_to if ballot.escalated else ()))
    checks = (
        (Role.APPROVER not in bearer.roles, "the token has not the role approver"),
        (ANYONE not in people and who not in people, "the policy names others"),
        (who in asked.barred, "asked for it or intervened on it; four eyes are needed"),
        (who in (*ballot.grants, *ballot.rejections), "has already decided in this round"),
    )
    return next((why for fits, why in checks if fits), None)


def workflow_document(state: State) -> dict[str, Any]:
    """Where a workflow stands. Outputs of steps are left out: there may be very many, and `handrail show` has them."""
    return {
        "workflow_id": state.workflow_id,
        "ended": state.ended is not None,
        **standing(state),
        "steps": list(_steps(state)),
        "waits": list(_waits(state)),
    }


def answer_document(answer: Answer) -> dict[str, Any]:
    """What became of an act that was not refused."""
    return {
        "workflow_id": answer.workflow_id,
        "outcome": answer.outcome,
        "effect": answer.effect or None,
        "note": answer.reason or None,
        "status": answer.status or None,
        "version": answer.version or None,
        "repeated": answer.repeated,
        "workflow": workflow_path(answer.workflow_id),
    }


def workflow_path(workflow_id: str) -> str:
    """Where a workflow is looked at."""
    return f"/workflows/{quote(workflow_id, safe='')}"


def approval_path(workflow_id: str, approval_id: str) -> str:
    """Where an approval is decided."""
    return f"{workflow_path(workflow_id)}/approvals/{quote(approval_id, safe='')}"


def _steps(state: State) -> Iterator[dict[str, Any]]:
    for name, status in step_statuses(state):
        hot, settled = state.steps.get(name), state.settled.get(name)
        activity, failure = None, None
        if settled is not None:
            activity, failure = settled.activity, settled.failure
        elif hot is not None:
            activity = hot.planned.activity if hot.planned is not None else None
            failure = f"{hot.last_failure.kind}: {hot.last_failure.message}" if hot.last_failure else None
        grant = state.grants.get(name)
        yield {
            "step": name,
            "status": str(status),
            "activity": activity,
            "attempts": attempts_made(state.numbers.get(name, 0)),
            "failure": failure,
            "retry_at": iso(state.dues.get(f"retry:{name}")),
            "decision": None
            if grant is None
            else {"decision": grant.decision, "decided_by": grant.decided_by, "controls": grant.controls},
        }


def _waits(state: State) -> Iterator[dict[str, Any]]:
    for one in pendings(state, Place()):
        ballot = state.ballots.get(one.step) if one.reason == "approval" else None
        yield {
            "step": one.step,
            "reason": one.reason,
            "detail": one.detail,
            "since": iso(one.since),
            "due_at": iso(one.due_at),
            "needs_person": one.needs_person,
            "approval_id": None if ballot is None else ballot.request.approval_id,
            "digest": None if ballot is None else ballot.request.digest,
        }
