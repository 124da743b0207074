"""Interventions: what an operator may do to a workflow, each with actor and reason, each recorded, refused ones too."""

from __future__ import annotations

from typing import Final

from domain import events as e
from domain.decision import MAY_HAVE_RUN, Decision, Events, activity_of, begin_stopping, refuse
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.nodes import observer
from domain.state import State, StepState, StepStatus, effect_key, wait_key
from domain.triggers import (
    CancelWorkflow,
    ExtendBudget,
    ForkHere,
    PauseWorkflow,
    RestoreWorkflow,
    ResumeWorkflow,
    RetryStep,
    SettleOutcome,
    SkipStep,
    SupplyOutput,
)

MOST_FORKS: Final = 1_000
"""How many forks one workflow may have: its state names each."""


def retry(decision: Decision) -> Events:
    """Try a step again that failed, waits for its retry, or whose undoing failed."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, RetryStep):
        raise TypeError(type(trigger).__name__)
    if _undoing_failed(state, trigger.step):
        yield e.InterventionApplied(act="retry", step=trigger.step, by=trigger.by, reason=trigger.reason)
        return
    step = state.steps.get(trigger.step)
    # Whether a command is open comes last: the record keeps it only for what was done, not for what was refused.
    why_not = "the workflow is stopping" if state.stopping is not None else _why_not(decision, trigger.step, step)
    if why_not is None and step is not None and trigger.input is None and _may_stand(state, step):
        why_not = (
            f"step {trigger.step} may have been applied, and nothing proves that it was not: "
            "skip it, supply its output, or give it another input"
        )
    if (
        why_not is None
        and step is not None
        and step.status
        not in {
            StepStatus.FAILED,
            StepStatus.TIMED_OUT,
            StepStatus.RETRY_WAIT,
            StepStatus.SCHEDULED,
        }
    ):
        why_not = f"step {trigger.step} is {step.status.value}: only a failed, timed-out or waiting step is tried again"
    if why_not is not None or step is None:
        yield refuse(trigger, why_not or "")
        return
    yield e.InterventionApplied(
        act="retry",
        step=trigger.step,
        by=trigger.by,
        reason=trigger.reason,
        input=trigger.input,
        revoked=_revocable(step),
    )


def skip(decision: Decision) -> Events:
    """Pass a step over; where its undoing failed: accept the effect as it is."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, SkipStep):
        raise TypeError(type(trigger).__name__)
    undoing = state.undoing
    if undoing is not None and _undoing_failed(state, trigger.step):
        yield e.InterventionApplied(act="skip", step=trigger.step, by=trigger.by, reason=trigger.reason)
        yield e.StepCompensated(
            step=trigger.step,
            generation=undoing.generation,
            attempt=state.numbers.get(trigger.step, 0),
            accepted_by=trigger.by,
        )
        return
    step = state.steps.get(trigger.step)
    why_not = _why_not(decision, trigger.step, step)
    if why_not is not None or step is None:
        yield refuse(trigger, why_not or "")
        return
    yield e.InterventionApplied(
        act="skip", step=trigger.step, by=trigger.by, reason=trigger.reason, revoked=_revocable(step)
    )
    yield e.StepSkipped(step=trigger.step, reason=f"skipped by {trigger.by}: {trigger.reason}"[:2_000])


def supply(decision: Decision) -> Events:
    """Give a step its output, in place of an attempt's."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, SupplyOutput):
        raise TypeError(type(trigger).__name__)
    step = state.steps.get(trigger.step)
    if trigger.step in (PLAN_STEP, ARTIFACT_STEP):
        why_not: str | None = "the engine's own steps take no output from outside"
    else:
        why_not = _why_not(decision, trigger.step, step)
    if why_not is not None or step is None:
        yield refuse(trigger, why_not or "")
        return
    yield e.InterventionApplied(
        act="supply", step=trigger.step, by=trigger.by, reason=trigger.reason, revoked=_revocable(step)
    )
    redactable: tuple[str, ...] = ()
    if decision.definition is not None and step.planned is not None and step.planned.activity is not None:
        redactable = tuple(f"/output{pointer}" for pointer in activity_of(decision, step).redactable_output)
    yield e.StepSucceeded(
        step=trigger.step,
        attempt=state.numbers.get(trigger.step, 0),
        output=trigger.output,
        supplied_by=trigger.by,
        redactable=redactable,
    )


def settle(decision: Decision) -> Events:
    """Say whether an unknown outcome was applied."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, SettleOutcome):
        raise TypeError(type(trigger).__name__)
    step = state.steps.get(trigger.step)
    if step is None or step.status is not StepStatus.OUTCOME_UNKNOWN:
        yield refuse(trigger, f"step {trigger.step} has no unknown outcome")
        return
    if step.live is not None:
        yield refuse(trigger, f"a probe of step {trigger.step} is under way: wait for its answer")
        return
    yield e.InterventionApplied(act="settle", step=trigger.step, by=trigger.by, reason=trigger.reason)
    yield from observer.settle_unknown(
        decision, trigger.step, applied=trigger.applied, output=trigger.output, settled_by=trigger.by
    )


def extend(decision: Decision) -> Events:
    """Allow further attempts."""
    trigger = decision.trigger
    if not isinstance(trigger, ExtendBudget):
        raise TypeError(type(trigger).__name__)
    if wait_key("", "budget") not in decision.state.waits:
        yield refuse(trigger, "the workflow does not wait for its budget")
        return
    yield e.InterventionApplied(act="extend", by=trigger.by, reason=trigger.reason, attempts=trigger.attempts)
    yield e.WaitSatisfied(step="", reason="budget")


def pause(decision: Decision) -> Events:
    """Schedule nothing new; revoke what nobody has claimed."""
    trigger = decision.trigger
    if not isinstance(trigger, PauseWorkflow):
        raise TypeError(type(trigger).__name__)
    yield e.WorkflowPaused(by=trigger.by, reason=trigger.reason, revoked=decision.revocable())


def resume(decision: Decision) -> Events:
    """Let a paused workflow go on."""
    trigger = decision.trigger
    if not isinstance(trigger, ResumeWorkflow):
        raise TypeError(type(trigger).__name__)
    yield e.WorkflowResumed(by=trigger.by, reason=trigger.reason)


def cancel(decision: Decision) -> Events:
    """Stop the workflow, with or without undoing what it did."""
    trigger = decision.trigger
    if not isinstance(trigger, CancelWorkflow):
        raise TypeError(type(trigger).__name__)
    reason = f"cancelled by {trigger.by}: {trigger.reason}"
    yield from begin_stopping(
        decision, why="cancelled", reason=reason[:2_000], compensate=trigger.compensate, by=trigger.by
    )


def forked(decision: Decision) -> str | None:
    """Why a fork has nothing to say any more, or None where it has."""
    trigger = decision.trigger
    return (
        "this fork was taken before" if isinstance(trigger, ForkHere) and trigger.fork in decision.state.forks else None
    )


def fork(decision: Decision) -> Events:
    """Record that another workflow begins from a prefix of this one: the relay begins it. Nothing changes here."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, ForkHere):
        raise TypeError(type(trigger).__name__)
    if len(state.forks) >= MOST_FORKS:
        yield refuse(trigger, f"the workflow has {MOST_FORKS:,} forks, and no workflow has more: fork one of them")
        return
    yield e.ForkTaken(
        fork=trigger.fork,
        version=trigger.version,
        digest=trigger.digest,
        by=trigger.by,
        reason=trigger.reason,
        input=trigger.input,
    )


def restored(decision: Decision) -> str | None:
    """Why a restore has nothing to say any more, or None where it has."""
    trigger = decision.trigger
    is_known = isinstance(trigger, RestoreWorkflow) and trigger.epoch <= decision.state.epoch
    return "it is restored" if is_known else None


def restore(decision: Decision) -> Events:
    """Go on from a backup: end what was under way in it, and ask once more where a person was being asked.

    What the person said in the time that was lost, and what came of it, is not known here.
    """
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, RestoreWorkflow):
        raise TypeError(type(trigger).__name__)
    yield e.WorkflowRestored(epoch=trigger.epoch, by=trigger.by, reason=trigger.reason, ended=tuple(sorted(state.live)))
    for wait in list(state.waits.values()):
        if wait.reason == "outcome_unknown":
            step = state.steps[wait.step]
            attempt = step.unknown_attempt or state.numbers.get(wait.step, 0)
            yield e.OutcomeUnknown(step=wait.step, attempt=attempt, reason=_asked_again(wait.detail))
    undoing = state.undoing
    if undoing is not None and undoing.failed:
        asked = state.waits.get(wait_key(undoing.step, "intervention"))
        yield e.InterventionRequested(
            step=undoing.step, reason=_asked_again(asked.detail if asked is not None else "undoing failed")
        )


def _asked_again(detail: str) -> str:
    return f"{MAY_HAVE_RUN}; what was said before: {detail}"[:2_000]


def accept(decision: Decision) -> Events:
    """The workflow is over: all that is left to a person is to take note of an effect that came late."""
    trigger, state = decision.trigger, decision.state
    if isinstance(trigger, SkipStep) and wait_key(trigger.step, "intervention") in state.waits:
        yield e.InterventionApplied(act="skip", step=trigger.step, by=trigger.by, reason=trigger.reason)
        return
    yield from not_here(decision)


def not_here(decision: Decision) -> Events:
    """The act does not fit the workflow's status: refused, and recorded."""
    state = decision.state
    yield refuse(decision.trigger, f"the workflow is {state.status.value}")


def _undoing_failed(state: State, step: str) -> bool:
    return state.undoing is not None and state.undoing.step == step and state.undoing.failed


def _may_stand(state: State, step: StepState) -> bool:
    """Whether trying again could do twice what is to be done once: the effect is not proven absent."""
    effect = state.effects.get(effect_key(step.id, step.generation))
    return step.effect == "once" and effect is not None and effect.state == "open"


def _why_not(decision: Decision, name: str, step: StepState | None) -> str | None:
    """Why an operator may not act on this step now, or None where they may."""
    state = decision.state
    if step is None:
        if name in state.settled:
            return f"step {name} has settled ({state.settled[name].status.value})"
        return f"there is no step {name}"
    return _why_not_now(decision, name, step)


def _why_not_now(decision: Decision, name: str, step: StepState) -> str | None:
    if step.status is StepStatus.OUTCOME_UNKNOWN:
        return f"the outcome of step {name} is unknown: settle it first"
    if step.undecided is not None:
        return f"how step {name} ended has still to be judged: resume the workflow first"
    if step.live is not None and not decision.is_open(step.live.message_id):
        return f"attempt {step.live.attempt} of step {name} is running: wait for it, or cancel the workflow"
    if step.child is not None and wait_key(name, "child") in decision.state.waits:
        return f"step {name} awaits child workflow {step.child}: act on that one"
    return None


def _revocable(step: StepState) -> tuple[str, ...]:
    return (step.live.message_id,) if step.live is not None else ()
