"""How stopping, undoing and the end change the state."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.evolution.moves import back_to_planned, end_live, revoke
from domain.state import UNDO, State, StepStatus, Stopping, Undoing, effect_key, wait_key


def stopping_began(state: State, event: e.StoppingBegan, at: datetime) -> None:
    """Nothing new is scheduled: what only waited is given up; unknown outcomes and children are still waited for."""
    state.stopping = Stopping(event.why, event.reason, event.compensate, event.failure, event.step)
    state.paused = False
    state.planning = False
    state.finalizing = False
    state.ready.clear()
    state.ballots.clear()
    state.waits = {key: wait for key, wait in state.waits.items() if wait.reason in {"outcome_unknown", "child"}}
    state.dues = {key: due for key, due in state.dues.items() if key.startswith("probe:")}
    for key in revoke(state, event.revoked):
        back_to_planned(state, key, at)


def compensation_started(state: State, _event: e.CompensationStarted, _: datetime) -> None:
    state.compensating = True


def compensation_scheduled(state: State, event: e.CompensationScheduled, _: datetime) -> None:
    state.undoing = Undoing(event.step, event.generation, event.activity, event.input, event.key)


def step_compensated(state: State, event: e.StepCompensated, _: datetime) -> None:
    end_live(state, UNDO)
    state.undoing = None
    state.undecided.pop(UNDO, None)
    state.dues.pop(f"retry:{UNDO}", None)
    state.waits.pop(wait_key(event.step, "intervention"), None)
    effect = state.effects.get(effect_key(event.step, event.generation))
    if effect is not None:
        effect.state = "undone" if event.accepted_by is None else "kept"
    if event.accepted_by is None:
        if event.step in state.settled:
            state.settled[event.step].status = StepStatus.COMPENSATED
        elif event.step in state.steps:
            state.steps[event.step].status = StepStatus.COMPENSATED


def compensation_failed(state: State, _event: e.CompensationFailed, _: datetime) -> None:
    state.undecided.pop(UNDO, None)
    state.dues.pop(f"retry:{UNDO}", None)
    if state.undoing is not None:
        state.undoing.undecided = None
        state.undoing.failed = True


def _end(state: State, status: str, reason: str, at: datetime) -> None:
    state.ended = status
    state.ended_reason = reason
    state.ended_at = at
    state.waits.clear()
    state.dues.clear()
    state.finalizing = False


def workflow_completed(state: State, _event: e.WorkflowCompleted, at: datetime) -> None:
    _end(state, "completed", "", at)


def workflow_failed(state: State, event: e.WorkflowFailed, at: datetime) -> None:
    _end(state, "failed", event.reason, at)


def workflow_cancelled(state: State, event: e.WorkflowCancelled, at: datetime) -> None:
    _end(state, "cancelled", event.reason, at)


def workflow_compensated(state: State, event: e.WorkflowCompensated, at: datetime) -> None:
    _end(state, "compensated", event.reason, at)
