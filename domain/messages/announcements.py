"""What other services may listen to on `handrail.events`: approvals requested, workflows begun and ended, trouble.

Made from the event alone and what its workflow began with, so that the same event always makes the same message: its
id is `workflow@version`, by which a listener knows a repeat. At least once; order is not promised, `handrail-sequence`
tells it. What would make a body too large is left out and named in `left_out`: `GET /workflows/{id}` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from domain import events as e
from domain.failures import Failure
from domain.messages.commands import Origin
from domain.messages.names import BODY_BYTES
from domain.recorded import RecordedEvent

GOAL_CHARACTERS_SHOWN: Final = 2_000
_LEFT_OUT_FIRST: Final = ("evidence", "action", "output", "failure", "controls")


class Announced(Origin, Protocol):
    """What an announcement takes over from its workflow: a state has it."""

    @property
    def goal(self) -> str:
        """The goal."""
        ...


class Announcement(BaseModel):
    """What all announcements share. `subject` begins the routing key: `workflow.completed.<definition>`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    wire_type: ClassVar[str] = ""
    subject: ClassVar[str] = ""

    workflow_id: str
    definition: str
    definition_version: str
    goal: str
    requested_by: str
    at: datetime
    version: int
    """Number of the event within its workflow."""
    left_out: tuple[str, ...] = ()


class ApprovalRequested(Announcement):
    """A person must decide: all that they need for it, and what their decision has to quote."""

    wire_type: ClassVar[str] = "handrail.approval.requested.v1"
    subject: ClassVar[str] = "approval.requested"

    step: str
    approval_id: str
    round: int
    digest: str
    reason: str
    action: dict[str, Any] = Field(default_factory=dict)
    evidence: dict[str, Any] = Field(default_factory=dict)
    controls: tuple[str, ...] = ()
    """Conditions proposed with a grant."""
    policy: str
    required: int
    rejections: int
    approvers: tuple[str, ...] = ()
    """Who may decide; `*` is anyone."""
    barred: tuple[str, ...] = ()
    deadline_at: datetime | None = None
    escalate_at: datetime | None = None
    escalate_to: tuple[str, ...] = ()


class InterventionRequested(Announcement):
    """A person must say how it goes on."""

    wire_type: ClassVar[str] = "handrail.intervention.requested.v1"
    subject: ClassVar[str] = "intervention.requested"

    step: str
    reason: str


class WorkflowStarted(Announcement):
    """A goal was accepted."""

    wire_type: ClassVar[str] = "handrail.workflow.started.v1"
    subject: ClassVar[str] = "workflow.started"

    tags: dict[str, str] = Field(default_factory=dict)


class WorkflowCompleted(Announcement):
    """The goal is reached; `controls` are the conditions that approvals came with."""

    wire_type: ClassVar[str] = "handrail.workflow.completed.v1"
    subject: ClassVar[str] = "workflow.completed"

    controls: tuple[str, ...] = ()
    output: Any = None


class WorkflowFailed(Announcement):
    """The workflow failed, and there was nothing to undo, or undoing was not asked for."""

    wire_type: ClassVar[str] = "handrail.workflow.failed.v1"
    subject: ClassVar[str] = "workflow.failed"

    reason: str
    failure: Failure | None = None


class WorkflowCancelled(Announcement):
    """The workflow was cancelled; `compensated` are the steps that were undone."""

    wire_type: ClassVar[str] = "handrail.workflow.cancelled.v1"
    subject: ClassVar[str] = "workflow.cancelled"

    reason: str
    compensated: tuple[str, ...] = ()


class WorkflowCompensated(Announcement):
    """The workflow failed, and all that could be undone is undone."""

    wire_type: ClassVar[str] = "handrail.workflow.compensated.v1"
    subject: ClassVar[str] = "workflow.compensated"

    reason: str
    compensated: tuple[str, ...] = ()
    failure: Failure | None = None


ANNOUNCEMENTS: Final[tuple[type[Announcement], ...]] = (
    ApprovalRequested,
    InterventionRequested,
    WorkflowStarted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
    WorkflowCompensated,
)


def announcement_of(recorded: RecordedEvent, origin: Announced) -> Announcement | None:
    """What others are told of an event, or None where it is nobody else's business."""
    own = _OWN.get(type(recorded.event))
    if own is None:
        return None
    kind, fields = own
    goal = origin.goal
    shared: dict[str, Any] = {
        "workflow_id": recorded.originator_id,
        "definition": origin.definition,
        "definition_version": origin.definition_version,
        "goal": goal if len(goal) <= GOAL_CHARACTERS_SHOWN else goal[: GOAL_CHARACTERS_SHOWN - 1] + "…",
        "requested_by": origin.requested_by,
        "at": recorded.timestamp,
        "version": recorded.originator_version,
    }
    return _fitting(kind(**shared, **fields(recorded.event)))


def announced(kind: type[e.Event]) -> bool:
    """Whether events of this kind are announced."""
    return kind in _OWN


def _fitting(whole: Announcement) -> Announcement:
    """The announcement without what would make it too large, and without saying that it is there."""
    left_out: list[str] = []
    fitting = whole
    for name in _LEFT_OUT_FIRST:
        if len(to_json(fitting)) <= BODY_BYTES:
            break
        if name in type(whole).model_fields:
            left_out.append(name)
            empty = type(whole).model_fields[name].get_default(call_default_factory=True)
            fitting = fitting.model_copy(update={name: empty, "left_out": tuple(left_out)})
    return fitting


def _same(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda event: {name: getattr(event, name) for name in names}


def _approval(event: e.ApprovalRequested) -> dict[str, Any]:
    names = "step approval_id round digest reason action evidence policy required rejections approvers barred"
    return {
        **_same(*names.split(), "deadline_at", "escalate_at", "escalate_to")(event),
        "controls": event.proposed_controls,
    }


_OWN: Final[dict[type[e.Event], tuple[type[Announcement], Callable[[Any], dict[str, Any]]]]] = {
    e.ApprovalRequested: (ApprovalRequested, _approval),
    e.InterventionRequested: (InterventionRequested, _same("step", "reason")),
    e.WorkflowStarted: (WorkflowStarted, _same("tags")),
    e.WorkflowCompleted: (WorkflowCompleted, _same("controls", "output")),
    e.WorkflowFailed: (WorkflowFailed, _same("reason", "failure")),
    e.WorkflowCancelled: (WorkflowCancelled, _same("reason", "compensated")),
    e.WorkflowCompensated: (WorkflowCompensated, _same("reason", "compensated", "failure")),
}
