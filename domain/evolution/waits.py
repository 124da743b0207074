"""How waits and child workflows change the state."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.failures import FailureClass, make_failure
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


def wait_ended(state: State, event: e.WaitSatisfied | e.WaitTimedOut, at: datetime) -> None:
    ended = state.waits.pop(wait_key(event.step, event.reason), None)
    if event.step:
        state.dues.pop(f"wait:{event.step}", None)
    if ended is not None and isinstance(event, e.WaitTimedOut) and event.child_workflow is not None:
        # The step goes on without its child; the workflow does not end without it: it may leave effects.
        state.waits[wait_key(event.child_workflow, "child")] = Wait(
            event.step, "child", at, name=event.child_workflow, detail="out of time", generation=ended.generation
        )


def child_started(state: State, event: e.ChildStarted, at: datetime) -> None:
    step = state.steps[event.step]
    step.status = StepStatus.WAITING
    step.child = event.child_workflow
    state.ready.pop(event.step, None)
    state.waits[wait_key(event.step, "child")] = Wait(
        event.step,
        "child",
        at,
        name=event.child_workflow,
        due_at=event.due_at,
        on_timeout=event.on_timeout,
        generation=event.generation,
    )
    if event.due_at is not None:
        state.dues[f"wait:{event.step}"] = event.due_at


def child_ended(state: State, event: e.ChildEnded, _: datetime) -> None:
    for undo in event.effects:
        state.effects.setdefault(effect_key(undo.step, undo.generation), Effect(undo))
        state.pivot_passed = state.pivot_passed or undo.compensation is None
    given_up = state.waits.pop(wait_key(event.child_workflow, "child"), None)
    if given_up is not None:
        return
    state.waits.pop(wait_key(event.step, "child"), None)
    state.dues.pop(f"wait:{event.step}", None)
    if event.status != "completed":
        words = f"child workflow {event.child_workflow} {event.status}: {event.reason}"
        step = state.steps[event.step]
        step.undecided = make_failure(event.step, FailureClass.PERMANENT, words, type_name="ChildFailed")
        step.undecided_kind = "child"
        state.undecided[event.step] = None
