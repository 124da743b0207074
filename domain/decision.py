"""One decision under way: what a node may look at, and the moves that several nodes share.

Nodes are generators of events: each event is applied as it is yielded, so the node's next line sees the state after
it. They read the decision and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain import events as e
from domain.chain import digest_of
from domain.definitions import ActivityType, Definition
from domain.errors import DecisionFault
from domain.events import Event
from domain.facts import Facts
from domain.failures import Failure, FailureClass
from domain.ids import ARTIFACT_STEP, PLAN_STEP, idempotency_key, message_id
from domain.state import Live, State, StepState, Undoing
from domain.triggers import Given, Intervention, RecordDecision, Trigger

Events = Iterator[Event]


@dataclass(slots=True)
class Decision:
    """State, trigger with what it came with, definition (None where its version is not loaded), and facts.

    `since` is the version that the decision began at: what is newer, nobody has seen yet.
    """

    state: State
    given: Given
    definition: Definition | None
    facts: Facts
    since: int = 0

    @property
    def at(self) -> datetime:
        """The decision's time: the trigger's."""
        return self.given.at

    @property
    def trigger(self) -> Trigger:
        """The trigger."""
        return self.given.trigger

    @property
    def recipe(self) -> Definition:
        """The definition, where the node runs only with one."""
        if self.definition is None:
            raise DecisionFault("a node that needs the definition was asked without one")
        return self.definition

    def is_open(self, command: str) -> bool:
        """Whether nobody has claimed this command yet, so that it can be revoked."""
        return command in self.given.open_commands

    def is_running(self, live: Live) -> bool:
        """Whether somebody may be at work on the attempt: not where its command is open, or of this very decision."""
        return live.version <= self.since and not self.is_open(live.message_id)

    def revocable(self) -> tuple[str, ...]:
        """The live commands that nobody has claimed yet."""
        return tuple(sorted(command for command in self.state.live if self.is_open(command)))


def refuse(trigger: Trigger, reason: str) -> e.DecisionRefused:
    """The record of an act of a person that does not fit."""
    if isinstance(trigger, RecordDecision):
        return e.DecisionRefused(
            approval_id=trigger.approval_id, decided_by=trigger.decided_by, decision=trigger.decision, reason=reason
        )
    by = trigger.by if isinstance(trigger, Intervention) else ""
    act = str(getattr(trigger, "type", "")).split("_", maxsplit=1)[0]
    return e.DecisionRefused(approval_id=getattr(trigger, "step", ""), decided_by=by, decision=act, reason=reason)


def action_of(decision: Decision, step: StepState, step_input: Mapping[str, Any]) -> dict[str, Any]:
    """What an approver approves: the step's activity with its resolved input, under this definition."""
    planned = step.planned
    child = {"child": planned.child.definition} if planned is not None and planned.child is not None else {}
    return {
        "workflow": decision.state.workflow_id,
        "definition": decision.state.definition,
        "definition_version": decision.state.definition_version,
        "step": step.id,
        "activity": planned.activity if planned is not None else None,
        "generation": step.generation,
        "input": dict(step_input),
        **child,
    }


def action_digest(action: Mapping[str, Any], *, round_number: int, policy: str, policy_version: str) -> str:
    """Digest that a decision quotes; it covers the action, the round and the policy."""
    return digest_of({"action": action, "round": round_number, "policy": policy, "policy_version": policy_version})


def activity_of(decision: Decision, step: StepState) -> ActivityType:
    """The activity type that a step (the engine's own included) runs."""
    recipe = decision.recipe
    declared: ActivityType | None
    if step.id == PLAN_STEP:
        declared = recipe.planner
    elif step.id == ARTIFACT_STEP:
        declared = recipe.artifact
    else:
        declared = recipe.activity_of(step.id, step.planned.activity or "") if step.planned is not None else None
    if declared is None:
        raise DecisionFault(f"step {step.id!r} runs no activity")
    return declared


MAY_HAVE_RUN: Final = "the store was put back from a backup: it may have run in the time that was lost"
"""Why a `once` activity is not run before a probe, or a person, has looked."""

BUDGETED: Final = frozenset({"run", "plan"})
"""Kinds of attempts that a workflow's budget is for; undoing, probing and the artifact are never left undone for it."""


def budget_is_used(decision: Decision) -> bool:
    """Whether all attempts that the workflow may make have been made."""
    budget = decision.recipe.attempts_budget
    return budget is not None and decision.state.attempts >= budget + decision.state.budget_extra


def wait_for_budget(decision: Decision) -> Events:
    """Wait for a person to allow further attempts."""
    if ":budget" not in decision.state.waits:
        total = (decision.recipe.attempts_budget or 0) + decision.state.budget_extra
        yield e.WaitStarted(step="", reason="budget", detail=f"all {total} attempts of the budget are used")


def schedule_attempt(
    decision: Decision,
    step: StepState | Undoing,
    declared: ActivityType,
    kind: e.AttemptKind,
    attempt_input: dict[str, Any],
    *,
    action: str | None = None,
    key: str | None = None,
) -> Events:
    """Schedule one attempt; where the workflow's budget is used up, wait for a person instead."""
    state = decision.state
    if kind in BUDGETED and budget_is_used(decision):
        yield from wait_for_budget(decision)
        return
    step_id = step.step if isinstance(step, Undoing) else step.id
    number = state.next_number(step_id)
    # A probe's time runs from when it is asked: the attempt that it asks about may have used up the step's own.
    first = decision.at if kind == "probe" else step.first_scheduled_at or decision.at
    yield e.StepScheduled(
        step=step_id,
        kind=kind,
        attempt=number,
        message_id=message_id(state.workflow_id, step_id, kind, number),
        generation=step.generation,
        activity=declared.name,
        queue=declared.queue,
        input=attempt_input,
        action_digest=action,
        expires_at=first + declared.schedule_to_finish,
        effect=declared.effect,
        compensation=declared.compensation,
        pivot=declared.pivot,
        key=key or idempotency_key(state.workflow_id, step_id, kind, step.generation),
        redactable=tuple([f"/input{pointer}" for pointer in marked]) if (marked := declared.redactable_input) else (),
    )


def begin_stopping(
    decision: Decision,
    *,
    why: Any,
    reason: str,
    compensate: bool = True,
    step: str | None = None,
    failure: Failure | None = None,
    by: str | None = None,
) -> Events:
    """Schedule nothing new: revoke what nobody has claimed, ask children to stop, and wait for the rest."""
    state = decision.state
    if state.stopping is not None:
        return
    yield e.StoppingBegan(
        why=why,
        reason=reason,
        compensate=compensate,
        step=step,
        failure=failure,
        by=by,
        revoked=decision.revocable(),
        children=tuple(sorted(wait.name for wait in state.waits.values() if wait.reason == "child" and wait.name)),
    )


def fail_step(decision: Decision, step_id: str, failure: Failure, *, person: str | None = None) -> Events:
    """A step has failed for good: record it, then what it means for the workflow."""
    yield e.StepFailed(step=step_id, failure=failure)
    yield from consequence(decision, step_id, failure, person=person)


def consequence(decision: Decision, step_id: str, failure: Failure, *, person: str | None = None) -> Events:
    """What a failed step means: the workflow stops and undoes itself, or a person must say how it goes on.

    A person is asked where going back is no way (a pivot was passed), where the failure is a bug, where the caller
    says so, and where the definition prefers it.
    """
    state = decision.state
    if state.stopping is not None:
        return
    if person is None and failure.kind is FailureClass.BUG:
        person = f"{failure.type}: {failure.message}"
    if person is None and state.pivot_passed:
        person = f"a step that cannot be undone has been passed; {failure.kind.value}: {failure.message}"
    if person is None and decision.recipe.on_failure == "intervene":
        person = f"{failure.kind.value}: {failure.message}"
    if person is not None:
        yield e.InterventionRequested(step=step_id, reason=person[:2_000])
        return
    reason = f"step {step_id} failed: {failure.message}"
    yield from begin_stopping(decision, why="failed", reason=reason[:2_000], step=step_id, failure=failure)
