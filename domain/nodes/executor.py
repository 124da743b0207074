"""The executor node: takes steps whose turn has come to where they are under way.

A step that does something (an activity, a child workflow) passes the gate, has its approval where one is needed, and
becomes a scheduled attempt or a child; a wait begins. Parallelism is bounded by the definition.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain import events as e
from domain.decision import (
    MAY_HAVE_RUN,
    Decision,
    Events,
    action_digest,
    action_of,
    activity_of,
    budget_is_used,
    consequence,
    fail_step,
    schedule_attempt,
    wait_for_budget,
)
from domain.definitions import ActivityType
from domain.facts import FactFailed, resolve
from domain.failures import Failure, FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP, child_workflow_id
from domain.nodes import approval_wait, planner, policy_gate
from domain.plan import ChildSpec, SignalWait, TimeWait
from domain.state import UNDER_WAY, State, StepState


def schedule_ready(decision: Decision) -> Events:
    """Set every step under way whose turn has come, as far as the bound on parallel attempts allows."""
    state = decision.state
    # Counted anew each time: a step that is doubted as it begins keeps its place for the attempt to come.
    while state.ready and state.stopping is None and len(state.live) + _kept(state) < decision.recipe.parallel:
        step = state.steps[next(iter(state.ready))]
        if ":budget" in state.waits:
            return
        yield from begin(decision, step)


def _kept(state: State) -> int:
    """How many places are kept for attempts to come: of steps not judged yet, in backoff, or unknown in outcome."""
    kept = len(state.undecided)
    if state.dues:
        kept += sum(key.startswith(UNDER_WAY) for key in state.dues)
    return kept + sum(wait.reason == "outcome_unknown" for wait in state.waits.values()) if state.waits else kept


def begin(decision: Decision, step: StepState) -> Events:
    """Set one step under way."""
    planned = step.planned
    if planned is None or planned.activity is not None:
        yield from attempt(decision, step)
    elif planned.wait_time is not None:
        yield from _wait_for_time(decision, step, planned.wait_time)
    elif planned.wait_signal is not None:
        yield from _wait_for_signal(decision, step, planned.wait_signal)
    elif planned.child is not None:
        yield from _start_child(decision, step, planned.child)


def attempt(decision: Decision, step: StepState) -> Events:
    """Schedule the next attempt of an activity step, with the approval that it needs."""
    if step.id == PLAN_STEP:
        yield from planner.ask(decision)
        return
    declared = activity_of(decision, step)
    if step.id == ARTIFACT_STEP:
        yield from schedule_attempt(decision, step, declared, "artifact", step.input or {})
        return
    if budget_is_used(decision):  # before author code computes an input that no event would hold
        yield from wait_for_budget(decision)
        return
    step_input = step.input
    if step_input is None and step.planned is not None:
        try:
            step_input = decision.facts.input_of(decision.recipe, decision.state, step.planned)
        except FactFailed as error:
            yield from fail_step(decision, step.id, _unfit(declared.name, error))
            return
    step_input = step_input or {}
    cleared = yield from _clear(decision, step, step_input)
    if cleared is None:
        return
    yield from schedule_attempt(decision, step, declared, "run", step_input, action=cleared.digest)
    if declared.effect == "once" and decision.state.doubted and step.cleared < step.generation:
        yield from _doubt(decision, step, declared)


def _doubt(decision: Decision, step: StepState, declared: ActivityType) -> Events:
    """Take back what was just scheduled: the record has its input and key now, and it is asked whether it has run."""
    if step.live is None:
        return
    yield e.OutcomeUnknown(
        step=step.id,
        attempt=step.live.attempt,
        reason=MAY_HAVE_RUN,
        probe_due_at=decision.at + declared.settle_after if declared.reconcile is not None else None,
        revoked=(step.live.message_id,),
    )


def _unfit(activity: str, error: FactFailed) -> Failure:
    return make_failure(activity, FailureClass.INVALID, str(error), type_name="FactFailed")


@dataclass(frozen=True, slots=True)
class Cleared:
    """The step may be set under way; `digest` is that of the action, where a grant stood for it."""

    digest: str | None = None


def _clear(
    decision: Decision, step: StepState, step_input: Mapping[str, Any]
) -> Generator[e.Event, None, Cleared | None]:
    """Take a step past the gate and its approval; None where it is denied, or where a person must decide first."""
    name = step.planned.activity or step.id if step.planned is not None else step.id
    try:
        yield from policy_gate.evaluate(decision, step, step_input)
    except FactFailed as error:
        yield from fail_step(decision, step.id, _unfit(name, error))
        return None
    if step.gate == "deny":
        words = step.gate_reason or "denied by policy"
        failure = make_failure(name, FailureClass.REJECTED, words, type_name="PolicyDenied")
        yield from fail_step(decision, step.id, failure)
        return None
    policy_name = policy_gate.approval_needed(decision, step)
    if policy_name is None:
        return Cleared()
    policy = decision.recipe.approval_policy(policy_name if policy_name in decision.recipe.approvals else None)
    digest = action_digest(
        action_of(decision, step, step_input),
        round_number=step.rounds,
        policy=policy.name,
        policy_version=policy.version,
    )
    if step.granted_digest == digest:
        return Cleared(digest)
    reason = step.gate_reason if step.gate == "require_approval" else ""
    yield from approval_wait.request(
        decision, step, policy, origin="gate", step_input=step_input, reason=reason or "manual approval"
    )
    return None


def _deadline_of(decision: Decision, step: StepState) -> datetime | None:
    planned = step.planned
    return decision.at + planned.timeout if planned is not None and planned.timeout is not None else None


def _wait_for_time(decision: Decision, step: StepState, wait: TimeWait) -> Events:
    due_at = wait.until if wait.until is not None else decision.at + (wait.duration or timedelta(0))
    yield e.WaitStarted(step=step.id, reason="time", due_at=due_at)


def _wait_for_signal(decision: Decision, step: StepState, wait: SignalWait) -> Events:
    correlation: Any = resolve(wait.correlation, decision.state)
    if not isinstance(correlation, str | int) or correlation == "":
        words = f"the correlation of signal {wait.name!r} resolves to {correlation!r}; it must be a text or a number"
        yield from fail_step(
            decision, step.id, make_failure(step.id, FailureClass.INVALID, words, type_name="SignalInvalid")
        )
        return
    yield e.WaitStarted(
        step=step.id,
        reason="signal",
        name=wait.name,
        correlation=str(correlation),
        due_at=_deadline_of(decision, step),
        on_timeout=step.planned.on_timeout if step.planned is not None else None,
    )


def _start_child(decision: Decision, step: StepState, child: ChildSpec) -> Events:
    given: Any = step.input if step.input is not None else resolve(child.input, decision.state)
    if not isinstance(given, dict):
        words = f"the input of the child of step {step.id!r} must be an object, is {type(given).__name__}"
        yield from fail_step(decision, step.id, _unfit(step.id, FactFailed(words)))
        return
    cleared = yield from _clear(decision, step, given)
    if cleared is None:
        return
    yield e.ChildStarted(
        step=step.id,
        child_workflow=child_workflow_id(decision.state.workflow_id, step.id, step.generation),
        definition=child.definition,
        goal=child.goal if child.goal is not None else decision.state.goal,
        input=given,
        generation=step.generation,
        due_at=_deadline_of(decision, step),
        on_timeout=step.planned.on_timeout if step.planned is not None else None,
        doubted=decision.state.doubted or None,
    )


def expire_open(decision: Decision) -> Events:
    """Steps whose schedule-to-finish time-out has passed while nobody had claimed their command.

    A claimed attempt is left to its worker, which stops it at the same instant and reports.
    """
    state = decision.state
    for command, key in list(state.live.items()):
        step = state.steps.get(key)
        if step is None or step.live is None or step.live.expires_at > decision.at or not decision.is_open(command):
            continue
        yield from time_out(decision, step, step.live.kind, due_at=step.live.expires_at, revoked=(command,))


def time_out(
    decision: Decision, step: StepState, kind: e.AttemptKind, *, due_at: datetime, revoked: tuple[str, ...] = ()
) -> Events:
    """A step ran out of its schedule-to-finish time-out: record it, then what it means."""
    live = step.live
    yield e.StepTimedOut(
        step=step.id,
        kind=kind,
        attempt=live.attempt if live is not None else decision.state.numbers.get(step.id, 0),
        due_at=due_at,
        revoked=revoked,
    )
    if kind == "probe":
        return
    failure = make_failure(step.id, FailureClass.TIMEOUT, "schedule-to-finish time-out", type_name="StepTimedOut")
    yield from consequence(decision, step.id, failure)
