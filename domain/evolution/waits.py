"""How waits and child workflows change the state."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.state import Effect, State, StepStatus, Wait, effect_key, wait_key


def wait_started(state: State, event: e.WaitStarted, at: datetime) -> None:
    state.waits[wait_key(event.step, event.reason)] = Wait(
        event.step,
        event.reason,
        at,
        name=event.name,
        correlation=event.correlation,
        due_at=event.due_at,
        on_timeout=event.on_timeout,
        detail=event.detail,
    )
    if event.due_at is not None:
        state.dues[f"wait:{event.step}"] = event.due_at
    step = state.steps.get(event.step)
    if step is not None:
        step.status = StepStatus.WAITING
        state.ready.pop(event.step, None)


def wait_ended(state: State, event: e.WaitSatisfied | e.WaitTimedOut, _: datetime) -> None:
    state.waits.pop(wait_key(event.step, event.reason), None)
    if event.step:
        state.dues.pop(f"wait:{event.step}", None)


def child_started(state: State, event: e.ChildStarted, at: datetime) -> None:
    step = state.steps[event.step]
    step.status = StepStatus.WAITING
    step.child = event.child_workflow
    state.ready.pop(event.step, None)
    state.waits[wait_key(event.step, "child")] = Wait(
        event.step, "child", at, name=event.child_workflow, due_at=event.due_at, on_timeout=event.on_timeout
    )
    if event.due_at is not None:
        state.dues[f"wait:{event.step}"] = event.due_at


def child_ended(state: State, event: e.ChildEnded, _: datetime) -> None:
    waiting = state.waits.get(wait_key(event.step, "child"))
    if waiting is not None and waiting.name == event.child_workflow:
        state.waits.pop(wait_key(event.step, "child"))
        state.dues.pop(f"wait:{event.step}", None)
    for undo in event.effects:
        key = effect_key(undo.step, undo.generation)
        state.effects.setdefault(key, Effect(undo))
        state.pivot_passed = state.pivot_passed or undo.compensation is None
