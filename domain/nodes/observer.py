"""The observer node: looks at what came back (outcomes, lapses, dead letters, signals, children) and judges failures.

Recording comes first and is never refused: an attempt's end is a fact. What follows from a failure is decided
afterwards, by `judge`, so that a paused or definition-less workflow can record now and judge later.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from domain import events as e
from domain.decision import Decision, Events, activity_of, fail_step
from domain.definitions import ActivityType
from domain.failures import Failure, FailureClass, make_failure
from domain.ids import ARTIFACT_STEP
from domain.nodes import approval_wait, compensator, executor, planner
from domain.retry import LAPSES, next_attempt
from domain.state import UNDO, State, StepState, StepStatus, Undoing, effect_key
from domain.triggers import Answer, DeadLetterCommand, DeliverSignal, EndChild, LapseAttempt, RecordOutcome

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
    if not isinstance(trigger, RecordOutcome | LapseAttempt | DeadLetterCommand) or _is_live(decision, trigger):
        return None
    if isinstance(trigger, RecordOutcome) and _lapse_key(trigger) in decision.state.lapsed:
        return None
    return "the attempt has ended and its end is recorded"


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
    if decision.state.stopping is not None:
        words = "an approval was asked for, but the workflow is stopping"
        return make_failure(trigger.step, FailureClass.REJECTED, words, type_name="NeedsApproval")
    words = f"an attempt of kind {trigger.kind!r} may not ask for an approval"
    if decision.definition is None:
        words = "an approval was asked for while the workflow's definition is not loaded"
        return make_failure(trigger.step, FailureClass.TRANSIENT, words, type_name="DefinitionMissing")
    return make_failure(trigger.step, FailureClass.INVALID, words, type_name="NeedsApproval")


def _late(decision: Decision, trigger: RecordOutcome) -> Events:
    """An attempt given up for lost reports after all: it settles an open unknown, or joins what is to be undone."""
    state = decision.state
    step = state.steps.get(trigger.step)
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
    ok = trigger.status == "ok"
    if step is not None and step.unknown_attempt == trigger.attempt:
        proven_absent = trigger.failure is not None and trigger.failure.absent
        if step.live is None and (ok or proven_absent):
            yield from settle_unknown(decision, step.id, applied=ok, output=trigger.output, settled_by=LATE)
        return  # what a success says while the probe is under way is kept until that has ended
    if not ok:
        return
    if state.ended is not None and undo is not None:
        yield e.InterventionRequested(
            step=trigger.step,
            reason=f"attempt {trigger.attempt} succeeded after the workflow had ended: its effect stands",
        )


def _late_effect(state: State, trigger: RecordOutcome) -> e.Undo | None:
    """The effect that a late success leaves, where it is not on the list already."""
    undo = state.lapsed.get(_lapse_key(trigger))
    if undo is None:
        return None
    known = state.effects.get(effect_key(undo.step, undo.generation))
    settled = state.settled.get(undo.step)
    accounted_for = settled is not None and (settled.status, settled.generation) == (StepStatus.OK, undo.generation)
    if known is not None and known.state == "open" and (state.ended is None or accounted_for):
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
    command = f"{decision.state.workflow_id}/{trigger.step}/{trigger.kind}/{trigger.attempt}"
    if decision.is_open(command):
        yield e.CommandDeadLettered(
            step=trigger.step, kind=trigger.kind, attempt=trigger.attempt, reason=trigger.reason, revoked=(command,)
        )


def signal(decision: Decision) -> Events:
    """A signal came for whatever waits for its name and correlation."""
    trigger = decision.trigger
    if not isinstance(trigger, DeliverSignal):
        raise TypeError(type(trigger).__name__)
    for wait in list(decision.state.waits.values()):
        if wait.reason == "signal" and (wait.name, wait.correlation) == (trigger.name, trigger.correlation):
            yield e.WaitSatisfied(step=wait.step, reason="signal", payload=trigger.payload)
            yield e.StepSucceeded(step=wait.step, attempt=0, output=trigger.payload)


def child_ended(decision: Decision) -> Events:
    """A child is terminal: take over its effects, and its outcome where it is still waited for."""
    trigger, state = decision.trigger, decision.state
    if not isinstance(trigger, EndChild):
        raise TypeError(type(trigger).__name__)
    step = state.steps.get(trigger.step)
    awaited = any(wait.reason == "child" and wait.name == trigger.child_workflow for wait in state.waits.values())
    yield e.ChildEnded(
        step=trigger.step,
        child_workflow=trigger.child_workflow,
        status=trigger.status,
        output=trigger.output,
        reason=trigger.reason,
        effects=tuple(undo.model_copy(update={"step": f"{trigger.step}:{undo.step}"}) for undo in trigger.effects),
    )
    if step is None or not awaited:
        return
    if trigger.status == "completed":
        yield e.StepSucceeded(step=trigger.step, attempt=0, output=trigger.output)
        return
    words = f"child workflow {trigger.child_workflow} {trigger.status}: {trigger.reason}"
    failure = make_failure(trigger.step, FailureClass.PERMANENT, words, type_name="ChildFailed")
    yield from fail_step(decision, trigger.step, failure)


def judge(decision: Decision) -> Events:
    """Decide what follows from each failed or lapsed attempt that has not been judged."""
    state = decision.state
    for key in list(state.undecided):
        if key == UNDO:
            undoing = state.undoing
            if undoing is not None and undoing.undecided is not None:
                yield from compensator.verdict(decision, undoing.undecided)
            continue
        step = state.steps.get(key)
        if step is not None and step.undecided is not None:
            yield from _judge_step(decision, step, step.undecided)


def _judge_step(decision: Decision, step: StepState, failure: Failure) -> Events:
    state = decision.state
    declared = activity_of(decision, step)
    if step.undecided_kind == "probe":
        yield from _judge_probe(decision, step, declared, failure)
        return
    if step.undecided_kind == "run" and declared.effect == "once" and not _proves(failure):
        yield from _unknown(decision, step, declared, failure)
        return
    if state.stopping is not None:
        yield e.StepFailed(step=step.id, failure=failure)
        return
    if step.lapses > LAPSES:
        yield from fail_step(decision, step.id, failure, person=f"{step.lapses} attempts ended without an outcome")
        return
    if failure.type == "Lapsed":
        delay: timedelta | None = timedelta(0)
    else:
        retried = failure
        if step.undecided_kind == "plan" and failure.kind is FailureClass.INVALID:
            retried = failure.model_copy(update={"kind": FailureClass.TRANSIENT})
        delay = next_attempt(
            declared.retry,
            retried,
            tries=step.tries,
            at=decision.at,
            first_scheduled_at=step.first_scheduled_at or decision.at,
            seed=f"{state.workflow_id}/{step.id}/{state.numbers.get(step.id, 0)}",
        )
    if delay is None:
        person = f"the command was given up: {failure.message}" if failure.type == "DeadLettered" else None
        yield from fail_step(decision, step.id, failure, person=person)
        return
    due_at = decision.at + delay
    expires_at = (step.first_scheduled_at or decision.at) + declared.schedule_to_finish
    if due_at >= expires_at:
        yield from executor.time_out(decision, step, due_at=expires_at)
        return
    yield e.RetryScheduled(
        step=step.id,
        kind=step.undecided_kind,
        attempt=state.numbers.get(step.id, 0) + 1,
        due_at=due_at,
        delay_seconds=delay.total_seconds(),
    )


def _proves(failure: Failure) -> bool:
    """Whether a `once` attempt's end is certain: proven absent, or the activity's own answer that a rule says no."""
    return failure.absent or failure.kind is FailureClass.REJECTED


def _unknown(decision: Decision, step: StepState, declared: ActivityType, failure: Failure) -> Events:
    """A `once` attempt ended without proof: ask its probe once the attempt is surely over, or a person."""
    probe_due_at = decision.at + declared.settle_after if declared.reconcile is not None else None
    yield e.OutcomeUnknown(
        step=step.id,
        attempt=decision.state.numbers.get(step.id, 0),
        reason=f"{failure.type}: {failure.message}"[:2_000],
        probe_due_at=probe_due_at,
    )


def _judge_probe(decision: Decision, step: StepState, declared: ActivityType, failure: Failure) -> Events:
    if step.heard is not None:
        yield from settle_heard(decision, step)
        return
    if failure.absent and failure.type == "NotApplied":
        yield from settle_unknown(decision, step.id, applied=False, output=None, settled_by=PROBE)
        return
    probe = decision.recipe.activities[declared.reconcile or ""]
    delay = next_attempt(
        probe.retry,
        failure,
        tries=step.probe_tries,
        at=decision.at,
        first_scheduled_at=decision.at,
        seed=f"{decision.state.workflow_id}/{step.id}/probe/{step.probe_tries}",
    )
    if failure.type == "Lapsed" and step.probe_tries <= LAPSES:
        delay = declared.settle_after
    if delay is not None:
        yield e.RetryScheduled(
            step=step.id,
            kind="probe",
            attempt=decision.state.numbers.get(step.id, 0) + 1,
            due_at=decision.at + delay,
            delay_seconds=delay.total_seconds(),
        )
        return
    yield e.OutcomeUnknown(
        step=step.id,
        attempt=step.unknown_attempt or decision.state.numbers.get(step.id, 0),
        reason=f"the probe could not tell: {failure.type}: {failure.message}"[:2_000],
    )
