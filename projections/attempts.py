"""How attempts change the rows: scheduled, ended one way or another, tried again, or what they were of passed over.

An attempt that ends otherwise than in success leaves a note of itself (`AttemptNote`), a failure one of its make
(`FailureNote`): rows of the views `attempts` and `failures`. What succeeded at the first try is told by its step.
"""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.failures import Failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from projections.moves import (
    DEAD_LETTERED,
    DEFINITION_MISSING,
    FAILED,
    OK,
    OUTCOME_UNKNOWN,
    PLANNED,
    REASON_CHARACTERS,
    RETRY_WAIT,
    SCHEDULED,
    SKIPPED,
    TIMED_OUT,
    close_waits,
    failure_text,
    put,
    revoke,
    settle,
    step_row,
    trouble,
)
from projections.rows import UNDO, AttemptNote, FailureNote, Hold, WorkflowRow


def scheduled(row: WorkflowRow, event: e.StepScheduled, at: datetime) -> None:
    """An attempt is to be made."""
    standing = row.standing
    row.attempts += 1
    hold = Hold(at, event.expires_at, event.message_id, event.activity, event.queue)
    if standing.troubles:
        _forget_lack(row, UNDO if event.kind == "compensate" else event.step)
    if event.kind == "compensate":
        standing.live[UNDO] = hold
        standing.pending.pop(f"retry:{UNDO}", None)
        return
    standing.live[event.step] = hold
    if event.kind == "artifact":
        standing.finalizing = True
    if event.kind == "probe":
        standing.pending.pop(f"probe:{event.step}", None)
        return
    standing.pending.pop(f"retry:{event.step}", None)
    step = put(row, event.step, SCHEDULED)
    if step is not None:
        step.attempts += 1
        step.generation = event.generation
        step.scheduled_at = at


def _forget_lack(row: WorkflowRow, key: str) -> None:
    """Whoever this attempt comes to may have the definition that the one before was not begun for."""
    known = row.standing.troubles.get(key)
    if known is not None and known.why == DEFINITION_MISSING:
        del row.standing.troubles[key]


def succeeded(row: WorkflowRow, event: e.StepSucceeded, at: datetime) -> None:
    """A step has its output."""
    step = settle(row, event.step, at, OK)
    if step is not None:
        step.failure = step.fingerprint = None
        step.worker = event.worker
        step.started_at = event.started_at or step.started_at
        step.finished_at = event.finished_at or at


def attempt_failed(row: WorkflowRow, event: e.AttemptFailed, at: datetime) -> None:
    """An attempt failed; what follows is told by an event of its own."""
    key = UNDO if event.kind == "compensate" else event.step
    trouble(row, key, at)
    _note(row, key, event, "failed", at, failure=event.failure)
    if event.kind == "compensate":
        row.standing.live.pop(UNDO, None)
        return
    row.standing.live.pop(event.step, None)
    step = step_row(row, event.step)
    if step is not None:
        step.failure = failure_text(event.failure)
        step.fingerprint = event.failure.fingerprint
        step.worker = event.worker
        step.started_at = event.started_at or step.started_at


def lapsed(row: WorkflowRow, event: e.AttemptLapsed, at: datetime) -> None:
    """An attempt ended without an outcome."""
    key = UNDO if event.kind == "compensate" else event.step
    trouble(row, key, at)
    _note(row, key, event, "lapsed", at, words=event.reason)
    row.standing.live.pop(key, None)


def retry_scheduled(row: WorkflowRow, event: e.RetryScheduled, at: datetime) -> None:
    """A further attempt will be made."""
    pending = row.standing.pending
    hold = Hold(at, event.due_at)
    if event.kind == "compensate":
        pending[f"retry:{UNDO}"] = hold
    elif event.kind == "probe":
        pending[f"probe:{event.step}"] = hold
    else:
        pending[f"retry:{event.step}"] = hold
        put(row, event.step, RETRY_WAIT)


def step_failed(row: WorkflowRow, event: e.StepFailed, at: datetime) -> None:
    """A step failed for good."""
    row.standing.live.pop(event.step, None)
    close_waits(row, event.step)
    step = put(row, event.step, FAILED)
    if step is not None:
        if step.fingerprint != event.failure.fingerprint:  # not what its last attempt was counted with
            row.notes.append(FailureNote(event.failure, step.activity or step.kind, at))
        step.failure = failure_text(event.failure)
        step.fingerprint = event.failure.fingerprint
        step.finished_at = at


def timed_out(row: WorkflowRow, event: e.StepTimedOut, at: datetime) -> None:
    """A step ran out of its time."""
    _note(row, event.step, event, "timed_out", at)
    revoke(row, event.revoked)
    if event.kind == "probe":
        return
    close_waits(row, event.step)
    step = put(row, event.step, TIMED_OUT)
    if step is not None:
        step.finished_at = at


def outcome_unknown(row: WorkflowRow, event: e.OutcomeUnknown, at: datetime) -> None:
    """An attempt may or may not have happened."""
    row.notes.append(AttemptNote(event.step, "run", event.attempt, "unknown", at, failure=event.reason))
    revoke(row, event.revoked)
    close_waits(row, event.step)
    if event.probe_due_at is not None:
        row.standing.pending[f"probe:{event.step}"] = Hold(at, event.probe_due_at)
    else:
        row.standing.waits[f"{event.step}:outcome_unknown"] = Hold(at)
    put(row, event.step, OUTCOME_UNKNOWN)


def reconciled(row: WorkflowRow, event: e.OutcomeReconciled, _at: datetime) -> None:
    """An unknown outcome was settled."""
    row.standing.live.pop(event.step, None)
    close_waits(row, event.step)
    if not event.applied:
        put(row, event.step, PLANNED)


def dead_lettered(row: WorkflowRow, event: e.CommandDeadLettered, at: datetime) -> None:
    """The transport gave a command up."""
    key = UNDO if event.kind == "compensate" else event.step
    trouble(row, key, at, DEAD_LETTERED)
    _note(row, key, event, "dead_lettered", at, words=event.reason)
    revoke(row, event.revoked)


def skipped(row: WorkflowRow, event: e.StepSkipped, at: datetime) -> None:
    """A step is passed over."""
    if event.step.startswith("_"):
        row.standing.live.pop(event.step, None)
        close_waits(row, event.step)
        row.standing.planning = False
        if event.step == PLAN_STEP:
            row.standing.plan_asked = False
        return
    settle(row, event.step, at, SKIPPED)


def artifact_recorded(row: WorkflowRow, event: e.ArtifactRecorded, _at: datetime) -> None:
    """A file stands in the artifact store."""
    if event.step == ARTIFACT_STEP:
        row.standing.live.pop(ARTIFACT_STEP, None)
        close_waits(row, ARTIFACT_STEP)


def late(row: WorkflowRow, event: e.LateOutcomeRecorded, at: datetime) -> None:
    """An attempt that was given up for lost reported after all."""
    failure = event.failure
    row.notes.append(
        AttemptNote(
            event.step,
            event.kind,
            event.attempt,
            f"late_{event.status}",
            at,
            failure=failure_text(failure) if failure is not None else None,
            fingerprint=failure.fingerprint if failure is not None else None,
        )
    )


def _note(
    row: WorkflowRow,
    key: str,
    event: e.AttemptFailed | e.AttemptLapsed | e.StepTimedOut | e.CommandDeadLettered,
    outcome: str,
    at: datetime,
    *,
    failure: Failure | None = None,
    words: str = "",
) -> None:
    """Note how an attempt ended; what it was of is known as long as it is under way."""
    hold = row.standing.live.get(key)
    activity = hold.activity if hold is not None else ""
    row.notes.append(
        AttemptNote(
            event.step,
            event.kind,
            event.attempt,
            outcome,
            at,
            activity=activity,
            scheduled_at=hold.since if hold is not None else None,
            started_at=getattr(event, "started_at", None),
            worker=getattr(event, "worker", None) or getattr(event, "owner", None),
            failure=failure_text(failure) if failure is not None else words[:REASON_CHARACTERS] or None,
            fingerprint=failure.fingerprint if failure is not None else None,
        )
    )
    if failure is not None:
        row.notes.append(FailureNote(failure, activity, at))
