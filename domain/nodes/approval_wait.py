"""The approval wait node: blocks, durably, with everything an approver needs, and counts their decisions.

A decision quotes the approval, its round and its digest. Votes count only within their round, one a person. What does
not fit is refused and recorded. The order of the checks is part of the record: it decides which reason is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import events as e
from domain.decision import (
    Decision,
    Events,
    action_digest,
    action_of,
    activity_of,
    fail_step,
    refuse,
)
from domain.failures import FailureClass, make_failure
from domain.ids import approval_id
from domain.plan import sources
from domain.policies import ANYONE, ApprovalPolicy
from domain.state import Ballot, State, StepState
from domain.triggers import Answer, RecordDecision

EXPIRY = "policy:expiry"
"""Who granted where the policy lets the deadline grant."""


def request(
    decision: Decision,
    step: StepState,
    policy: ApprovalPolicy,
    *,
    origin: Any,
    step_input: Mapping[str, Any],
    reason: str,
    answer: Answer | None = None,
    attempt: int | None = None,
) -> Events:
    """Open a round: say what is to be approved, by whom, until when, and who may not."""
    action = action_of(decision, step, step_input)
    if answer is not None:
        action["answer"] = answer.model_dump(mode="json")
    number = step.rounds + 1
    proposed = answer.controls if answer is not None and answer.controls else policy.proposed_controls
    output = None
    if answer is not None:
        output = answer.output if answer.output is not None else answer.evidence
    yield e.ApprovalRequested(
        step=step.id,
        approval_id=approval_id(step.id, number),
        round=number,
        origin=origin,
        digest=action_digest(action, round_number=number, policy=policy.name, policy_version=policy.version),
        policy=policy.name,
        policy_version=policy.version,
        required=policy.required,
        rejections=policy.rejections,
        approvers=policy.approvers,
        four_eyes=policy.four_eyes,
        action=action,
        reason=reason,
        evidence=answer.evidence if answer is not None else {},
        proposed_controls=proposed,
        output=output,
        barred=barred(decision, step) if policy.four_eyes else (),
        deadline_at=decision.at + policy.deadline if policy.deadline is not None else None,
        escalate_at=decision.at + policy.escalate_after if policy.escalate_after is not None else None,
        escalate_to=policy.escalate_to,
        on_expiry=policy.on_expiry,
        attempt=attempt,
    )


def barred(decision: Decision, step: StepState) -> tuple[str, ...]:
    """Four eyes: the requester, and whoever intervened on this step, on what it comes after or on its inputs' sources.

    Of a fork, whoever asked for what it was forked from is a requester too. An input that author code computes may
    come from any step.
    """
    state = decision.state
    people = {state.requested_by, *state.asked_before}
    if not state.intervened:
        return tuple(sorted(people))
    seen: set[str] = set()
    todo = [step.id]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        people.update(state.intervened.get(name, ()))
        todo.extend(state.intervened if name in decision.recipe.inputs else _sources(state, name))
    return tuple(sorted(people))


def _sources(state: State, name: str) -> tuple[str, ...]:
    settled = state.settled.get(name)
    if settled is not None:
        return settled.after
    step = state.steps.get(name)
    return sources(step.planned, state.knows) if step is not None and step.planned is not None else ()


def decide(decision: Decision) -> Events:
    """Count a person's decision, or refuse and record it."""
    trigger = decision.trigger
    if not isinstance(trigger, RecordDecision):
        raise TypeError(type(trigger).__name__)
    ballot = _ballot(decision.state, trigger)
    reason = _why_not(decision, trigger, ballot)
    if reason is not None or ballot is None:
        yield refuse(trigger, reason or "there is no such approval")
        return
    asked = ballot.request
    yield e.ApprovalRecorded(
        step=asked.step,
        round=asked.round,
        decision=trigger.decision,
        decided_by=trigger.decided_by,
        reason=trigger.reason,
        controls=trigger.controls,
    )
    if len(ballot.rejections) >= asked.rejections:
        yield _reject(ballot)
    elif len(ballot.grants) >= asked.required:
        controls = tuple(ballot.controls) or asked.proposed_controls
        yield from _grant(decision, ballot, tuple(ballot.grants), controls)


def _ballot(state: State, trigger: RecordDecision) -> Ballot | None:
    return next((one for one in state.ballots.values() if one.request.approval_id == trigger.approval_id), None)


def _why_not(decision: Decision, trigger: RecordDecision, ballot: Ballot | None) -> str | None:
    """Why the decision does not count, or None where it does."""
    state = decision.state
    if ballot is None:
        return _why_no_ballot(state, trigger)
    asked = ballot.request
    people = asked.approvers + (asked.escalate_to if ballot.escalated else ())
    checks = (
        (trigger.round != asked.round, f"it quotes round {trigger.round}; round {asked.round} is open"),
        (
            trigger.digest != asked.digest,
            f"it quotes digest {trigger.digest[:12]}; the action's is {asked.digest[:12]}: look at it again",
        ),
        (
            asked.deadline_at is not None and decision.at >= asked.deadline_at,
            f"it comes after the deadline ({asked.deadline_at:%Y-%m-%d %H:%M:%S%z})" if asked.deadline_at else "",
        ),
        (ANYONE not in people and trigger.decided_by not in people, f"{trigger.decided_by} may not decide this"),
        (
            trigger.decided_by in asked.barred,
            f"{trigger.decided_by} asked for it or intervened on it; four eyes are needed",
        ),
        (
            trigger.decided_by in ballot.grants or trigger.decided_by in ballot.rejections,
            f"{trigger.decided_by} has already decided in this round",
        ),
    )
    return next((reason for fits, reason in checks if fits), None)


def _why_no_ballot(state: State, trigger: RecordDecision) -> str:
    step = trigger.approval_id.rpartition(".")[0]
    if state.ended is not None:
        return f"the workflow is {state.ended}"
    if state.stopping is not None:
        return "the workflow is stopping"
    if step in state.grants:
        return f"it was already {state.grants[step].decision}"
    hot = state.steps.get(step)
    if hot is not None and hot.rounds:
        return f"round {trigger.round} is closed"
    return "there is no such approval"


def _grant(decision: Decision, ballot: Ballot, people: tuple[str, ...], controls: tuple[str, ...]) -> Events:
    asked = ballot.request
    reason = "; ".join(ballot.reasons)[:2_000]
    yield e.ApprovalGranted(step=asked.step, round=asked.round, decided_by=people, controls=controls, reason=reason)
    if asked.origin == "activity":
        declared = activity_of(decision, decision.state.steps[asked.step])
        yield e.StepSucceeded(
            step=asked.step,
            attempt=asked.attempt or 0,
            output=asked.output,
            granted=True,
            redactable=tuple(f"/output{pointer}" for pointer in declared.redactable_output),
        )


def _reject(ballot: Ballot) -> e.ApprovalRejected:
    """What follows from a rejection is judged like a failed attempt: later, where the workflow is paused."""
    asked = ballot.request
    reason = "; ".join(ballot.reasons)[:1_000]
    return e.ApprovalRejected(step=asked.step, round=asked.round, decided_by=tuple(ballot.rejections), reason=reason)


def escalate(ballot: Ballot) -> Events:
    """Nobody decided in time: let further people decide."""
    asked = ballot.request
    if asked.escalate_at is not None:
        yield e.ApprovalEscalated(
            step=asked.step, round=asked.round, escalate_to=asked.escalate_to, due_at=asked.escalate_at
        )


def expire(decision: Decision, ballot: Ballot) -> Events:
    """The deadline has passed: reject, ask an operator, or grant, as the policy says."""
    asked = ballot.request
    if asked.deadline_at is None:
        return
    yield e.ApprovalExpired(step=asked.step, round=asked.round, due_at=asked.deadline_at, then=asked.on_expiry)
    if asked.on_expiry == "grant":
        yield from _grant(decision, ballot, (EXPIRY,), asked.proposed_controls)
        return
    failure = make_failure(
        asked.step, FailureClass.REJECTED, "nobody decided before the deadline", type_name="ApprovalExpired"
    )
    person = "nobody decided before the deadline" if asked.on_expiry == "intervene" else None
    yield from fail_step(decision, asked.step, failure, person=person)
