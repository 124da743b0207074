"""The moves that several folds share: a step's row and status, what it waits for, commands that are revoked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from domain.failures import Failure
from domain.state import UNDER_WAY, StepStatus
from projections.rows import UNDO, Hold, StepRow, Trouble, WorkflowRow

REASON_CHARACTERS: Final = 500
DEAD_LETTERED: Final = "dead_lettered"
APPROVAL_EXPIRED: Final = "approval_expired"
COMPENSATION_FAILED: Final = "compensation_failed"
"""Why a person is asked, where it was not a failure of the step itself."""
DEFINITION_MISSING: Final = "definition_missing"
"""Why nobody claims a step's command: whoever it came to lacks the definition."""

STEP_WAITS: Final = ("approval", "signal", "time", "child", "outcome_unknown", "intervention")

# Plain texts, as the rows hold them: the database driver takes a detour for every subclass of str.
AWAITING_APPROVAL: Final = StepStatus.AWAITING_APPROVAL.value
COMPENSATED: Final = StepStatus.COMPENSATED.value
COMPENSATING: Final = StepStatus.COMPENSATING.value
FAILED: Final = StepStatus.FAILED.value
OK: Final = StepStatus.OK.value
OUTCOME_UNKNOWN: Final = StepStatus.OUTCOME_UNKNOWN.value
PLANNED: Final = StepStatus.PLANNED.value
RETRY_WAIT: Final = StepStatus.RETRY_WAIT.value
SCHEDULED: Final = StepStatus.SCHEDULED.value
SKIPPED: Final = StepStatus.SKIPPED.value
TIMED_OUT: Final = StepStatus.TIMED_OUT.value
WAITING: Final = StepStatus.WAITING.value


def step_row(row: WorkflowRow, name: str) -> StepRow | None:
    """The row of a step, marked as changed; None for the engine's own."""
    if name.startswith("_"):
        return None
    row.changed[name] = None
    return row.steps[name]


def put(row: WorkflowRow, name: str, status: str) -> StepRow | None:
    """Give a step its status; where its effect is being undone: the one that it has apart from that."""
    step = step_row(row, name)
    if step is not None:
        if row.standing.undoing == name and status != COMPENSATING:
            row.standing.undoing_from = status
        else:
            step.status = status
    return step


def trouble(row: WorkflowRow, name: str, at: datetime, why: str = "") -> None:
    """Something went wrong with this step, or with undoing; what went wrong first says since when."""
    standing = row.standing
    known, hold = standing.troubles.get(name), standing.live.get(name)
    if known is not None and known.why == DEFINITION_MISSING:
        known = None  # it has been run since
    activity = hold.activity if hold is not None else known.activity if known is not None else ""
    standing.troubles[name] = Trouble(at if known is None else known.since, why, activity)


def close_waits(row: WorkflowRow, name: str) -> None:
    """Nothing is awaited by this step any more, and no retry or probe of it is to come."""
    standing = row.standing
    if standing.waits:
        for reason in STEP_WAITS:
            standing.waits.pop(f"{name}:{reason}", None)
    if standing.pending:
        for due in UNDER_WAY:
            standing.pending.pop(f"{due}{name}", None)


def revoke(row: WorkflowRow, message_ids: Iterable[str]) -> list[str]:
    """End the attempts of these commands; the steps (or UNDO) they were of."""
    live = row.standing.live
    gone = set(message_ids)
    keys = [key for key, hold in live.items() if hold.message_id in gone] if gone else []
    for key in keys:
        del live[key]
    return keys


def back_to_planned(row: WorkflowRow, keys: Iterable[str], at: datetime) -> None:
    """The steps of these keys wait for their turn again; an unknown outcome stays one, to be asked about at once."""
    for key in keys:
        if key == UNDO or key.startswith("_"):
            continue
        if row.steps[key].status == OUTCOME_UNKNOWN:
            row.standing.pending[f"probe:{key}"] = Hold(at, at)
        else:
            put(row, key, PLANNED)


def settle(row: WorkflowRow, name: str, at: datetime, status: str) -> StepRow | None:
    """A step has settled: nothing of it is under way or awaited any more."""
    row.standing.live.pop(name, None)
    row.standing.troubles.pop(name, None)
    close_waits(row, name)
    step = put(row, name, status)
    if step is not None:
        row.settled_count += 1
        step.finished_at = at
    return step


def failure_text(failure: Failure) -> str:
    """A failure as its column holds it."""
    return f"{failure.kind.value}: {failure.message}"[:REASON_CHARACTERS]
