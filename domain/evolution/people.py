"""How the acts of operators change the state."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.evolution.moves import back_to_planned, close_waits, list_effect, revoke
from domain.failures import FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.state import State, StepStatus, Wait, wait_key


def intervention_requested(state: State, event: e.InterventionRequested, at: datetime) -> None:
    state.waits[wait_key(event.step, "intervention")] = Wait(event.step, "intervention", at, detail=event.reason)


def intervention_applied(state: State, event: e.InterventionApplied, _: datetime) -> None:
    revoke(state, event.revoked)
    state.waits.pop(wait_key(event.step, "intervention"), None)
    if event.act == "extend":
        state.budget_extra += event.attempts or 0
        state.waits.pop(wait_key("", "budget"), None)
        return
    people = state.intervened.setdefault(event.step, [])
    if event.by not in people:
        people.append(event.by)
    if event.act == "retry":
        _retry_again(state, event)


def _retry_again(state: State, event: e.InterventionApplied) -> None:
    undoing = state.undoing
    if undoing is not None and undoing.step == event.step:
        undoing.failed, undoing.tries, undoing.lapses, undoing.undecided = False, 0, 0, None
        undoing.first_scheduled_at = None
        undoing.cleared = True
        return
    step = state.steps.get(event.step)
    if step is None:
        return
    close_waits(state, event.step)
    step.tries = step.lapses = step.probe_tries = 0
    step.first_scheduled_at = step.undecided = step.unknown_attempt = None
    step.status = StepStatus.PLANNED
    if step.child is not None:  # the child has ended, under its own id: another try is another child
        step.generation += 1
    if event.input is not None:
        step.generation += step.child is None
        step.input = event.input
        step.gate = step.gate_approval = step.granted_digest = None
    step.child = None
    if event.step not in (PLAN_STEP, ARTIFACT_STEP):
        state.ready[event.step] = None


def workflow_paused(state: State, event: e.WorkflowPaused, at: datetime) -> None:
    state.paused = True
    for key in revoke(state, event.revoked):
        if back_to_planned(state, key, at) and key not in (PLAN_STEP, ARTIFACT_STEP):
            state.ready[key] = None


def workflow_resumed(state: State, _event: e.WorkflowResumed, _: datetime) -> None:
    state.paused = False


def workflow_restored(state: State, event: e.WorkflowRestored, at: datetime) -> None:
    """Doubt what has not settled: what was under way runs again, or is unknown where it may run but once."""
    state.epoch = event.epoch
    state.doubted = True
    for step in state.steps.values():
        step.cleared = 0
    if state.undoing is not None:
        state.undoing.cleared = False
    running = {key for key in state.live.values() if _runs(state, key)}
    for key in revoke(state, event.ended):
        if key in running:
            list_effect(state, state.steps[key])
        is_planned = back_to_planned(state, key, at)
        if key in running and state.steps[key].effect == "once":
            _unproven(state, key)
        elif is_planned and key not in (PLAN_STEP, ARTIFACT_STEP):
            state.ready[key] = None


def _runs(state: State, key: str) -> bool:
    step = state.steps.get(key)
    return step is not None and step.live is not None and step.live.kind == "run"


def _unproven(state: State, key: str) -> None:
    step = state.steps[key]
    words = "the store was put back from a backup while it was under way"
    step.undecided = step.last_failure = make_failure(
        key, FailureClass.OUTCOME_UNKNOWN, words, type_name="StoreRestored"
    )
    step.undecided_kind = "run"
    state.undecided[key] = None
