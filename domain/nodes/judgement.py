"""Judging: what follows from an attempt, a child or an approval that ended badly.

Recording comes first, in the observer; the judgement waits while the workflow is paused or its definition is missing.
"""

from __future__ import annotations

from datetime import timedelta

from domain import events as e
from domain.decision import Decision, Events, activity_of, fail_step
from domain.definitions import ActivityType
from domain.failures import Failure, FailureClass, has_lapsed
from domain.nodes import compensator, executor, observer
from domain.retry import LAPSES, next_attempt
from domain.state import UNDO, State, StepState, effect_key


def judge(decision: Decision) -> Events:
    """Decide what follows from each attempt, child and approval that ended badly and has not been judged."""
    state = decision.state
    for key in list(state.undecided):
        if key == UNDO:
            undoing = state.undoing
            if undoing is not None and undoing.undecided is not None:
                yield from compensator.verdict(decision, undoing.undecided)
            continue
        step = state.steps.get(key)
        if step is None or step.undecided is None:
            continue
        match step.undecided_kind:
            case "child" | "approval":
                yield from fail_step(decision, key, step.undecided)
            case "probe":
                yield from _judge_probe(decision, step, step.undecided)
            case kind:
                yield from _judge_attempt(decision, step, kind, step.undecided)


def _judge_attempt(decision: Decision, step: StepState, kind: e.AttemptKind, failure: Failure) -> Events:
    state = decision.state
    declared = activity_of(decision, step)
    if kind == "run" and declared.effect == "once" and not _is_certain(state, step, failure):
        yield from _unknown(decision, step, declared, failure)
        return
    if state.stopping is not None:
        yield e.StepFailed(step=step.id, failure=failure)
        return
    if step.lapses > LAPSES:
        yield from fail_step(decision, step.id, failure, person=f"{step.lapses} attempts ended without an outcome")
        return
    delay = _delay(decision, step, declared, kind, failure)
    if delay is None:
        given_up = failure.type == "DeadLettered" and failure.absent
        person = f"the command was given up: {failure.message}" if given_up else None
        yield from fail_step(decision, step.id, failure, person=person)
        return
    due_at = decision.at + delay
    expires_at = (step.first_scheduled_at or decision.at) + declared.schedule_to_finish
    if due_at >= expires_at:
        yield from executor.time_out(decision, step, kind, due_at=expires_at)
        return
    yield e.RetryScheduled(
        step=step.id,
        kind=kind,
        attempt=state.next_number(step.id),
        due_at=due_at,
        delay_seconds=delay.total_seconds(),
    )


def _delay(
    decision: Decision, step: StepState, declared: ActivityType, kind: e.AttemptKind, failure: Failure
) -> timedelta | None:
    """How long to wait before the next attempt, or None where there is to be none."""
    if has_lapsed(failure):
        return timedelta(0)
    if kind == "plan" and failure.kind is FailureClass.INVALID:  # a planner may do better when asked again
        failure = failure.model_copy(update={"kind": FailureClass.TRANSIENT})
    return next_attempt(
        declared.retry,
        failure,
        tries=step.tries,
        at=decision.at,
        first_scheduled_at=step.first_scheduled_at or decision.at,
        seed=f"{decision.state.workflow_id}/{step.id}/{decision.state.numbers.get(step.id, 0)}",
    )


def _is_certain(state: State, step: StepState, failure: Failure) -> bool:
    """Whether a `once` attempt's end leaves no doubt: the activity's own no, or proof of absence.

    The proof is no proof where an earlier attempt said afterwards that it had had the effect.
    """
    if failure.kind is FailureClass.REJECTED:
        return True
    return failure.absent and effect_key(step.id, step.generation) not in state.effects


def _unknown(decision: Decision, step: StepState, declared: ActivityType, failure: Failure) -> Events:
    """A `once` attempt ended without proof: ask its probe once the attempt is surely over, or a person."""
    probe_due_at = decision.at + declared.settle_after if declared.reconcile is not None else None
    yield e.OutcomeUnknown(
        step=step.id,
        attempt=decision.state.numbers.get(step.id, 0),
        reason=f"{failure.type}: {failure.message}"[:2_000],
        probe_due_at=probe_due_at,
    )


def _judge_probe(decision: Decision, step: StepState, failure: Failure) -> Events:
    declared = activity_of(decision, step)
    if step.heard is not None:
        yield from observer.settle_heard(decision, step)
        return
    if failure.absent and failure.type == "NotApplied":
        yield from observer.settle_unknown(decision, step.id, applied=False, output=None, settled_by=observer.PROBE)
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
    if has_lapsed(failure) and step.probe_tries <= LAPSES:
        delay = declared.settle_after
    if delay is not None:
        yield e.RetryScheduled(
            step=step.id,
            kind="probe",
            attempt=decision.state.next_number(step.id),
            due_at=decision.at + delay,
            delay_seconds=delay.total_seconds(),
        )
        return
    yield e.OutcomeUnknown(
        step=step.id,
        attempt=step.unknown_attempt or decision.state.numbers.get(step.id, 0),
        reason=f"the probe could not tell: {failure.type}: {failure.message}"[:2_000],
    )
