"""What a workflow is: its state, folded from its events, and the status computed from it.

Plain mutable data, owned by one `Workflow`; only `domain.evolution` changes it, and nodes only read it. Settled steps
leave `steps` for `settled`, so that a decision costs what is under way, not what has ever been. Everything is JSON,
for snapshots and forks.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from domain.events import ApprovalRequested, Artifact, AttemptKind, Undo, WaitReason
from domain.failures import Failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP, next_attempt_number
from domain.plan import OnTimeout, PlannedStep

UndecidedKind = Literal["run", "compensate", "probe", "plan", "artifact", "child", "approval"]
"""What a failure whose consequence is still to be decided is of: an attempt of a kind, a child, a rejection."""


class Status(StrEnum):
    """Status of a workflow; `new` is before its first event."""

    NEW = "new"
    PLANNING = "planning"
    EXECUTING = "executing"
    BLOCKED = "blocked"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPENSATING = "compensating"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"


TERMINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.COMPENSATED})


class StepStatus(StrEnum):
    """Status of a step."""

    PLANNED = "planned"
    SCHEDULED = "scheduled"
    RETRY_WAIT = "retry_wait"
    AWAITING_APPROVAL = "awaiting_approval"
    WAITING = "waiting"
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SKIPPED = "skipped"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"


@dataclass(slots=True)
class Live:
    """An attempt under way: its command was scheduled, and neither outcome nor lapse nor revocation has ended it.

    `version` is that of the event that scheduled it.
    """

    message_id: str
    kind: AttemptKind
    attempt: int
    activity: str
    scheduled_at: datetime
    expires_at: datetime
    version: int = 0


@dataclass(slots=True)
class Ballot:
    """An open round of approval, with the votes counted so far."""

    request: ApprovalRequested
    grants: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    controls: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    escalated: bool = False


@dataclass(slots=True)
class Wait:
    """An open wait of a step, or of the whole workflow (step "")."""

    step: str
    reason: WaitReason
    since: datetime
    name: str | None = None
    correlation: str | None = None
    due_at: datetime | None = None
    on_timeout: OnTimeout | None = None
    detail: str = ""
    generation: int = 1


@dataclass(slots=True)
class Lost:
    """An attempt given up for lost that may still report: the effect that it may have had.

    `timed_out` says that its worker reported a time-out: only the end of code that could not be stopped is news then.
    """

    undo: Undo | None = None
    timed_out: bool = False


@dataclass(slots=True)
class HeardLate:
    """What an attempt whose outcome is unknown reported after all, while its probe was under way: it succeeded."""

    output: Any = None


@dataclass(slots=True)
class StepState:
    """A step that has not settled. `number` is its place over all plans of the workflow.

    `undecided` holds the failure (and `undecided_kind` the kind) of an attempt whose consequence is still to be
    decided. `tries` counts attempts of this generation that count against the retry policy, `lapses` those that ended
    without telling. `cleared` is the generation whose outcome was settled since the workflow has been doubted.
    """

    id: str
    number: int
    planned: PlannedStep | None
    status: StepStatus = StepStatus.PLANNED
    needs: int = 0
    dependents: list[str] = field(default_factory=list)
    generation: int = 1
    tries: int = 0
    lapses: int = 0
    first_scheduled_at: datetime | None = None
    live: Live | None = None
    input: dict[str, Any] | None = None
    effect: str = "pure"
    compensation: str | None = None
    pivot: bool = False
    key: str = ""
    undecided: Failure | None = None
    undecided_kind: UndecidedKind = "run"
    last_failure: Failure | None = None
    gate: str | None = None
    gate_approval: str | None = None
    gate_reason: str = ""
    rounds: int = 0
    granted_digest: str | None = None
    unknown_attempt: int | None = None
    probe_tries: int = 0
    heard: HeardLate | None = None
    child: str | None = None
    cleared: int = 0


@dataclass(slots=True)
class Settled:
    """A step that has settled: how, with which output, and what it came after."""

    status: StepStatus
    number: int
    activity: str | None = None
    output: Any = None
    failure: str | None = None
    after: tuple[str, ...] = ()
    generation: int = 1


@dataclass(slots=True)
class Effect:
    """An effect that may exist in the world, on the list of what a compensation undoes. `state`: open, undone, kept."""

    undo: Undo
    state: str = "open"


@dataclass(slots=True)
class Undoing:
    """The effect being undone now: its attempts, retries and failures.

    `cleared` says that a person has looked at it since the workflow has been doubted.
    """

    step: str
    generation: int
    activity: str
    input: dict[str, Any]
    key: str
    tries: int = 0
    lapses: int = 0
    first_scheduled_at: datetime | None = None
    live: Live | None = None
    undecided: Failure | None = None
    failed: bool = False
    cleared: bool = False


@dataclass(slots=True)
class Stopping:
    """Why nothing new is scheduled, and whether what was done is undone."""

    why: str
    reason: str
    compensate: bool
    failure: Failure | None = None
    step: str | None = None


@dataclass(slots=True)
class Grant:
    """How a step's approval ended, for later inputs and the finalizer."""

    decision: str
    decided_by: list[str]
    controls: list[str]
    reason: str


@dataclass(slots=True)
class State:
    """The whole workflow. `head` is the digest of the last event; `version` its number.

    `lapsed` holds the attempts given up for lost that may still report. `epoch` is the store's at the workflow's
    beginning or last restore; `doubted` says that it may have got further than this, in a time that was lost. `forks`
    are the workflows forked from this one, with the version of each cut; `asked_before` asked for what this was forked
    from.
    """

    workflow_id: str
    version: int = 0
    head: str = ""
    goal: str = ""
    definition: str = ""
    definition_version: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    requested_by: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    deadline_at: datetime | None = None
    parent_workflow: str | None = None
    parent_step: str | None = None
    forked_from: str | None = None
    forked_at: int | None = None
    forks: dict[str, int] = field(default_factory=dict)
    asked_before: list[str] = field(default_factory=list)
    epoch: int = 1
    doubted: bool = False
    started_at: datetime | None = None
    changed_at: datetime | None = None

    plan_round: int = 0
    plan_final: bool = False
    planning: bool = True
    step_count: int = 0
    steps: dict[str, StepState] = field(default_factory=dict)
    ready: dict[str, None] = field(default_factory=dict)
    settled: dict[str, Settled] = field(default_factory=dict)
    undecided: dict[str, None] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)
    waits: dict[str, Wait] = field(default_factory=dict)
    ballots: dict[str, Ballot] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    controls: list[str] = field(default_factory=list)
    dues: dict[str, datetime] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    lapsed: dict[str, Lost] = field(default_factory=dict)
    intervened: dict[str, list[str]] = field(default_factory=dict)
    attempts: int = 0
    budget_extra: int = 0
    effects: dict[str, Effect] = field(default_factory=dict)
    pivot_passed: bool = False
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    artifact_done: bool = False
    finalizing: bool = False
    output_number: int = -1

    paused: bool = False
    stopping: Stopping | None = None
    compensating: bool = False
    undoing: Undoing | None = None
    ended: str | None = None
    ended_reason: str = ""
    ended_at: datetime | None = None
    output: Any = None

    @property
    def status(self) -> Status:  # noqa: PLR0911 - one line for each phase, in the order that decides
        """Status, computed; the phase decides first, then whether anything is under way, then what is waited for."""
        if self.version == 0:
            return Status.NEW
        if self.ended is not None:
            return Status(self.ended)
        if self.paused:
            return Status.PAUSED
        if self.compensating:
            return Status.COMPENSATING
        if self.stopping is not None:
            return Status.STOPPING
        if self.blocked:
            return Status.BLOCKED
        if self.finalizing:
            return Status.FINALIZING
        if self.planning or PLAN_STEP in self.steps:
            return Status.PLANNING
        return Status.EXECUTING

    @property
    def blocked(self) -> bool:
        """Whether there are waits and nothing else is under way: no attempt, no backoff, no probe to come.

        Without the definition nobody runs what is scheduled, so that nothing is under way.
        """
        if not self.waits:
            return False
        if self.live:
            return ":definition" in self.waits
        return not (self.dues and goes_on(self.waits, self.dues))

    @property
    def next_due(self) -> datetime | None:
        """The earliest instant at which something falls due, or None.

        Nothing falls due while paused, or without the definition; no retry does without budget. Expiry of live
        attempts is not among them: it lives with their commands, and would cost a timer a step.
        """
        if not self.dues or self.ended is not None or self.paused or ":definition" in self.waits:
            return None
        if ":budget" not in self.waits:
            return min(self.dues.values())
        return min((due for key, due in self.dues.items() if not key.startswith("retry:")), default=None)

    def next_number(self, step: str) -> int:
        """Number of the step's next attempt."""
        return next_attempt_number(self.numbers.get(step, 0), self.epoch)

    @property
    def size(self) -> int:
        """How much there is to fold: a measure for when the next snapshot is worth its cost."""
        return len(self.steps) + len(self.settled) + len(self.effects) + 20

    def knows(self, step: str) -> bool:
        """Whether a plan of the workflow has a step of this name."""
        return step in self.steps or step in self.settled

    def step_status(self, step: str) -> StepStatus:
        """Status of a step, compensation included."""
        if self.undoing is not None and self.undoing.step == step:
            return StepStatus.COMPENSATING
        settled = self.settled.get(step)
        return settled.status if settled is not None else self.steps[step].status

    def people_waits(self) -> list[Wait]:
        """The open waits that only a person ends."""
        return [wait for wait in self.waits.values() if wait.reason in PEOPLE_REASONS]


PEOPLE_REASONS: Final = frozenset({"approval", "outcome_unknown", "intervention", "budget"})

UNDER_WAY: Final = ("retry:", "probe:")

UNDO: Final = "~undo"
"""Key of the compensation under way among live attempts, dues and undecided failures."""

ENGINE_STEPS: Final = (PLAN_STEP, ARTIFACT_STEP)

STATE: Final[TypeAdapter[State]] = TypeAdapter(State)


def goes_on(waits: Container[str], dues: Iterable[str]) -> bool:
    """Whether a backoff or a probe among the dues will bring the workflow on, whatever it waits for meanwhile.

    Without the definition nothing comes of either; without budget nothing comes of a backoff.
    """
    if ":definition" in waits:
        return False
    under_way = ("probe:",) if ":budget" in waits else UNDER_WAY
    return any(key.startswith(under_way) for key in dues)


def wait_key(step: str, reason: str) -> str:
    """Key of a wait within the set of open ones: a step has one wait of a reason at most."""
    return f"{step}:{reason}"


def effect_key(step: str, generation: int) -> str:
    """Key of an effect: one a generation of a step."""
    return step if generation == 1 else f"{step}~{generation}"
