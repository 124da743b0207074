"""What was decided long after it fell due: the timer was late, or nobody ran the workflow.

Time in which the workflow was paused, lacked its definition or its budget does not count: nothing falls due then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import events as e
from domain.recorded import RecordedEvent

LATE_SECONDS: Final = 60.0
"""So much later than due is late."""


@dataclass(frozen=True, slots=True)
class Late:
    """One event that was decided late: when it could have been, and how much later it was."""

    version: int
    step: str
    due_at: datetime
    seconds: float


def late_events(events: Sequence[RecordedEvent]) -> list[Late]:
    """What was decided more than LATE_SECONDS after it fell due."""
    found: list[Late] = []
    dues: dict[str, datetime] = {}
    free_at: datetime | None = None
    deadline_at: datetime | None = None
    for recorded in events:
        event, at = recorded.event, recorded.timestamp
        if isinstance(event, e.WorkflowStarted):
            deadline_at = event.deadline_at
        if _frees(event):
            free_at = at
        _note(event, dues)
        due_at, step = _fell_due(event, dues, deadline_at)
        if due_at is None:
            continue
        since = due_at if free_at is None else max(due_at, free_at)
        seconds = (at - since).total_seconds()
        if seconds > LATE_SECONDS:
            found.append(Late(recorded.originator_version, step, since, seconds))
    return found


def _frees(event: e.Event) -> bool:
    """Whether from this event on falls due what could not before it."""
    if isinstance(event, e.StoppingBegan):
        return event.why != "deadline"  # which falls due itself
    satisfied = isinstance(event, e.WaitSatisfied) and event.reason in {"definition", "budget"}
    return satisfied or isinstance(event, e.WorkflowResumed)


def _note(event: e.Event, dues: dict[str, datetime]) -> None:
    """Keep what falls due without an event of its own that says when it was due."""
    if isinstance(event, e.RetryScheduled):
        dues[f"{event.step}/{event.kind}"] = event.due_at
    elif isinstance(event, e.OutcomeUnknown) and event.probe_due_at is not None:
        dues[f"{event.step}/probe"] = event.probe_due_at
    elif isinstance(event, e.WaitStarted) and event.reason == "time" and event.due_at is not None:
        dues[f"{event.step}/time"] = event.due_at


def _fell_due(event: e.Event, dues: dict[str, datetime], deadline_at: datetime | None) -> tuple[datetime | None, str]:
    """When what this event says fell due, and of which step; None where it is nothing that falls due."""
    if isinstance(event, e.ApprovalEscalated | e.ApprovalExpired | e.WaitTimedOut | e.StepTimedOut):
        return event.due_at, event.step
    if isinstance(event, e.StepScheduled):
        return dues.pop(f"{event.step}/{event.kind}", None), event.step
    if isinstance(event, e.WaitSatisfied) and event.reason == "time":
        return dues.pop(f"{event.step}/time", None), event.step
    if isinstance(event, e.StoppingBegan) and event.why == "deadline":
        return deadline_at, ""
    return None, ""
