"""Every event: a past-tense fact, frozen, with a stored name and version that outlive this file.

An event here is the payload alone; `domain.recorded` puts the header (workflow, version, time, cause, actor, digest of
the event before) beside it. Stored names and versions are listed in `STORED`, and a test holds that list against the
schemas checked in under `deploy/schemas/`. A change of shape is a new version with an upcaster, never an edit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.failures import Failure
from domain.plan import OnTimeout, PlannedStep

AttemptKind = Literal["run", "compensate", "probe", "plan", "artifact"]
WaitReason = Literal["approval", "signal", "time", "child", "outcome_unknown", "intervention", "budget", "definition"]


class Event(BaseModel):
    """What all events share. `trigger` is set on a decision's first event where its other fields do not rebuild it."""

    model_config = ConfigDict(frozen=True)

    stored_name: ClassVar[str] = ""
    stored_version: ClassVar[int] = 1

    trigger: dict[str, Any] | None = None


class Artifact(BaseModel):
    """Name, SHA-256 digest in hex and size in bytes of a file in the artifact store."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    size: int


class Undo(BaseModel):
    """An effect that may exist in the world: what undoes it, and with what.

    `step` and `generation` say whose it is; `key` is the idempotency key of the effect; `compensation` is None for a
    pivot; `output` is None where it was never learnt.
    """

    model_config = ConfigDict(frozen=True)

    step: str
    generation: int = 1
    activity: str
    compensation: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    output: Any = None
    key: str


# --- beginnings -----------------------------------------------------------------------------------------------------


class WorkflowStarted(Event):
    """A goal was accepted under a definition.

    `epoch` is the store's, where it is not the first; `doubted`: it may have begun before, in a time that was lost.
    """

    goal: str
    definition: str
    definition_version: str
    input: dict[str, Any]
    requested_by: str
    tags: dict[str, str] = Field(default_factory=dict)
    deadline_at: datetime | None = None
    parent_workflow: str | None = None
    parent_step: str | None = None
    epoch: int | None = None
    doubted: bool | None = None


class WorkflowForked(Event):
    """A workflow began from another one's prefix: its folded state, as JSON; no event was copied.

    `input` replaces that of the source for all that is still to run; None: it stays. `deadline_at` is the definition's,
    counted from here: the source's own is not the fork's.
    """

    source: str
    source_version: int
    source_digest: str
    state: dict[str, Any]
    requested_by: str
    reason: str = ""
    epoch: int | None = None
    input: dict[str, Any] | None = None
    deadline_at: datetime | None = None
    redactable: tuple[str, ...] = ()


# --- plan -----------------------------------------------------------------------------------------------------------


class PlanRequested(Event):
    """The planner is to be asked, for the `round`th time."""

    round: int


class PlanProposed(Event):
    """A valid plan. `final` says that the planner need not be asked again."""

    round: int
    steps: tuple[PlannedStep, ...]
    final: bool
    reason: str = ""
    source: Literal["definition", "planner"] = "planner"


class PlanRejected(Event):
    """A proposed plan broke a rule of plans."""

    round: int
    reason: str


# --- gate and approval ----------------------------------------------------------------------------------------------


class PolicyEvaluated(Event):
    """The gate looked at a step about to be scheduled; the verdict stands for its generation."""

    step: str
    policy: str
    policy_version: str
    verdict: Literal["allow", "deny", "require_approval"]
    reason: str = ""
    approval: str | None = None


class ApprovalRequested(Event):
    """A person must decide. The digest covers workflow, step, round, policy, definition and `action`."""

    step: str
    approval_id: str
    round: int
    origin: Literal["gate", "activity"]
    digest: str
    policy: str
    policy_version: str
    required: int
    rejections: int
    approvers: tuple[str, ...]
    four_eyes: bool
    action: dict[str, Any]
    reason: str
    evidence: dict[str, Any] = Field(default_factory=dict)
    proposed_controls: tuple[str, ...] = ()
    output: Any = None
    barred: tuple[str, ...] = ()
    deadline_at: datetime | None = None
    escalate_at: datetime | None = None
    escalate_to: tuple[str, ...] = ()
    on_expiry: Literal["reject", "intervene", "grant"] = "reject"
    attempt: int | None = None


class ApprovalRecorded(Event):
    """One person's vote was counted."""

    step: str
    round: int
    decision: Literal["approve", "reject"]
    decided_by: str
    reason: str = ""
    controls: tuple[str, ...] = ()


class ApprovalGranted(Event):
    """The round has the grants that its policy asks for; `controls` are the conditions it came with."""

    step: str
    round: int
    decided_by: tuple[str, ...]
    controls: tuple[str, ...] = ()
    reason: str = ""


class ApprovalRejected(Event):
    """The round has the rejections that its policy allows."""

    step: str
    round: int
    decided_by: tuple[str, ...]
    reason: str = ""


class ApprovalEscalated(Event):
    """Nobody decided in time: further people may decide now."""

    step: str
    round: int
    escalate_to: tuple[str, ...]
    due_at: datetime


class ApprovalExpired(Event):
    """Nobody decided before the deadline; `then` is what the policy says about it."""

    step: str
    round: int
    due_at: datetime
    then: Literal["reject", "intervene", "grant"]


class DecisionRefused(Event):
    """A decision of a person was not counted, and why."""

    approval_id: str
    decided_by: str
    decision: str
    reason: str


# --- attempts -------------------------------------------------------------------------------------------------------


class StepScheduled(Event):
    """One attempt is to be made: the command's message id, activity, queue and resolved input."""

    step: str
    kind: AttemptKind
    attempt: int
    message_id: str
    generation: int = 1
    activity: str
    queue: str
    input: dict[str, Any]
    action_digest: str | None = None
    expires_at: datetime
    effect: Literal["pure", "idempotent", "once"] = "pure"
    compensation: str | None = None
    pivot: bool = False
    key: str
    redactable: tuple[str, ...] = ()


class StepSucceeded(Event):
    """A step has its output; `granted` where a grant stood for running it."""

    step: str
    attempt: int
    output: Any = None
    worker: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    granted: bool = False
    supplied_by: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    redactable: tuple[str, ...] = ()


class AttemptFailed(Event):
    """One attempt ended in a failure; what follows from it is an event of its own."""

    step: str
    kind: AttemptKind
    attempt: int
    failure: Failure
    worker: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class AttemptLapsed(Event):
    """A claimed attempt's lease ran out, or its process is gone: no outcome, and no proof of absence."""

    step: str
    kind: AttemptKind
    attempt: int
    owner: str | None = None
    reason: str = ""


class RetryScheduled(Event):
    """A further attempt will be made at `due_at`; `attempt` is its number."""

    step: str
    kind: AttemptKind
    attempt: int
    due_at: datetime
    delay_seconds: float


class StepFailed(Event):
    """A step ended in a failure, and is not tried again by itself."""

    step: str
    failure: Failure


class StepTimedOut(Event):
    """A step ran out of its schedule-to-finish time-out before its attempt was claimed, or between attempts."""

    step: str
    kind: AttemptKind
    attempt: int
    due_at: datetime
    revoked: tuple[str, ...] = ()


class OutcomeUnknown(Event):
    """A `once` attempt may or may not have happened: it ended without proof, or reported against what was settled.

    `probe_due_at` says when its probe is asked, if it has one; else a person settles it.
    """

    step: str
    attempt: int
    reason: str
    probe_due_at: datetime | None = None
    revoked: tuple[str, ...] = ()


class OutcomeReconciled(Event):
    """An unknown outcome was settled, by a probe or by a person."""

    step: str
    attempt: int
    applied: bool
    output: Any = None
    settled_by: str


class LateOutcomeRecorded(Event):
    """An attempt given up for lost (lapsed, timed out, fenced off) reported after all."""

    step: str
    kind: AttemptKind
    attempt: int
    status: Literal["ok", "failed", "needs_approval", "denied"]
    output: Any = None
    failure: Failure | None = None
    undo: Undo | None = None


class CommandDeadLettered(Event):
    """The transport gave a command up."""

    step: str
    kind: AttemptKind
    attempt: int
    reason: str
    revoked: tuple[str, ...] = ()


class StepSkipped(Event):
    """A step is passed over: nothing it stands for will be done."""

    step: str
    reason: str


class ArtifactRecorded(Event):
    """A file stands in the artifact store."""

    step: str
    attempt: int
    name: str
    digest: str
    size: int


# --- waits and children ---------------------------------------------------------------------------------------------


class WaitStarted(Event):
    """A step, or the whole workflow (step ""), waits for something other than an attempt."""

    step: str
    reason: WaitReason
    name: str | None = None
    correlation: str | None = None
    due_at: datetime | None = None
    on_timeout: OnTimeout | None = None
    detail: str = ""


class WaitSatisfied(Event):
    """What was waited for is there; a signal's payload, or null."""

    step: str
    reason: WaitReason
    payload: Any = None


class WaitTimedOut(Event):
    """What was waited for did not come in time."""

    step: str
    reason: WaitReason
    due_at: datetime
    then: OnTimeout
    child_workflow: str | None = None


class ChildStarted(Event):
    """A step's child workflow is to begin; `doubted`: it may have begun before, in a time that was lost."""

    step: str
    child_workflow: str
    definition: str
    goal: str
    input: dict[str, Any]
    generation: int = 1
    due_at: datetime | None = None
    on_timeout: OnTimeout | None = None
    doubted: bool | None = None


class ChildEnded(Event):
    """A child workflow is terminal; the effects that it leaves are the parent's to undo from here on."""

    step: str
    child_workflow: str
    status: Literal["completed", "failed", "cancelled", "compensated"]
    output: Any = None
    reason: str = ""
    effects: tuple[Undo, ...] = ()


# --- people ---------------------------------------------------------------------------------------------------------


class InterventionRequested(Event):
    """A person must say how it goes on."""

    step: str
    reason: str


class InterventionApplied(Event):
    """An operator acted: which act, on what, who and why."""

    act: Literal["retry", "skip", "supply", "settle", "extend"]
    step: str = ""
    by: str
    reason: str
    input: dict[str, Any] | None = None
    attempts: int | None = None
    revoked: tuple[str, ...] = ()


class WorkflowPaused(Event):
    """An operator paused the workflow; commands not yet claimed were revoked."""

    by: str
    reason: str
    revoked: tuple[str, ...] = ()


class WorkflowResumed(Event):
    """An operator let a paused workflow go on."""

    by: str
    reason: str


class ForkTaken(Event):
    """Another workflow begins from this one's events up to `version`, whose digest is `digest`; this one is as before.

    `input` is the fork's, where it has another one than this workflow.
    """

    fork: str
    version: int
    digest: str
    by: str
    reason: str
    input: dict[str, Any] | None = None


class WorkflowRestored(Event):
    """The store was put back from a backup: what came after it is lost here, and may have happened in the world.

    `ended` are the attempts that were under way in the backup. From here on each `once` step that has not settled is
    asked about before it runs, and attempts are numbered beyond all that the lost time can have used.
    """

    epoch: int
    by: str
    reason: str
    ended: tuple[str, ...] = ()


# --- ends -----------------------------------------------------------------------------------------------------------


class StoppingBegan(Event):
    """Nothing new is scheduled; what is claimed is waited for; then comes the end or the compensation."""

    why: Literal["failed", "cancelled", "deadline"]
    reason: str
    compensate: bool = True
    step: str | None = None
    failure: Failure | None = None
    by: str | None = None
    revoked: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


class CompensationStarted(Event):
    """Undoing begins: the steps whose effects are not proven absent, in the order in which they are undone."""

    steps: tuple[str, ...]
    pivots: tuple[str, ...] = ()


class CompensationScheduled(Event):
    """The next effect to undo."""

    step: str
    generation: int
    activity: str
    input: dict[str, Any]
    key: str


class StepCompensated(Event):
    """An effect is undone; or accepted as it is by a person (`accepted_by`)."""

    step: str
    generation: int
    attempt: int
    output: Any = None
    accepted_by: str | None = None
    worker: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class CompensationFailed(Event):
    """Undoing an effect failed for good: a person must act."""

    step: str
    generation: int
    failure: Failure


class WorkflowCompleted(Event):
    """All steps settled; the goal is reached."""

    controls: tuple[str, ...] = ()
    output: Any = None
    effects: tuple[Undo, ...] = ()


class WorkflowFailed(Event):
    """The workflow failed, and there was nothing to undo, or undoing was not asked for."""

    reason: str
    failure: Failure | None = None
    effects: tuple[Undo, ...] = ()


class WorkflowCancelled(Event):
    """The workflow was cancelled, with or without undoing what it had done."""

    reason: str
    compensated: tuple[str, ...] = ()
    effects: tuple[Undo, ...] = ()


class WorkflowCompensated(Event):
    """The workflow failed and all that could be undone is undone."""

    reason: str
    compensated: tuple[str, ...]
    failure: Failure | None = None
    effects: tuple[Undo, ...] = ()


TERMINAL_EVENTS: Final = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowCompensated)

# Stored names: they outlive the classes' names and places. A later version of a shape gets a further row.
STORED: Final[dict[tuple[str, int], type[Event]]] = {
    ("WorkflowStarted", 1): WorkflowStarted,
    ("WorkflowForked", 1): WorkflowForked,
    ("PlanRequested", 1): PlanRequested,
    ("PlanProposed", 1): PlanProposed,
    ("PlanRejected", 1): PlanRejected,
    ("PolicyEvaluated", 1): PolicyEvaluated,
    ("ApprovalRequested", 1): ApprovalRequested,
    ("ApprovalRecorded", 1): ApprovalRecorded,
    ("ApprovalGranted", 1): ApprovalGranted,
    ("ApprovalRejected", 1): ApprovalRejected,
    ("ApprovalEscalated", 1): ApprovalEscalated,
    ("ApprovalExpired", 1): ApprovalExpired,
    ("DecisionRefused", 1): DecisionRefused,
    ("StepScheduled", 1): StepScheduled,
    ("StepSucceeded", 1): StepSucceeded,
    ("AttemptFailed", 1): AttemptFailed,
    ("AttemptLapsed", 1): AttemptLapsed,
    ("RetryScheduled", 1): RetryScheduled,
    ("StepFailed", 1): StepFailed,
    ("StepTimedOut", 1): StepTimedOut,
    ("OutcomeUnknown", 1): OutcomeUnknown,
    ("OutcomeReconciled", 1): OutcomeReconciled,
    ("LateOutcomeRecorded", 1): LateOutcomeRecorded,
    ("CommandDeadLettered", 1): CommandDeadLettered,
    ("StepSkipped", 1): StepSkipped,
    ("ArtifactRecorded", 1): ArtifactRecorded,
    ("WaitStarted", 1): WaitStarted,
    ("WaitSatisfied", 1): WaitSatisfied,
    ("WaitTimedOut", 1): WaitTimedOut,
    ("ChildStarted", 1): ChildStarted,
    ("ChildEnded", 1): ChildEnded,
    ("InterventionRequested", 1): InterventionRequested,
    ("InterventionApplied", 1): InterventionApplied,
    ("WorkflowPaused", 1): WorkflowPaused,
    ("WorkflowResumed", 1): WorkflowResumed,
    ("ForkTaken", 1): ForkTaken,
    ("WorkflowRestored", 1): WorkflowRestored,
    ("StoppingBegan", 1): StoppingBegan,
    ("CompensationStarted", 1): CompensationStarted,
    ("CompensationScheduled", 1): CompensationScheduled,
    ("StepCompensated", 1): StepCompensated,
    ("CompensationFailed", 1): CompensationFailed,
    ("WorkflowCompleted", 1): WorkflowCompleted,
    ("WorkflowFailed", 1): WorkflowFailed,
    ("WorkflowCancelled", 1): WorkflowCancelled,
    ("WorkflowCompensated", 1): WorkflowCompensated,
}

for (_name, _version), _class in STORED.items():
    _class.stored_name = _name
    _class.stored_version = _version
