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
from domain.ids import PLAN_STEP
from domain.plan import PlannedStep
from domain.recorded import RecordedEvent
from domain.state import Status
from projections import attempts
from projections.moves import (
    APPROVAL_EXPIRED,
    AWAITING_APPROVAL,
    COMPENSATED,
    COMPENSATING,
    COMPENSATION_FAILED,
    DEFINITION_MISSING,
    PLANNED,
    REASON_CHARACTERS,
    WAITING,
    back_to_planned,
    close_waits,
    put,
    revoke,
)
from projections.rows import UNDO, Hold, Standing, StepRow, Trouble, WorkflowRow

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
    row.deadline_at = event.deadline_at
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


def _approval_requested(row: WorkflowRow, event: e.ApprovalRequested, at: datetime) -> None:
    standing = row.standing
    if event.origin == "activity":
        standing.live.pop(event.step, None)
        standing.troubles.pop(event.step, None)
    standing.pending.pop(f"retry:{event.step}", None)
    standing.waits[f"{event.step}:approval"] = Hold(at, event.deadline_at, name=event.approval_id)
    put(row, event.step, AWAITING_APPROVAL)


def _approval_granted(row: WorkflowRow, event: e.ApprovalGranted, _at: datetime) -> None:
    close_waits(row, event.step)
    put(row, event.step, PLANNED)


def _approval_rejected(row: WorkflowRow, event: e.ApprovalRejected, _at: datetime) -> None:
    close_waits(row, event.step)


def _approval_expired(row: WorkflowRow, event: e.ApprovalExpired, at: datetime) -> None:
    if event.then != "grant":
        close_waits(row, event.step)
        row.standing.troubles[event.step] = Trouble(at, APPROVAL_EXPIRED)


# --- waits and children ---------------------------------------------------------------------------------------------


def _wait_started(row: WorkflowRow, event: e.WaitStarted, at: datetime) -> None:
    row.standing.waits[f"{event.step}:{event.reason}"] = Hold(at, event.due_at, name=event.name or "")
    if event.step:
        put(row, event.step, WAITING)
    elif event.reason == "definition":
        # Where those who decide have it and those who run steps have not, this wait comes and goes: what stays is that
        # these attempts are not begun.
        for key, hold in row.standing.live.items():
            row.standing.troubles.setdefault(key, Trouble(at, DEFINITION_MISSING, hold.activity))


def _wait_ended(row: WorkflowRow, event: e.WaitSatisfied | e.WaitTimedOut, at: datetime) -> None:
    waits = row.standing.waits
    waits.pop(f"{event.step}:{event.reason}", None)
    if isinstance(event, e.WaitTimedOut) and event.child_workflow is not None:
        waits[f"{event.child_workflow}:child"] = Hold(at, name=event.child_workflow)


def _child_started(row: WorkflowRow, event: e.ChildStarted, at: datetime) -> None:
    row.standing.waits[f"{event.step}:child"] = Hold(at, event.due_at, name=event.child_workflow)
    put(row, event.step, WAITING)


def _child_ended(row: WorkflowRow, event: e.ChildEnded, _at: datetime) -> None:
    waits = row.standing.waits
    given_up = f"{event.child_workflow}:child"
    waits.pop(given_up if given_up in waits else f"{event.step}:child", None)


# --- people ---------------------------------------------------------------------------------------------------------


def _intervention_requested(row: WorkflowRow, event: e.InterventionRequested, at: datetime) -> None:
    row.standing.waits[f"{event.step}:intervention"] = Hold(at)


def _intervention_applied(row: WorkflowRow, event: e.InterventionApplied, _at: datetime) -> None:
    standing = row.standing
    revoke(row, event.revoked)
    standing.waits.pop(f"{event.step}:intervention", None)
    if event.act == "extend":
        standing.waits.pop(":budget", None)
    elif event.act == "retry" and standing.undoing == event.step:
        standing.troubles.pop(UNDO, None)
    elif event.act == "retry":
        close_waits(row, event.step)
        step = put(row, event.step, PLANNED)
        if step is not None and (event.input is not None or step.kind == "child"):
            step.generation += 1


def _paused(row: WorkflowRow, event: e.WorkflowPaused, at: datetime) -> None:
    row.standing.paused = True
    back_to_planned(row, revoke(row, event.revoked), at)


def _resumed(row: WorkflowRow, _event: e.WorkflowResumed, _at: datetime) -> None:
    row.standing.paused = False


def _restored(row: WorkflowRow, event: e.WorkflowRestored, at: datetime) -> None:
    back_to_planned(row, revoke(row, event.ended), at)


# --- ends -----------------------------------------------------------------------------------------------------------


def _stopping(row: WorkflowRow, event: e.StoppingBegan, at: datetime) -> None:
    standing = row.standing
    standing.stopping = True
    standing.paused = standing.planning = standing.finalizing = False
    row.reason = event.reason[:REASON_CHARACTERS]
    kept = (":outcome_unknown", ":child")
    standing.waits = {key: hold for key, hold in standing.waits.items() if key.endswith(kept)}
    standing.pending = {key: hold for key, hold in standing.pending.items() if key.startswith("probe:")}
    standing.troubles = {key: trouble for key, trouble in standing.troubles.items() if key in standing.live}
    back_to_planned(row, revoke(row, event.revoked), at)


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
    standing.troubles.pop(UNDO, None)
    standing.undoing = None
    if _effect_of(row, event.step) is not None:
        # An effect that a person accepted as it is leaves the step what it was.
        kept = standing.undoing_from if event.accepted_by is not None else None
        put(row, event.step, kept or COMPENSATED)


def _compensation_failed(row: WorkflowRow, _event: e.CompensationFailed, at: datetime) -> None:
    row.standing.pending.pop(f"retry:{UNDO}", None)
    row.standing.troubles[UNDO] = Trouble(at, COMPENSATION_FAILED)


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
    e.StepScheduled: attempts.scheduled,
    e.StepSucceeded: attempts.succeeded,
    e.AttemptFailed: attempts.attempt_failed,
    e.AttemptLapsed: attempts.lapsed,
    e.RetryScheduled: attempts.retry_scheduled,
    e.StepFailed: attempts.step_failed,
    e.StepTimedOut: attempts.timed_out,
    e.OutcomeUnknown: attempts.outcome_unknown,
    e.OutcomeReconciled: attempts.reconciled,
    e.LateOutcomeRecorded: attempts.late,
    e.CommandDeadLettered: attempts.dead_lettered,
    e.StepSkipped: attempts.skipped,
    e.ArtifactRecorded: attempts.artifact_recorded,
    e.WaitStarted: _wait_started,
    e.WaitSatisfied: _wait_ended,
    e.WaitTimedOut: _wait_ended,
    e.ChildStarted: _child_started,
    e.ChildEnded: _child_ended,
    e.InterventionRequested: _intervention_requested,
    e.InterventionApplied: _intervention_applied,
    e.WorkflowPaused: _paused,
    e.WorkflowResumed: _resumed,
    e.ForkTaken: _nothing,
    e.WorkflowRestored: _restored,
    e.StoppingBegan: _stopping,
    e.CompensationStarted: _compensation_started,
    e.CompensationScheduled: _compensation_scheduled,
    e.StepCompensated: _compensated,
    e.CompensationFailed: _compensation_failed,
    e.WorkflowCompleted: _ended(Status.COMPLETED),
    e.WorkflowFailed: _ended(Status.FAILED),
    e.WorkflowCancelled: _ended(Status.CANCELLED),
    e.WorkflowCompensated: _ended(Status.COMPENSATED),
}
