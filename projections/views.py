"""The rows of two views, `workflows` and `steps`: pure folds of events onto rows.

Theory of operation. A row is folded from its workflow's events alone, in order, and never looks at a whole state: what
it keeps beside its columns (`Standing`) is as small as what is under way. For every prefix of a history the row's
status equals the status that the engine computes (`State.status`), and a step's row that of its step; a test holds the
two folds against each other. Folding never refuses a history that the engine wrote. A history that cannot be folded
(it was written by something else) raises `ViewBroken`; the projector then parks that workflow and goes on with others.

Engine steps (`_plan`, `_artifact`) count for the workflow's status and have no rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from domain import events as e
from domain.errors import HandrailError
from domain.events import Event
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.plan import PlannedStep
from domain.recorded import RecordedEvent
from domain.state import Status
from projections.moves import (
    AWAITING_APPROVAL,
    COMPENSATED,
    COMPENSATING,
    FAILED,
    OK,
    OUTCOME_UNKNOWN,
    PLANNED,
    REASON_CHARACTERS,
    RETRY_WAIT,
    SCHEDULED,
    SKIPPED,
    TIMED_OUT,
    WAITING,
    back_to_planned,
    close_waits,
    failure_text,
    put,
    revoke,
    settle,
    step_row,
)
from projections.rows import UNDO, Standing, StepRow, WorkflowRow

GOAL_CHARACTERS: Final = 200


class ViewBroken(HandrailError):
    """A history that the views cannot fold."""


def fold(row: WorkflowRow, recorded: RecordedEvent) -> None:
    """Fold one event onto its workflow's row. Raises ViewBroken for an event that does not follow the row's."""
    if recorded.originator_version != row.version + 1:
        raise ViewBroken(f"event {recorded.originator_version} does not follow event {row.version}")
    event = recorded.event
    try:
        _FOLDS[type(event)](row, event, recorded.timestamp)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ViewBroken(f"event {recorded.originator_version} ({recorded.name}): {error!r}") from error
    row.version = recorded.originator_version
    row.changed_at = recorded.timestamp


_WITH_STEP: Final = frozenset(kind for kind in e.STORED.values() if "step" in kind.model_fields)


def mentioned_step(event: Event) -> str | None:
    """The step whose row folding this event most likely needs, or None."""
    return event.step or None if type(event) in _WITH_STEP else None  # type: ignore[attr-defined]  # these have it


def _nothing(_row: WorkflowRow, _event: Event, _at: datetime) -> None:
    """Neither view shows it."""


# --- beginnings and plans -------------------------------------------------------------------------------------------


def _started(row: WorkflowRow, event: e.WorkflowStarted, at: datetime) -> None:
    row.definition = event.definition
    row.definition_version = event.definition_version
    row.goal = event.goal[:GOAL_CHARACTERS]
    row.requested_by = event.requested_by
    row.tags = dict(event.tags)
    row.parent_workflow = event.parent_workflow
    row.deadline_at = event.deadline_at
    row.started_at = at


def _forked(row: WorkflowRow, event: e.WorkflowForked, at: datetime) -> None:
    """Take over what the source had settled; all else of it is planned again."""
    source = event.state
    row.definition = source["definition"]
    row.definition_version = source["definition_version"]
    row.goal = source["goal"][:GOAL_CHARACTERS]
    row.requested_by = event.requested_by
    row.tags = dict(source.get("tags") or {})
    row.forked_from = event.source
    row.started_at = at
    row.attempts = source.get("attempts", 0)
    steps = source.get("steps") or {}
    row.standing.planning = bool(source.get("planning", True)) or PLAN_STEP in steps
    row.step_count = source.get("step_count", 0)
    for name, settled in (source.get("settled") or {}).items():
        _add(row, StepRow(name, settled["number"], "activity", settled.get("activity"), settled["status"]))
        row.settled_count += 1
    for name, step in steps.items():
        if not name.startswith("_"):
            planned = PlannedStep.model_validate(step["planned"])
            _add(row, StepRow(name, step["number"], _kind(planned), planned.activity))


def _add(row: WorkflowRow, step: StepRow) -> None:
    row.steps[step.step] = step
    row.changed[step.step] = None


def _kind(planned: PlannedStep) -> str:
    if planned.activity is not None:
        return "activity"
    if planned.wait_time is not None:
        return "time"
    return "signal" if planned.wait_signal is not None else "child"


def _plan_requested(row: WorkflowRow, _event: e.PlanRequested, _at: datetime) -> None:
    row.standing.planning = row.standing.plan_asked = True


def _plan_proposed(row: WorkflowRow, event: e.PlanProposed, _at: datetime) -> None:
    standing = row.standing
    standing.live.pop(PLAN_STEP, None)
    close_waits(row, PLAN_STEP)
    standing.planning = standing.plan_asked = False
    for planned in event.steps:
        _add(row, StepRow(planned.id, row.step_count, _kind(planned), planned.activity))
        row.step_count += 1


def _plan_rejected(row: WorkflowRow, _event: e.PlanRejected, _at: datetime) -> None:
    row.standing.live.pop(PLAN_STEP, None)


# --- approval -------------------------------------------------------------------------------------------------------


def _approval_requested(row: WorkflowRow, event: e.ApprovalRequested, _at: datetime) -> None:
    if event.origin == "activity":
        row.standing.live.pop(event.step, None)
    row.standing.waits[f"{event.step}:approval"] = None
    put(row, event.step, AWAITING_APPROVAL)


def _approval_granted(row: WorkflowRow, event: e.ApprovalGranted, _at: datetime) -> None:
    close_waits(row, event.step)
    put(row, event.step, PLANNED)


def _approval_rejected(row: WorkflowRow, event: e.ApprovalRejected, _at: datetime) -> None:
    close_waits(row, event.step)


def _approval_expired(row: WorkflowRow, event: e.ApprovalExpired, _at: datetime) -> None:
    if event.then != "grant":
        close_waits(row, event.step)


# --- attempts -------------------------------------------------------------------------------------------------------


def _scheduled(row: WorkflowRow, event: e.StepScheduled, at: datetime) -> None:
    standing = row.standing
    row.attempts += 1
    if event.kind == "compensate":
        standing.live[UNDO] = event.message_id
        standing.pending.pop(f"retry:{UNDO}", None)
        return
    standing.live[event.step] = event.message_id
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


def _succeeded(row: WorkflowRow, event: e.StepSucceeded, at: datetime) -> None:
    step = settle(row, event.step, at, OK)
    if step is not None:
        step.failure = None
        step.worker = event.worker
        step.started_at = event.started_at or step.started_at
        step.finished_at = event.finished_at or at


def _attempt_failed(row: WorkflowRow, event: e.AttemptFailed, _at: datetime) -> None:
    if event.kind == "compensate":
        row.standing.live.pop(UNDO, None)
        return
    row.standing.live.pop(event.step, None)
    step = step_row(row, event.step)
    if step is not None:
        step.failure = failure_text(event.failure)
        step.worker = event.worker
        step.started_at = event.started_at or step.started_at


def _lapsed(row: WorkflowRow, event: e.AttemptLapsed, _at: datetime) -> None:
    row.standing.live.pop(UNDO if event.kind == "compensate" else event.step, None)


def _retry_scheduled(row: WorkflowRow, event: e.RetryScheduled, _at: datetime) -> None:
    pending = row.standing.pending
    if event.kind == "compensate":
        pending[f"retry:{UNDO}"] = None
    elif event.kind == "probe":
        pending[f"probe:{event.step}"] = None
    else:
        pending[f"retry:{event.step}"] = None
        put(row, event.step, RETRY_WAIT)


def _step_failed(row: WorkflowRow, event: e.StepFailed, at: datetime) -> None:
    row.standing.live.pop(event.step, None)
    close_waits(row, event.step)
    step = put(row, event.step, FAILED)
    if step is not None:
        step.failure = failure_text(event.failure)
        step.finished_at = at


def _timed_out(row: WorkflowRow, event: e.StepTimedOut, at: datetime) -> None:
    revoke(row, event.revoked)
    if event.kind == "probe":
        return
    close_waits(row, event.step)
    step = put(row, event.step, TIMED_OUT)
    if step is not None:
        step.finished_at = at


def _outcome_unknown(row: WorkflowRow, event: e.OutcomeUnknown, _at: datetime) -> None:
    revoke(row, event.revoked)
    close_waits(row, event.step)
    if event.probe_due_at is not None:
        row.standing.pending[f"probe:{event.step}"] = None
    else:
        row.standing.waits[f"{event.step}:outcome_unknown"] = None
    put(row, event.step, OUTCOME_UNKNOWN)


def _reconciled(row: WorkflowRow, event: e.OutcomeReconciled, _at: datetime) -> None:
    row.standing.live.pop(event.step, None)
    close_waits(row, event.step)
    if not event.applied:
        put(row, event.step, PLANNED)


def _dead_lettered(row: WorkflowRow, event: e.CommandDeadLettered, _at: datetime) -> None:
    revoke(row, event.revoked)


def _skipped(row: WorkflowRow, event: e.StepSkipped, at: datetime) -> None:
    if event.step.startswith("_"):
        row.standing.live.pop(event.step, None)
        close_waits(row, event.step)
        row.standing.planning = False
        if event.step == PLAN_STEP:
            row.standing.plan_asked = False
        return
    settle(row, event.step, at, SKIPPED)


def _artifact_recorded(row: WorkflowRow, event: e.ArtifactRecorded, _at: datetime) -> None:
    if event.step == ARTIFACT_STEP:
        row.standing.live.pop(ARTIFACT_STEP, None)
        close_waits(row, ARTIFACT_STEP)


# --- waits and children ---------------------------------------------------------------------------------------------


def _wait_started(row: WorkflowRow, event: e.WaitStarted, _at: datetime) -> None:
    row.standing.waits[f"{event.step}:{event.reason}"] = None
    if event.step:
        put(row, event.step, WAITING)


def _wait_ended(row: WorkflowRow, event: e.WaitSatisfied | e.WaitTimedOut, _at: datetime) -> None:
    waits = row.standing.waits
    waits.pop(f"{event.step}:{event.reason}", None)
    if isinstance(event, e.WaitTimedOut) and event.child_workflow is not None:
        waits[f"{event.child_workflow}:child"] = None


def _child_started(row: WorkflowRow, event: e.ChildStarted, _at: datetime) -> None:
    row.standing.waits[f"{event.step}:child"] = None
    put(row, event.step, WAITING)


def _child_ended(row: WorkflowRow, event: e.ChildEnded, _at: datetime) -> None:
    waits = row.standing.waits
    given_up = f"{event.child_workflow}:child"
    waits.pop(given_up if given_up in waits else f"{event.step}:child", None)


# --- people ---------------------------------------------------------------------------------------------------------


def _intervention_requested(row: WorkflowRow, event: e.InterventionRequested, _at: datetime) -> None:
    row.standing.waits[f"{event.step}:intervention"] = None


def _intervention_applied(row: WorkflowRow, event: e.InterventionApplied, _at: datetime) -> None:
    standing = row.standing
    revoke(row, event.revoked)
    standing.waits.pop(f"{event.step}:intervention", None)
    if event.act == "extend":
        standing.waits.pop(":budget", None)
    elif event.act == "retry" and standing.undoing != event.step:
        close_waits(row, event.step)
        step = put(row, event.step, PLANNED)
        if step is not None and (event.input is not None or step.kind == "child"):
            step.generation += 1


def _paused(row: WorkflowRow, event: e.WorkflowPaused, _at: datetime) -> None:
    row.standing.paused = True
    back_to_planned(row, revoke(row, event.revoked))


def _resumed(row: WorkflowRow, _event: e.WorkflowResumed, _at: datetime) -> None:
    row.standing.paused = False


def _restored(row: WorkflowRow, event: e.WorkflowRestored, _at: datetime) -> None:
    back_to_planned(row, revoke(row, event.ended))


# --- ends -----------------------------------------------------------------------------------------------------------


def _stopping(row: WorkflowRow, event: e.StoppingBegan, _at: datetime) -> None:
    standing = row.standing
    standing.stopping = True
    standing.paused = standing.planning = standing.finalizing = False
    row.reason = event.reason[:REASON_CHARACTERS]
    back_to_planned(row, revoke(row, event.revoked))
    standing.waits = {key: None for key in standing.waits if key.endswith((":outcome_unknown", ":child"))}
    standing.pending = {key: None for key in standing.pending if key.startswith("probe:")}


def _compensation_started(row: WorkflowRow, _event: e.CompensationStarted, _at: datetime) -> None:
    row.standing.compensating = True


def _compensation_scheduled(row: WorkflowRow, event: e.CompensationScheduled, _at: datetime) -> None:
    row.standing.undoing = event.step
    step = _effect_of(row, event.step)
    if step is not None:
        row.standing.undoing_from = step.status
        put(row, event.step, COMPENSATING)


def _effect_of(row: WorkflowRow, name: str) -> StepRow | None:
    """The row of the step whose effect is undone; None for an effect that a child workflow left behind."""
    try:
        return row.steps[name]
    except KeyError:
        return None


def _compensated(row: WorkflowRow, event: e.StepCompensated, _at: datetime) -> None:
    standing = row.standing
    standing.live.pop(UNDO, None)
    standing.pending.pop(f"retry:{UNDO}", None)
    standing.waits.pop(f"{event.step}:intervention", None)
    standing.undoing = None
    if _effect_of(row, event.step) is not None:
        # An effect that a person accepted as it is leaves the step what it was.
        kept = standing.undoing_from if event.accepted_by is not None else None
        put(row, event.step, kept or COMPENSATED)


def _ended(status: Status) -> Callable[[WorkflowRow, Any, datetime], None]:
    def end(row: WorkflowRow, event: Any, at: datetime) -> None:
        row.standing = Standing(ended=status.value, planning=False)
        row.ended_at = at
        row.reason = getattr(event, "reason", "")[:REASON_CHARACTERS]

    return end


_FOLDS: Final[dict[type[Event], Callable[[WorkflowRow, Any, datetime], None]]] = {
    e.WorkflowStarted: _started,
    e.WorkflowForked: _forked,
    e.PlanRequested: _plan_requested,
    e.PlanProposed: _plan_proposed,
    e.PlanRejected: _plan_rejected,
    e.PolicyEvaluated: _nothing,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalRecorded: _nothing,
    e.ApprovalGranted: _approval_granted,
    e.ApprovalRejected: _approval_rejected,
    e.ApprovalEscalated: _nothing,
    e.ApprovalExpired: _approval_expired,
    e.DecisionRefused: _nothing,
    e.StepScheduled: _scheduled,
    e.StepSucceeded: _succeeded,
    e.AttemptFailed: _attempt_failed,
    e.AttemptLapsed: _lapsed,
    e.RetryScheduled: _retry_scheduled,
    e.StepFailed: _step_failed,
    e.StepTimedOut: _timed_out,
    e.OutcomeUnknown: _outcome_unknown,
    e.OutcomeReconciled: _reconciled,
    e.LateOutcomeRecorded: _nothing,
    e.CommandDeadLettered: _dead_lettered,
    e.StepSkipped: _skipped,
    e.ArtifactRecorded: _artifact_recorded,
    e.WaitStarted: _wait_started,
    e.WaitSatisfied: _wait_ended,
    e.WaitTimedOut: _wait_ended,
    e.ChildStarted: _child_started,
    e.ChildEnded: _child_ended,
    e.InterventionRequested: _intervention_requested,
    e.InterventionApplied: _intervention_applied,
    e.WorkflowPaused: _paused,
    e.WorkflowResumed: _resumed,
    e.WorkflowRestored: _restored,
    e.StoppingBegan: _stopping,
    e.CompensationStarted: _compensation_started,
    e.CompensationScheduled: _compensation_scheduled,
    e.StepCompensated: _compensated,
    e.CompensationFailed: _nothing,
    e.WorkflowCompleted: _ended(Status.COMPLETED),
    e.WorkflowFailed: _ended(Status.FAILED),
    e.WorkflowCancelled: _ended(Status.CANCELLED),
    e.WorkflowCompensated: _ended(Status.COMPENSATED),
}
