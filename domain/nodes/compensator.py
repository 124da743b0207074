"""The compensator node: stops a workflow, undoes its effects in reverse dependency order, and ends it.

Nothing ends over a running attempt: compensation and terminal events wait for every claimed attempt, every unknown
outcome and every child. Effects are undone one at a time, the youngest first: a step begins only after those that it
depends on have settled, so the reverse of the order in which effects came up is a reverse dependency order.
"""

from __future__ import annotations

from datetime import timedelta

from domain import events as e
from domain.decision import MAY_HAVE_RUN, Decision, Events, schedule_attempt
from domain.definitions import CompensationInput
from domain.failures import Failure, FailureClass, has_lapsed, make_failure
from domain.ids import idempotency_key
from domain.nodes.finalizer import handed_over
from domain.retry import LAPSES, next_attempt
from domain.state import UNDO, Effect, State, StepStatus


def stop(decision: Decision) -> Events:
    """Go as far towards the end as what is still running allows."""
    state = decision.state
    if state.live or _unsettled(state):
        return
    if not state.compensating and state.stopping is not None:
        plan = [one.undo for one in open_effects(state) if one.undo.compensation is not None]
        if not (state.stopping.compensate and plan):
            yield _end(state)
            return
        yield e.CompensationStarted(
            steps=tuple(undo.step for undo in plan),
            pivots=tuple(one.undo.step for one in open_effects(state) if one.undo.compensation is None),
        )
    if state.undoing is None:
        following = next((one for one in open_effects(state) if one.undo.compensation is not None), None)
        if following is None:
            yield _end(state)
            return
        yield _schedule(following)
    undoing = state.undoing
    if undoing is not None and undoing.live is None and not undoing.failed and f"retry:{UNDO}" not in state.dues:
        yield from attempt(decision)


def _unsettled(state: State) -> bool:
    """Whether an outcome is unknown or a child has not ended."""
    unknown = any(step.status is StepStatus.OUTCOME_UNKNOWN for step in state.steps.values())
    return unknown or any(wait.reason == "child" for wait in state.waits.values())


def open_effects(state: State) -> list[Effect]:
    """The effects that are neither undone nor accepted, in the order in which they are undone."""
    return [one for one in reversed(state.effects.values()) if one.state == "open"]


def _schedule(effect: Effect) -> e.CompensationScheduled:
    undo = effect.undo
    given = CompensationInput(input=undo.input, output=undo.output, idempotency_key=undo.key)
    return e.CompensationScheduled(
        step=undo.step,
        generation=undo.generation,
        activity=undo.compensation or "",
        input=given.model_dump(mode="json"),
        key=undo.key,
    )


def attempt(decision: Decision) -> Events:
    """Schedule the next attempt at undoing the effect that is being undone."""
    state = decision.state
    undoing = state.undoing
    if undoing is None or undoing.live is not None:
        return
    declared = decision.recipe.activities.get(undoing.activity)
    if declared is None:
        failure = _unknown_activity(undoing.activity)
        yield e.CompensationFailed(step=undoing.step, generation=undoing.generation, failure=failure)
        yield e.InterventionRequested(step=undoing.step, reason=failure.message)
        return
    if declared.effect == "once" and state.doubted and not undoing.cleared:
        failure = make_failure(undoing.activity, FailureClass.OUTCOME_UNKNOWN, MAY_HAVE_RUN, type_name="StoreRestored")
        yield e.CompensationFailed(step=undoing.step, generation=undoing.generation, failure=failure)
        yield e.InterventionRequested(step=undoing.step, reason=f"whether it is undone is not known: {MAY_HAVE_RUN}")
        return
    yield from schedule_attempt(
        decision,
        undoing,
        declared,
        "compensate",
        undoing.input,
        key=idempotency_key(state.workflow_id, undoing.step, "compensate", undoing.generation),
    )


def _unknown_activity(name: str) -> Failure:
    words = f"the compensation {name!r} is not an activity of this definition: list it in activities=[…]"
    return make_failure(name, FailureClass.PERMANENT, words, type_name="ActivityUnknown")


def verdict(decision: Decision, failure: Failure) -> Events:
    """An attempt at undoing failed: try again within its policy, or stop for a person."""
    state = decision.state
    undoing = state.undoing
    if undoing is None:
        return
    declared = decision.recipe.activities[undoing.activity]
    first = undoing.first_scheduled_at or decision.at
    number = state.numbers.get(undoing.step, 0)
    if has_lapsed(failure):
        delay: timedelta | None = timedelta(0) if undoing.lapses <= LAPSES and declared.effect != "once" else None
    else:
        seed = f"{state.workflow_id}/{undoing.step}/compensate/{number}"
        delay = next_attempt(
            declared.retry, failure, tries=undoing.tries, at=decision.at, first_scheduled_at=first, seed=seed
        )
        if declared.effect == "once" and not failure.absent:
            delay = None
    if delay is not None:
        yield e.RetryScheduled(
            step=undoing.step,
            kind="compensate",
            attempt=state.next_number(undoing.step),
            due_at=decision.at + delay,
            delay_seconds=delay.total_seconds(),
        )
        return
    yield e.CompensationFailed(step=undoing.step, generation=undoing.generation, failure=failure)
    yield e.InterventionRequested(step=undoing.step, reason=f"undoing failed: {failure.message}"[:2_000])


def _end(state: State) -> e.Event:
    stopping = state.stopping
    undone = tuple(one.undo.step for one in state.effects.values() if one.state == "undone")
    effects = handed_over(state)
    if stopping is None:
        return e.WorkflowFailed(reason="stopped", effects=effects)
    if stopping.why == "cancelled":
        return e.WorkflowCancelled(reason=stopping.reason, compensated=undone, effects=effects)
    if undone:
        return e.WorkflowCompensated(
            reason=stopping.reason, compensated=undone, failure=stopping.failure, effects=effects
        )
    return e.WorkflowFailed(reason=stopping.reason, failure=stopping.failure, effects=effects)
