"""What several events change in the same way: attempts, waits and effects of a step, and its settling."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.events import Undo
from domain.plan import PlannedStep, sources
from domain.state import UNDO, Effect, Settled, State, StepState, StepStatus, Undoing, effect_key, wait_key


def end_live(state: State, key: str) -> None:
    """No attempt of this key is under way any more."""
    holder: StepState | Undoing | None = state.undoing if key == UNDO else state.steps.get(key)
    if holder is not None and holder.live is not None:
        state.live.pop(holder.live.message_id, None)
        holder.live = None


def revoke(state: State, message_ids: Iterable[str]) -> list[str]:
    """End the attempts whose commands were revoked unclaimed; the steps (or UNDO) they were of."""
    keys = []
    for message_id in message_ids:
        key = state.live.get(message_id)
        if key is None:
            continue
        holder = state.undoing if key == UNDO else state.steps[key]
        if isinstance(holder, StepState) and holder.live is not None and holder.live.kind == "probe":
            holder.probe_tries = max(0, holder.probe_tries - 1)
        elif holder is not None:
            holder.tries = max(0, holder.tries - 1)
        end_live(state, key)
        keys.append(key)
    return keys


def back_to_planned(state: State, key: str, at: datetime) -> bool:
    """A revoked attempt's step is planned again, a revoked probe due at once. Whether it was a step's own attempt."""
    if key == UNDO:
        return False
    step = state.steps[key]
    if step.unknown_attempt is not None:
        state.dues[f"probe:{key}"] = at
        return False
    step.status = StepStatus.PLANNED
    return True


def close_waits(state: State, step: str) -> None:
    """Nothing is waited for by this step any more, and nothing of it falls due."""
    if state.waits:
        for reason in ("approval", "signal", "time", "child", "outcome_unknown", "intervention"):
            state.waits.pop(wait_key(step, reason), None)
    if state.dues:
        for due in ("retry", "probe", "approval", "escalate", "wait"):
            state.dues.pop(f"{due}:{step}", None)
    state.ballots.pop(step, None)
    state.undecided.pop(step, None)


def undo_of(step: StepState, output: Any = None) -> Undo | None:
    """What would undo the effect of the step's present generation, or None where it has none."""
    if step.effect == "pure" or (step.compensation is None and not step.pivot):
        return None
    return Undo(
        step=step.id,
        generation=step.generation,
        activity=step.planned.activity if step.planned is not None and step.planned.activity else step.id,
        compensation=step.compensation,
        input=step.input or {},
        output=output,
        key=step.key,
    )


def list_effect(state: State, step: StepState, output: Any = None) -> None:
    """The step's effect is not proven absent: it is on the list of what a compensation undoes."""
    key = effect_key(step.id, step.generation)
    known = state.effects.get(key)
    undo = undo_of(step, output if output is not None or known is None else known.undo.output)
    if undo is None:
        return
    state.effects[key] = Effect(undo, known.state if known is not None else "open")
    state.pivot_passed = state.pivot_passed or step.compensation is None


def forget_effect(state: State, step: StepState) -> None:
    """The step's effect is proven absent."""
    if state.effects.pop(effect_key(step.id, step.generation), None) is not None:
        state.pivot_passed = any(one.undo.compensation is None for one in state.effects.values())


def _after(state: State, planned: PlannedStep | None) -> tuple[str, ...]:
    """What the step came after; with the sources of its input where somebody intervened: four eyes look at those."""
    if planned is None:
        return ()
    return sources(planned, state.knows) if state.intervened else planned.after


def settle(state: State, step_id: str, status: StepStatus, *, output: Any = None, failure: str | None = None) -> None:
    """A step has settled: it leaves the hot state, and what came after it may be ready."""
    end_live(state, step_id)
    close_waits(state, step_id)
    state.ready.pop(step_id, None)
    step = state.steps.pop(step_id)
    planned = step.planned
    state.settled[step_id] = Settled(
        status=status,
        number=step.number,
        activity=planned.activity if planned is not None else None,
        output=output,
        failure=failure,
        after=_after(state, planned),
        generation=step.generation,
    )
    if status is StepStatus.OK and step.number > state.output_number:
        state.output = output
        state.output_number = step.number
    for dependent in step.dependents:
        waiting = state.steps.get(dependent)
        if waiting is not None:
            waiting.needs -= 1
            if waiting.needs == 0 and waiting.status is StepStatus.PLANNED and state.stopping is None:
                state.ready[dependent] = None
