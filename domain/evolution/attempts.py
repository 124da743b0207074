"""How attempts change the state: scheduled, ended one way or another, given up, heard of late."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.evolution.moves import close_waits, end_live, forget_effect, list_effect, revoke, settle, undo_of
from domain.failures import LAPSED, FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.state import UNDO, Effect, HeardLate, Live, Lost, State, StepState, StepStatus, Wait, effect_key, wait_key


def step_scheduled(state: State, event: e.StepScheduled, at: datetime) -> None:
    live = Live(event.message_id, event.kind, event.attempt, event.activity, at, event.expires_at, state.version + 1)
    state.numbers[event.step] = event.attempt
    state.attempts += 1
    if event.kind == "compensate":
        undoing = state.undoing
        if undoing is not None:
            undoing.live = live
            undoing.tries += 1
            undoing.first_scheduled_at = undoing.first_scheduled_at or at
        state.live[event.message_id] = UNDO
        state.dues.pop(f"retry:{UNDO}", None)
        return
    if event.kind == "artifact" and ARTIFACT_STEP not in state.steps:
        state.steps[ARTIFACT_STEP] = StepState(ARTIFACT_STEP, -1, None)
        state.finalizing = True
    step = state.steps[event.step]
    step.live = live
    state.live[event.message_id] = event.step
    if event.kind == "probe":
        step.probe_tries += 1
        state.dues.pop(f"probe:{event.step}", None)
        return
    step.status = StepStatus.SCHEDULED
    step.input = event.input
    step.tries += 1
    step.first_scheduled_at = step.first_scheduled_at or at
    step.effect, step.compensation, step.pivot, step.key = event.effect, event.compensation, event.pivot, event.key
    state.ready.pop(event.step, None)
    if state.dues:
        state.dues.pop(f"retry:{event.step}", None)


def step_succeeded(state: State, event: e.StepSucceeded, _: datetime) -> None:
    step = state.steps[event.step]
    if step.live is not None or effect_key(step.id, step.generation) in state.effects:
        list_effect(state, step, event.output)
    for artifact in event.artifacts:
        state.artifacts[artifact.name] = artifact
    settle(state, event.step, StepStatus.OK, output=event.output)


def attempt_failed(state: State, event: e.AttemptFailed, _: datetime) -> None:
    if event.kind == "compensate":
        end_live(state, UNDO)
        if state.undoing is not None:
            state.undoing.undecided = event.failure
        state.undecided[UNDO] = None
        return
    end_live(state, event.step)
    step = state.steps[event.step]
    step.undecided = step.last_failure = event.failure
    step.undecided_kind = event.kind
    state.undecided[event.step] = None
    if event.failure.kind is FailureClass.TIMEOUT:
        # Code that could not be stopped may still end: then what it says is recorded as late.
        undo = undo_of(step) if event.kind == "run" else None
        state.lapsed[f"{event.step}/{event.kind}/{event.attempt}"] = Lost(undo, timed_out=True)
    if event.kind == "run" and not event.failure.absent:
        list_effect(state, step)


def attempt_lapsed(state: State, event: e.AttemptLapsed, _: datetime) -> None:
    state.lapsed[f"{event.step}/{event.kind}/{event.attempt}"] = lost = Lost()
    failure = make_failure(
        event.step,
        FailureClass.OUTCOME_UNKNOWN,
        event.reason or "the claim ended without an outcome",
        type_name=LAPSED,
    )
    if event.kind == "compensate":
        end_live(state, UNDO)
        if state.undoing is not None:
            state.undoing.undecided = failure
            state.undoing.lapses += 1
            state.undoing.tries -= 1
        state.undecided[UNDO] = None
        return
    end_live(state, event.step)
    step = state.steps[event.step]
    if event.kind != "probe":
        step.lapses += 1
        step.tries -= 1
    step.undecided = step.last_failure = failure
    step.undecided_kind = event.kind
    state.undecided[event.step] = None
    if event.kind == "run":
        list_effect(state, step)
        lost.undo = undo_of(step)


def retry_scheduled(state: State, event: e.RetryScheduled, _: datetime) -> None:
    if event.kind == "compensate":
        if state.undoing is not None:
            state.undoing.undecided = None
        state.undecided.pop(UNDO, None)
        state.dues[f"retry:{UNDO}"] = event.due_at
        return
    step = state.steps[event.step]
    step.undecided = None
    state.undecided.pop(event.step, None)
    if event.kind == "probe":
        state.dues[f"probe:{event.step}"] = event.due_at
        return
    step.status = StepStatus.RETRY_WAIT
    state.dues[f"retry:{event.step}"] = event.due_at


def step_failed(state: State, event: e.StepFailed, _: datetime) -> None:
    step = state.steps[event.step]
    end_live(state, event.step)
    close_waits(state, event.step)
    state.ready.pop(event.step, None)
    step.status = StepStatus.FAILED
    step.undecided = None
    step.last_failure = event.failure


def step_timed_out(state: State, event: e.StepTimedOut, _: datetime) -> None:
    step = state.steps[event.step]
    revoke(state, event.revoked)
    if event.kind == "probe":  # the outcome that it was to find out is as unknown as before
        step.probe_tries += 1
        step.undecided = make_failure(
            event.step, FailureClass.TIMEOUT, "the probe was not taken up in time", type_name="StepTimedOut"
        )
        step.undecided_kind = "probe"
        state.undecided[event.step] = None
        return
    close_waits(state, event.step)
    state.ready.pop(event.step, None)
    step.status = StepStatus.TIMED_OUT
    step.undecided = None


def outcome_unknown(state: State, event: e.OutcomeUnknown, at: datetime) -> None:
    step = state.steps[event.step]
    revoke(state, event.revoked)
    close_waits(state, event.step)
    state.ready.pop(event.step, None)
    step.status = StepStatus.OUTCOME_UNKNOWN
    step.unknown_attempt = event.attempt
    step.undecided = None
    if state.doubted:  # the time that was lost may have had the effect, and nobody told of it here
        list_effect(state, step)
    if event.probe_due_at is not None:
        state.dues[f"probe:{event.step}"] = event.probe_due_at
    else:
        state.waits[wait_key(event.step, "outcome_unknown")] = Wait(
            event.step, "outcome_unknown", at, detail=event.reason
        )


def outcome_reconciled(state: State, event: e.OutcomeReconciled, _: datetime) -> None:
    step = state.steps[event.step]
    end_live(state, event.step)
    close_waits(state, event.step)
    step.unknown_attempt = None
    step.heard = None
    step.undecided = None
    step.probe_tries = 0
    if state.doubted and step.cleared < step.generation:
        step.cleared = step.generation
        step.first_scheduled_at = None  # none of its time was used for the attempt that was only asked about
    if event.applied:
        return
    forget_effect(state, step)
    step.status = StepStatus.PLANNED
    step.undecided = make_failure(
        step.id, FailureClass.TRANSIENT, f"proven not applied ({event.settled_by})", type_name="NotApplied", absent=True
    )
    step.undecided_kind = "run"
    state.undecided[event.step] = None


def late_outcome(state: State, event: e.LateOutcomeRecorded, _: datetime) -> None:
    lost = state.lapsed.pop(f"{event.step}/{event.kind}/{event.attempt}", None)
    if lost is not None and event.failure is not None and event.failure.kind is FailureClass.TIMEOUT:
        state.lapsed[f"{event.step}/{event.kind}/{event.attempt}"] = Lost(lost.undo, timed_out=True)
    if event.undo is not None:
        key = effect_key(event.undo.step, event.undo.generation)
        state.effects.pop(key, None)
        state.effects[key] = Effect(event.undo)
        state.pivot_passed = state.pivot_passed or event.undo.compensation is None
    step = state.steps.get(event.step)
    if (
        step is not None
        and event.status == "ok"
        and event.kind == "run"
        and step.unknown_attempt is not None
        and step.live is not None
        and lost is not None
        and lost.undo is not None
        and lost.undo.generation == step.generation
    ):
        step.heard = HeardLate(event.output)


def command_dead_lettered(state: State, event: e.CommandDeadLettered, _: datetime) -> None:
    failure = make_failure(event.step, FailureClass.TRANSIENT, event.reason, type_name="DeadLettered", absent=True)
    keys = revoke(state, event.revoked)
    if UNDO in keys and state.undoing is not None:
        state.undoing.undecided = failure
        state.undoing.tries += 1
        state.undecided[UNDO] = None
        return
    step = state.steps[event.step]
    if event.kind == "probe":
        step.probe_tries += 1
    else:
        step.tries += 1
    step.undecided = step.last_failure = failure
    step.undecided_kind = event.kind
    state.undecided[event.step] = None


def step_skipped(state: State, event: e.StepSkipped, _: datetime) -> None:
    if event.step in (PLAN_STEP, ARTIFACT_STEP):
        end_live(state, event.step)
        close_waits(state, event.step)
        state.steps.pop(event.step, None)
        if event.step == PLAN_STEP:
            state.plan_final, state.planning = True, False
        else:
            state.artifact_done = True
        return
    settle(state, event.step, StepStatus.SKIPPED, failure=event.reason)


def artifact_recorded(state: State, event: e.ArtifactRecorded, _: datetime) -> None:
    state.artifacts[event.name] = e.Artifact(name=event.name, digest=event.digest, size=event.size)
    if event.step == ARTIFACT_STEP:
        end_live(state, ARTIFACT_STEP)
        close_waits(state, ARTIFACT_STEP)
        state.steps.pop(ARTIFACT_STEP, None)
        state.artifact_done = True
