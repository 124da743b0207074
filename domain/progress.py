"""Going on: what fell due, in the order of its due instants, and whatever can be decided without being asked."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from domain import events as e
from domain.decision import Decision, Events, begin_stopping, consequence, schedule_attempt
from domain.failures import FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.nodes import approval_wait, compensator, executor, finalizer, judgement, observer, planner
from domain.state import UNDO, State, StepStatus, wait_key

MISSING: Final = wait_key("", "definition")
"""Key of the wait for the definition's version to be loaded."""


def catch_up(decision: Decision) -> Events:
    """What comes before the trigger: the definition is there again, and what fell due until now."""
    if MISSING in decision.state.waits:
        yield e.WaitSatisfied(step="", reason="definition")
    yield from fall_due(decision)


def fall_due(decision: Decision) -> Events:
    """Decide all that fell due before the trigger came, in the order of the due instants.

    What cannot go on now (a retry without budget) stays due, and holds up nothing else.
    """
    state = decision.state
    held: set[str] = set()
    while state.ended is None and not state.paused and len(state.dues) > len(held):
        due_at, key = min((due_at, key) for key, due_at in state.dues.items() if key not in held)
        if due_at > decision.at:
            return
        version = state.version
        kind, _, step_id = key.partition(":")
        yield from _due(decision, kind, step_id, due_at)
        if state.version == version:
            held.add(key)


def _due(decision: Decision, kind: str, step_id: str, due_at: datetime) -> Events:
    state = decision.state
    if kind == "deadline":
        failure = make_failure("workflow", FailureClass.TIMEOUT, "the workflow's deadline", type_name="DeadlinePassed")
        yield from begin_stopping(decision, why="deadline", reason="the deadline has passed", failure=failure)
    elif kind == "retry":
        if step_id == UNDO:
            yield from compensator.attempt(decision)
        else:
            yield from executor.attempt(decision, state.steps[step_id])
    elif kind == "probe":
        yield from _probe(decision, step_id)
    elif kind == "approval":
        yield from approval_wait.expire(decision, state.ballots[step_id])
    elif kind == "escalate":
        yield from approval_wait.escalate(state.ballots[step_id])
    else:
        yield from _wait_over(decision, step_id, due_at)


def _probe(decision: Decision, step_id: str) -> Events:
    state = decision.state
    step = state.steps[step_id]
    declared = decision.recipe.activities[step.planned.activity or ""] if step.planned is not None else None
    probe = decision.recipe.activities.get(declared.reconcile or "") if declared is not None else None
    if step.heard is not None:
        yield from observer.settle_heard(decision, step)
    elif probe is not None and step.live is None:
        given = {"input": step.input or {}, "idempotency_key": step.key}
        yield from schedule_attempt(decision, step, probe, "probe", given, key=step.key)


def _wait_over(decision: Decision, step_id: str, due_at: datetime) -> Events:
    """A wait for a time is over; a wait for a signal or a child has run out of time."""
    state = decision.state
    if wait_key(step_id, "time") in state.waits:
        yield e.WaitSatisfied(step=step_id, reason="time")
        yield e.StepSucceeded(step=step_id, attempt=0)
        return
    wait = state.waits.get(wait_key(step_id, "signal")) or state.waits[wait_key(step_id, "child")]
    then = wait.on_timeout or "fail"
    child = wait.name if wait.reason == "child" else None
    yield e.WaitTimedOut(step=step_id, reason=wait.reason, due_at=due_at, then=then, child_workflow=child)
    if then == "ok":
        yield e.StepSucceeded(step=step_id, attempt=0)
    elif then == "skip":
        yield e.StepSkipped(step=step_id, reason=f"the {wait.reason} did not come in time")
    else:
        failure = make_failure(
            step_id, FailureClass.TIMEOUT, f"the {wait.reason} did not come in time", type_name="WaitTimedOut"
        )
        yield e.StepFailed(step=step_id, failure=failure)
        yield from consequence(decision, step_id, failure)


def go_on(decision: Decision) -> Events:
    """Whatever can go on, goes on."""
    state = decision.state
    if decision.definition is None:
        if MISSING not in state.waits:
            detail = f"definition {state.definition!r} version {state.definition_version!r} is not loaded"
            yield e.WaitStarted(step="", reason="definition", detail=detail)
        return
    if state.paused:
        return
    yield from judgement.judge(decision)
    if state.dues:
        yield from fall_due(decision)
    if state.live and decision.given.open_commands:
        yield from executor.expire_open(decision)
    if state.stopping is not None:
        yield from compensator.stop(decision)
        return
    yield from _carry_on(decision)


def _carry_on(decision: Decision) -> Events:
    """Plan, set ready steps under way and, when all have settled, ask for more or finalise."""
    state = decision.state
    if state.planning and _may_plan(state):
        yield from planner.propose(decision)
    if state.ready:
        yield from executor.schedule_ready(decision)
    if state.stopping is not None or state.planning or len(state.steps) > (ARTIFACT_STEP in state.steps):
        return
    if not state.plan_final:
        if ":budget" not in state.waits:
            yield from planner.propose(decision)
    elif not state.waits:
        yield from finalizer.close(decision)


def _may_plan(state: State) -> bool:
    """Whether the planner can be asked now: it is not under way, in backoff, or given up for a person."""
    step = state.steps.get(PLAN_STEP)
    return step is None or (
        step.live is None
        and step.status is StepStatus.PLANNED
        and step.undecided is None
        and ":budget" not in state.waits
    )
