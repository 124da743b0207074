"""Every trigger: what a workflow may be asked to decide on. Imperative, validated; time and cause come with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from domain.events import Artifact, Undo
from domain.failures import Failure

MOST_CONTROLS: Final = 100


class Trigger(BaseModel):
    """What all triggers share; `type` tells them apart in the record."""

    model_config = ConfigDict(frozen=True)

    by_person: ClassVar[bool] = False
    before_what_is_due: ClassVar[bool] = False


class StartWorkflow(Trigger):
    """Accept a goal. The definition's version is the one in force where the goal is accepted.

    `epoch` is that of the store, where it is not the first; `doubted` says that the workflow may have begun before, in
    a time that was lost with its store.
    """

    type: Literal["start_workflow"] = "start_workflow"
    goal: str
    definition: str
    definition_version: str
    input: dict[str, Any] = Field(default_factory=dict)
    requested_by: str
    tags: dict[str, str] = Field(default_factory=dict)
    deadline_at: datetime | None = None
    parent_workflow: str | None = None
    parent_step: str | None = None
    epoch: int | None = None
    doubted: bool | None = None


class ForkWorkflow(Trigger):
    """Begin from the folded state of another workflow's prefix."""

    type: Literal["fork_workflow"] = "fork_workflow"
    source: str
    source_version: int
    source_digest: str
    state: dict[str, Any]
    requested_by: str
    reason: str = ""
    epoch: int | None = None
    input: dict[str, Any] | None = None
    deadline_at: datetime | None = None


class Answer(BaseModel):
    """What an activity answered instead of an output: NeedsApproval's parts."""

    model_config = ConfigDict(frozen=True)

    reason: str
    evidence: dict[str, Any] = Field(default_factory=dict)
    controls: tuple[str, ...] = ()
    policy: str | None = None
    output: Any = None


class RecordOutcome(Trigger):
    """One attempt ended: its message id, how, and when it was claimed, started and finished, by which worker."""

    type: Literal["record_outcome"] = "record_outcome"
    step: str
    kind: Literal["run", "compensate", "probe", "plan", "artifact"]
    attempt: int
    status: Literal["ok", "failed", "needs_approval", "denied"]
    output: Any = None
    failure: Failure | None = None
    answer: Answer | None = None
    artifacts: tuple[Artifact, ...] = ()
    worker: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class LapseAttempt(Trigger):
    """A claim ran out of its lease, or its process is gone."""

    type: Literal["lapse_attempt"] = "lapse_attempt"
    step: str
    kind: Literal["run", "compensate", "probe", "plan", "artifact"]
    attempt: int
    owner: str | None = None
    reason: str = "lease ended"


class DeadLetterCommand(Trigger):
    """The transport gave a command up."""

    type: Literal["dead_letter_command"] = "dead_letter_command"
    step: str
    kind: Literal["run", "compensate", "probe", "plan", "artifact"]
    attempt: int
    reason: str


class RecordDecision(Trigger):
    """A person approves or rejects; the decision quotes the approval, its round and its digest."""

    type: Literal["record_decision"] = "record_decision"
    by_person: ClassVar[bool] = True
    approval_id: str
    round: int
    digest: str
    decision: Literal["approve", "reject"]
    decided_by: str
    reason: str = ""
    controls: tuple[str, ...] = Field(default=(), max_length=MOST_CONTROLS)


class Wake(Trigger):
    """Decide whatever has fallen due: a timer, a start-up or a loaded definition says that it may have."""

    type: Literal["wake"] = "wake"


class DeliverSignal(Trigger):
    """Another service's message for a workflow that waits for it."""

    type: Literal["deliver_signal"] = "deliver_signal"
    name: str
    correlation: str
    payload: Any = None


class EndChild(Trigger):
    """A child workflow is terminal."""

    type: Literal["end_child"] = "end_child"
    step: str
    child_workflow: str
    status: Literal["completed", "failed", "cancelled", "compensated"]
    output: Any = None
    reason: str = ""
    effects: tuple[Undo, ...] = ()


class Intervention(Trigger):
    """What the acts of an operator share: who, and why."""

    by_person: ClassVar[bool] = True
    by: str
    reason: str


class RetryStep(Intervention):
    """Try a step again; with an input it is a new generation of the step."""

    type: Literal["retry_step"] = "retry_step"
    step: str
    input: dict[str, Any] | None = None


class SkipStep(Intervention):
    """Pass a step over; in a compensation: accept the effect as it is."""

    type: Literal["skip_step"] = "skip_step"
    step: str


class SupplyOutput(Intervention):
    """Give a step the output that it did not produce."""

    type: Literal["supply_output"] = "supply_output"
    step: str
    output: Any = None


class SettleOutcome(Intervention):
    """Say whether an unknown outcome was applied."""

    type: Literal["settle_outcome"] = "settle_outcome"
    step: str
    applied: bool
    output: Any = None


class ExtendBudget(Intervention):
    """Allow further attempts to a workflow that has used up its budget."""

    type: Literal["extend_budget"] = "extend_budget"
    attempts: int = Field(ge=1, le=1_000_000)


class PauseWorkflow(Intervention):
    """Schedule nothing new; outcomes are still recorded."""

    type: Literal["pause_workflow"] = "pause_workflow"


class ResumeWorkflow(Intervention):
    """Let a paused workflow go on, with all that fell due meanwhile."""

    type: Literal["resume_workflow"] = "resume_workflow"


class CancelWorkflow(Intervention):
    """Stop, wait for what is claimed, and undo (or, with `compensate` false, leave) what was done."""

    type: Literal["cancel_workflow"] = "cancel_workflow"
    compensate: bool = True


class ForkHere(Intervention):
    """Begin another workflow, of this id, from a prefix of this one; `digest` is that of the prefix's last event."""

    type: Literal["fork_here"] = "fork_here"
    version: int = Field(ge=1)
    digest: str = ""
    fork: str = ""
    input: dict[str, Any] | None = None


class RestoreWorkflow(Trigger):
    """Go on from a backup that was put back: what came after it has happened in the world, and is not known here.

    Comes of restoring a store, never by message. It is decided on before whatever fell due since the backup.
    """

    type: Literal["restore_workflow"] = "restore_workflow"
    before_what_is_due: ClassVar[bool] = True
    epoch: int
    by: str
    reason: str


AnyTrigger = Annotated[
    StartWorkflow
    | ForkWorkflow
    | RecordOutcome
    | LapseAttempt
    | DeadLetterCommand
    | RecordDecision
    | Wake
    | DeliverSignal
    | EndChild
    | RetryStep
    | SkipStep
    | SupplyOutput
    | SettleOutcome
    | ExtendBudget
    | PauseWorkflow
    | ResumeWorkflow
    | CancelWorkflow
    | ForkHere
    | RestoreWorkflow,
    Field(discriminator="type"),
]

TRIGGER: Final[TypeAdapter[Any]] = TypeAdapter(AnyTrigger)

TRIGGERS: Final[tuple[type[Trigger], ...]] = (
    StartWorkflow,
    ForkWorkflow,
    RecordOutcome,
    LapseAttempt,
    DeadLetterCommand,
    RecordDecision,
    Wake,
    DeliverSignal,
    EndChild,
    RetryStep,
    SkipStep,
    SupplyOutput,
    SettleOutcome,
    ExtendBudget,
    PauseWorkflow,
    ResumeWorkflow,
    CancelWorkflow,
    ForkHere,
    RestoreWorkflow,
)


@dataclass(slots=True)
class Given:
    """A trigger with what it comes with: when, why, who, and which of the live commands nobody has claimed yet."""

    trigger: Trigger
    at: datetime
    cause: str
    actor: str
    open_commands: frozenset[str] = field(default_factory=frozenset)
