"""The observer node: records what came back: outcomes, lapses, dead letters, signals, children.

Recording comes first and is never refused: an attempt's end is a fact. What follows from a failure is judged
afterwards (`judgement`), so that a workflow that is paused or without its definition records now and judges later.
"""

from __future__ import annotations

from typing import Any, Final

from domain import events as e
from domain.decision import Decision, Events, activity_of
from domain.failures import Failure, FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, message_id
from domain.nodes import approval_wait, planner
from domain.state import State, StepState, StepStatus, Undoing, Wait, effect_key, wait_key
from domain.triggers import (
    Answer,
    DeadLetterCommand,
    DeliverSignal,
    EndChild,
    LapseAttempt,
    RecordOutcome,
    Trigger,
)

PROBE: Final = "probe"
LATE: Final = "late outcome"
"""Who settled an unknown outcome, where no person did."""


def outcome(decision: Decision) -> Events:
    """Record how an attempt ended."""
    trigger = decision.trigger
    if not isinstance(trigger, RecordOutcome):
        raise TypeError(type(trigger).__name__)
    if not _is_live(decision, trigger):
        yield from _late(decision, trigger)
    elif trigger.status in {"failed", "denied"}:
        yield _failed(trigger, trigger.failure or _denied(trigger))
    elif trigger.status == "needs_approval":
        yield from _needs_approval(decision, trigger)
    else:
        yield from _ok(decision, trigger)


def _is_live(decision: Decision, trigger: RecordOutcome | LapseAttempt | DeadLetterCommand) -> bool:
    holder: StepState | Undoing | None = decision.state.steps.get(trigger.step)
    if trigger.kind == "compensate":
        undoing = decision.state.undoing
        holder = undoing if undoing is not None and undoing.step == trigger.step else None
    live = holder.live if holder is not None else None
    return live is not None and live.attempt == trigger.attempt and live.kind == trigger.kind


def stale(decision: Decision) -> str | None:
    """Why an attempt's end has nothing to say any more, or None where it has."""
    trigger = decision.trigger
    if isinstance(trigger, DeliverSignal):
        return None if _expected(decision.state, trigger) else "nothing waits for this signal"
    if isinstance(trigger, EndChild):
        return None if awaited(decision.state, trigger.child_workflow) else "the child's end is recorded"
    if not isinstance(trigger, RecordOutcome | LapseAttempt | DeadLetterCommand):
        return None
    if _is_live(decision, trigger):
        is_claimed = isinstance(trigger, DeadLetterCommand) and not decision.is_open(_command(decision, trigger))
        return "the command is claimed: its worker reports" if is_claimed else None
    lost = decision.state.lapsed.get(_lapse_key(trigger)) if isinstance(trigger, RecordOutcome) else None
    if lost is not None and not (lost.timed_out and _is_timeout(trigger)):
        return None
    return "the attempt has ended and its end is recorded"


def _is_timeout(trigger: Trigger) -> bool:
    failure = trigger.failure if isinstance(trigger, RecordOutcome) else None
    return failure is not None and failure.kind is FailureClass.TIMEOUT


def awaited(state: State, child: str) -> Wait | None:
    """The wait for a child workflow: of its step or, where it ran out of time, of its own until it has ended."""
    waits = state.waits.values()
    return next((wait for wait in waits if wait.reason == "child" and wait.name == child), None)


def _expected(state: State, trigger: DeliverSignal) -> list[Wait]:
    wanted = ("signal", trigger.name, trigger.correlation)
    return [wait for wait in state.waits.values() if (wait.reason, wait.name, wait.correlation) == wanted]


def _lapse_key(trigger: RecordOutcome) -> str:
    return f"{trigger.step}/{trigger.kind}/{trigger.attempt}"


def _denied(trigger: RecordOutcome) -> Failure:
    reason = trigger.answer.reason if trigger.answer is not None else "denied"
    return make_failure(trigger.step, FailureClass.REJECTED, reason, type_name="Denied")


def _failed(trigger: RecordOutcome, failure: Failure) -> e.AttemptFailed:
    return e.AttemptFailed(
        step=trigger.step,
        kind=trigger.kind,
        attempt=trigger.attempt,
        failure=failure,
        worker=trigger.worker,
        claimed_at=trigger.claimed_at,
        started_at=trigger.started_at,
        finished_at=trigger.finished_at,
    )


def _ok(decision: Decision, trigger: RecordOutcome) -> Events:
    state = decision.state
    if trigger.kind == "plan" and decision.definition is None:
        words = "the plan cannot be checked while the workflow's definition is not loaded"
        yield _failed(trigger, make_failure(trigger.step, FailureClass.TRANSIENT, words, type_name="DefinitionMissing"))
    elif trigger.kind == "plan":
        yield from planner.take(decision, trigger)
    elif trigger.kind == "artifact":
        yield from _artifact(trigger)
    elif trigger.kind == "compensate":
        undoing = state.undoing
        yield e.StepCompensated(
            step=trigger.step,
            generation=undoing.generation if undoing is not None else 1,
            attempt=trigger.attempt,
            output=trigger.output,
            worker=trigger.worker,
            claimed_at=trigger.claimed_at,
            started_at=trigger.started_at,
            finished_at=trigger.finished_at,
        )
    elif trigger.kind == "probe":
        yield from settle_unknown(decision, trigger.step, applied=True, output=trigger.output, settled_by=PROBE)
    else:
        yield e.StepSucceeded(
            step=trigger.step,
            attempt=trigger.attempt,
            output=trigger.output,
            worker=trigger.worker,
            claimed_at=trigger.claimed_at,
            started_at=trigger.started_at,
            finished_at=trigger.finished_at,
            artifacts=trigger.artifacts,
            redactable=_redactable(decision, trigger.step),
        )


def _redactable(decision: Decision, step_id: str) -> tuple[str, ...]:
    if decision.definition is None:
        return ()
    marked = activity_of(decision, decision.state.steps[step_id]).redactable_output
    return tuple([f"/output{pointer}" for pointer in marked]) if marked else ()


def _artifact(trigger: RecordOutcome) -> Events:
    written = trigger.artifacts[-1] if trigger.artifacts else None
    if written is None:
        words = "the artifact's activity wrote no artifact: return what context.write_artifact(…) gave"
        yield _failed(trigger, make_failure(ARTIFACT_STEP, FailureClass.INVALID, words, type_name="ArtifactMissing"))
        return
    yield e.ArtifactRecorded(
        step=ARTIFACT_STEP, attempt=trigger.attempt, name=written.name, digest=written.digest, size=written.size
    )


def settle_unknown(decision: Decision, step_id: str, *, applied: bool, output: Any, settled_by: str) -> Events:
    """An unknown outcome is settled: applied, the step is ok; not applied, it may run again."""
    step = decision.state.steps[step_id]
    attempt = step.unknown_attempt or decision.state.numbers.get(step_id, 0)
    yield e.OutcomeReconciled(step=step_id, attempt=attempt, applied=applied, output=output, settled_by=settled_by)
    if applied:
        yield e.StepSucceeded(step=step_id, attempt=attempt, output=output, redactable=_redactable(decision, step_id))


def settle_heard(decision: Decision, step: StepState) -> Events:
    """What the attempt itself said while its probe was under way settles it, whatever the probe found."""
    output = step.heard.output if step.heard is not None else None
    yield from settle_unknown(decision, step.id, applied=True, output=output, settled_by=LATE)


def _needs_approval(decision: Decision, trigger: RecordOutcome) -> Events:
    if trigger.kind != "run" or decision.definition is None or decision.state.stopping is not None:
        yield _failed(trigger, _unasked(trigger, decision))
        return
    answer = trigger.answer or Answer(reason="manual approval")
    recipe = decision.definition
    if answer.policy is not None and answer.policy not in recipe.approvals:
        words = f"NeedsApproval names the policy {answer.policy!r}, which the definition does not have"
        yield _failed(trigger, make_failure(trigger.step, FailureClass.INVALID, words, type_name="ApprovalInvalid"))
        return
    step = decision.state.steps[trigger.step]
    yield from approval_wait.request(
        decision,
        step,
        recipe.approval_policy(answer.policy),
        origin="activity",
        step_input=step.input or {},
        reason=answer.reason,
        answer=answer,
        attempt=trigger.attempt,
    )


def _unasked(trigger: RecordOutcome, decision: Decision) -> Failure:
    """Why an approval cannot be asked for, as the failure of the attempt that asked."""
    kind, name = FailureClass.INVALID, "NeedsApproval"
    words = f"an attempt of kind {trigger.kind!r} may not ask for an approval"
    if trigger.kind == "run" and decision.state.stopping is not None:
        kind, words = FailureClass.REJECTED, "an approval was asked for, but the workflow is stopping"
    elif trigger.kind == "run":
        kind, name = FailureClass.TRANSIENT, "DefinitionMissing"
        words = "an approval was asked for while the workflow's definition is not loaded"
    return make_failure(trigger.step, kind, words, type_name=name)


def _late(decision: Decision, trigger: RecordOutcome) -> Events:
    """An attempt given up for lost reports after all: it settles an open unknown, or joins what is to be undone."""
    state = decision.state
    step = state.steps.get(trigger.step)
    lost = state.lapsed.get(_lapse_key(trigger))
    generation = lost.undo.generation if lost is not None and lost.undo is not None else None
    undo = _late_effect(state, trigger) if trigger.status != "failed" else None
    yield e.LateOutcomeRecorded(
        step=trigger.step,
        kind=trigger.kind,
        attempt=trigger.attempt,
        status=trigger.status,
        output=trigger.output,
        failure=trigger.failure,
        undo=undo,
    )
    if trigger.kind != "run":
        return
    if step is not None and step.effect == "once" and generation == step.generation:
        yield from _late_once(decision, trigger, step, undo)
    elif state.ended is not None and undo is not None and trigger.status == "ok":
        yield e.InterventionRequested(
            step=trigger.step,
            reason=f"attempt {trigger.attempt} succeeded after the workflow had ended: its effect stands",
        )


def _late_once(decision: Decision, trigger: RecordOutcome, step: StepState, undo: e.Undo | None) -> Events:
    """What a lost attempt of a `once` step says settles its unknown outcome; it may even speak against a settlement.

    While a probe is under way, a success is kept until that has ended.
    """
    state = decision.state
    ok = trigger.status == "ok"
    if step.unknown_attempt is None:
        running = step.live is not None and decision.is_running(step.live)
        if undo is None or running or state.stopping is not None:
            return
        yield e.OutcomeUnknown(
            step=step.id,
            attempt=trigger.attempt,
            reason=f"attempt {trigger.attempt} reported {trigger.status} after it had been settled as not applied",
            revoked=(step.live.message_id,) if step.live is not None else (),
        )
    if ok and step.live is None:
        yield from settle_unknown(decision, step.id, applied=True, output=trigger.output, settled_by=LATE)
    elif _proven_absent(trigger) and step.live is None and step.unknown_attempt == trigger.attempt:
        yield from settle_unknown(decision, step.id, applied=False, output=None, settled_by=LATE)


def _proven_absent(trigger: RecordOutcome) -> bool:
    return trigger.failure is not None and trigger.failure.absent


def _late_effect(state: State, trigger: RecordOutcome) -> e.Undo | None:
    """The effect that a late success leaves, where it is not on the list already."""
    lost = state.lapsed.get(_lapse_key(trigger))
    undo = lost.undo if lost is not None else None
    if undo is None:
        return None
    known = state.effects.get(effect_key(undo.step, undo.generation))
    settled = state.settled.get(undo.step)
    accounted_for = settled is not None and (settled.status, settled.generation) == (StepStatus.OK, undo.generation)
    if known is not None and known.state != "undone" and (state.ended is None or accounted_for):
        return None
    return undo.model_copy(update={"output": trigger.output})


def lapse(decision: Decision) -> Events:
    """Record that a claimed attempt is gone without an outcome."""
    trigger = decision.trigger
    if not isinstance(trigger, LapseAttempt):
        raise TypeError(type(trigger).__name__)
    yield e.AttemptLapsed(
        step=trigger.step, kind=trigger.kind, attempt=trigger.attempt, owner=trigger.owner, reason=trigger.reason
    )


def dead_letter(decision: Decision) -> Events:
    """Record that the transport gave a command up; one that is claimed is its worker's business."""
    trigger = decision.trigger
    if not isinstance(trigger, DeadLetterCommand):
        raise TypeError(type(trigger).__name__)
    yield e.CommandDeadLettered(
        step=trigger.step,
        kind=trigger.kind,
        attempt=trigger.attempt,
        reason=trigger.reason,
        revoked=(_command(decision, trigger),),
    )


def _command(decision: Decision, trigger: DeadLetterCommand) -> str:
    return message_id(decision.state.workflow_id, trigger.step, trigger.kind, trigger.attempt)


def signal(decision: Decision) -> Events:
    """A signal came for whatever waits for its name and correlation."""
    trigger = decision.trigger
    if not isinstance(trigger, DeliverSignal):
        raise TypeError(type(trigger).__name__)
    for wait in _expected(decision.state, trigger):
        yield e.WaitSatisfied(step=wait.step, reason="signal", payload=trigger.payload)
        yield e.StepSucceeded(step=wait.step, attempt=0, output=trigger.payload)


def child_ended(decision: Decision) -> Events:
    """A child is terminal: take over its effects, and its outcome where it is still waited for."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, EndChild):
        raise TypeError(type(trigger).__name__)
    waiting = awaited(state, trigger.child_workflow)
    if waiting is None:
        return
    step = waiting.step
    whose = step if waiting.generation == 1 else f"{step}~{waiting.generation}"
    given_up = waiting is not state.waits.get(wait_key(step, "child"))
    yield e.ChildEnded(
        step=step,
        child_workflow=trigger.child_workflow,
        status=trigger.status,
        output=trigger.output,
        reason=trigger.reason,
        effects=tuple(undo.model_copy(update={"step": f"{whose}:{undo.step}"}) for undo in trigger.effects),
    )
    if trigger.status == "completed" and not given_up:
        yield e.StepSucceeded(step=step, attempt=0, output=trigger.output)
