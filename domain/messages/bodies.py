"""Bodies of what other services and operators send: goals, approvals, signals, outcomes, control.

Strict: a number in quotes is no number. Unknown fields are ignored, so that an older consumer understands a newer
sender. Within a version, fields are only ever added, and only optional ones.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from domain import triggers as t
from domain.durations import FIRST_YEAR, LAST_YEAR
from domain.failures import FailureClass
from domain.ids import NAME_PATTERN
from domain.messages.names import (
    APPROVAL_DECIDE,
    GOAL_START,
    MESSAGE_ID_BYTES,
    MOST_TAGS,
    NAME_CHARACTERS,
    OUTCOME_RECORD,
    REASON_CHARACTERS,
    SIGNAL_DELIVER,
    control_type,
)


def _one_line(text: str) -> str:
    if not text.strip() or any(ord(letter) < ord(" ") or ord(letter) == 127 for letter in text):  # noqa: PLR2004 - DEL
        raise ValueError("must be one line of text without control characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


def _within_years(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}")
    return at.astimezone(UTC)


Line = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS), AfterValidator(_one_line)]
"""A person's name, a control, a correlation: one line."""
Reason = Annotated[str, Field(max_length=REASON_CHARACTERS)]
Why = Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS), AfterValidator(_not_blank)]
Instant = Annotated[
    AwareDatetime,
    AfterValidator(_within_years),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant with its time zone, ISO 8601: `2030-01-02T03:04:05Z`."""
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
StepName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_one_line)]


class Body(BaseModel):
    """What all bodies share. `wire_type` is the message's `type` property."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    wire_type: ClassVar[str] = ""


class Goal(Body):
    """Start a workflow. Its id follows from the sender and the message id, so that a repeat meets what it repeats.

    `definition` names the definition; without it, it is the one whose name has the goal's words. `requested_by` is
    the person on whose behalf the sender asks, if it may vouch for persons; without it, it is the sender itself.
    """

    wire_type: ClassVar[str] = GOAL_START

    goal: Annotated[str, Field(min_length=1, max_length=1_000_000), AfterValidator(_not_blank)]
    definition: Line | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    tags: dict[Line, Annotated[str, Field(max_length=NAME_CHARACTERS)]] = Field(
        default_factory=dict, max_length=MOST_TAGS
    )
    deadline: Instant | None = None
    requested_by: Line | None = None


class Approval(Body):
    """A person's decision. `approval_id`, `round` and `digest` are quoted from `approval.requested`.

    `signature` is kept for a later version, and not looked at by this one.
    """

    wire_type: ClassVar[str] = APPROVAL_DECIDE

    workflow_id: Name
    approval_id: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_one_line)]
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    digest: Digest
    decision: Literal["approve", "reject"]
    decided_by: Line
    reason: Reason = ""
    controls: Annotated[tuple[Line, ...], Field(max_length=t.MOST_CONTROLS)] = ()
    signature: Annotated[str, Field(max_length=16_384)] | None = None

    def trigger(self) -> t.RecordDecision:
        """What the workflow is asked to decide on."""
        return t.RecordDecision(
            approval_id=self.approval_id,
            round=self.round,
            digest=self.digest,
            decision=self.decision,
            decided_by=self.decided_by,
            reason=self.reason,
            controls=self.controls,
        )


class Signal(Body):
    """Something happened that workflows may wait for: its name, and the key by which they know it is theirs."""

    wire_type: ClassVar[str] = SIGNAL_DELIVER

    name: Name
    correlation: Line
    payload: Any = None


class OutcomeFailure(Body):
    """Why an attempt failed; `kind` says what that means for the next one, `absent` is proof that nothing happened."""

    kind: FailureClass
    message: Reason
    type: Annotated[str, Field(max_length=NAME_CHARACTERS)] = ""
    retry_after_seconds: Annotated[float, Field(ge=0, le=366 * 24 * 3600, allow_inf_nan=False)] | None = None
    absent: bool = False


class OutcomeAnswer(Body):
    """An answer other than an output: a person must decide (`needs_approval`), or a rule said no (`denied`)."""

    reason: Why
    evidence: dict[str, Any] = Field(default_factory=dict)
    controls: Annotated[tuple[Line, ...], Field(max_length=t.MOST_CONTROLS)] = ()
    policy: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    output: Any = None


class Outcome(Body):
    """How an attempt ended that a foreign consumer made. `message_id` is the step command's.

    `output` comes with `ok`, `failure` with `failed`, `answer` with `needs_approval` and `denied`.
    """

    wire_type: ClassVar[str] = OUTCOME_RECORD

    message_id: Annotated[str, Field(min_length=1, max_length=MESSAGE_ID_BYTES)]
    status: Literal["ok", "failed", "needs_approval", "denied"]
    output: Any = None
    failure: OutcomeFailure | None = None
    answer: OutcomeAnswer | None = None
    worker: Line | None = None
    started_at: Instant
    finished_at: Instant

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if (self.status == "failed") != (self.failure is not None):
            raise ValueError("`failure` is given where, and only where, the status is 'failed'")
        if (self.status in {"needs_approval", "denied"}) != (self.answer is not None):
            raise ValueError("`answer` is given where, and only where, the status is 'needs_approval' or 'denied'")
        if self.finished_at < self.started_at:
            raise ValueError("`finished_at` lies before `started_at`")
        if self.status != "ok" and self.output is not None:
            raise ValueError("`output` is given only where the status is 'ok'")
        return self


# --- control --------------------------------------------------------------------------------------------------------


class Control(Body):
    """What an operator's acts share: which workflow, who, and why."""

    verb: ClassVar[str] = ""

    workflow_id: Name
    by: Line
    reason: Why

    def trigger(self) -> t.Intervention:
        """What the workflow is asked to decide on."""
        raise NotImplementedError

    def _who(self) -> dict[str, Any]:
        return {"by": self.by, "reason": self.reason}


class StepControl(Control):
    """An operator's act upon one step."""

    step: StepName


class Cancel(Control):
    """Stop, wait for what is claimed, and undo (or, with `compensate` false, leave) what was done."""

    verb: ClassVar[str] = "cancel"
    wire_type: ClassVar[str] = control_type("cancel")

    compensate: bool = True

    def trigger(self) -> t.CancelWorkflow:
        """As a trigger."""
        return t.CancelWorkflow(**self._who(), compensate=self.compensate)


class Pause(Control):
    """Schedule nothing new; outcomes are still recorded."""

    verb: ClassVar[str] = "pause"
    wire_type: ClassVar[str] = control_type("pause")

    def trigger(self) -> t.PauseWorkflow:
        """As a trigger."""
        return t.PauseWorkflow(**self._who())


class Resume(Control):
    """Let a paused workflow go on."""

    verb: ClassVar[str] = "resume"
    wire_type: ClassVar[str] = control_type("resume")

    def trigger(self) -> t.ResumeWorkflow:
        """As a trigger."""
        return t.ResumeWorkflow(**self._who())


class Retry(StepControl):
    """Try a step again; with an input it is a new generation of the step."""

    verb: ClassVar[str] = "retry"
    wire_type: ClassVar[str] = control_type("retry")

    input: dict[str, Any] | None = None

    def trigger(self) -> t.RetryStep:
        """As a trigger."""
        return t.RetryStep(**self._who(), step=self.step, input=self.input)


class Skip(StepControl):
    """Pass a step over; in a compensation: accept the effect as it is."""

    verb: ClassVar[str] = "skip"
    wire_type: ClassVar[str] = control_type("skip")

    def trigger(self) -> t.SkipStep:
        """As a trigger."""
        return t.SkipStep(**self._who(), step=self.step)


class Supply(StepControl):
    """Give a step the output that it did not produce."""

    verb: ClassVar[str] = "supply"
    wire_type: ClassVar[str] = control_type("supply")

    output: Any

    def trigger(self) -> t.SupplyOutput:
        """As a trigger."""
        return t.SupplyOutput(**self._who(), step=self.step, output=self.output)


class Settle(StepControl):
    """Say whether an unknown outcome was applied, and what it gave."""

    verb: ClassVar[str] = "settle"
    wire_type: ClassVar[str] = control_type("settle")

    applied: bool
    output: Any = None

    def trigger(self) -> t.SettleOutcome:
        """As a trigger."""
        return t.SettleOutcome(**self._who(), step=self.step, applied=self.applied, output=self.output)


class Extend(Control):
    """Allow further attempts to a workflow that has used up its budget."""

    verb: ClassVar[str] = "extend"
    wire_type: ClassVar[str] = control_type("extend")

    attempts: Annotated[int, Field(ge=1, le=1_000_000)]

    def trigger(self) -> t.ExtendBudget:
        """As a trigger."""
        return t.ExtendBudget(**self._who(), attempts=self.attempts)


class Fork(Control):
    """Begin another workflow from this one's events up to `version`, the last of a decision.

    Keys of `input` stand in the place of the same keys of this workflow's input, for all that is still to run. The
    fork's id follows from the sender and the message id, so that a repeat meets what it repeats.
    """

    verb: ClassVar[str] = "fork"
    wire_type: ClassVar[str] = control_type("fork")

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    input: dict[str, Any] | None = None

    def trigger(self) -> t.ForkHere:
        """As a trigger; whoever has the store completes it."""
        return t.ForkHere(**self._who(), version=self.version, input=self.input)


CONTROLS: Final[dict[str, type[Control]]] = {
    one.verb: one for one in (Cancel, Pause, Resume, Retry, Skip, Supply, Settle, Extend, Fork)
}
CONTROL_VERBS: Final = tuple(CONTROLS)


def control_of(workflow_id: str, trigger: t.Intervention) -> Control:
    """The control message that carries an operator's act: the inverse of `Control.trigger`.

    Raises pydantic's ValidationError where the act has no reason, or a name that no message may hold.
    """
    given = trigger.model_dump(exclude={"type"})
    return CONTROLS[_VERBS[type(trigger)]](workflow_id=workflow_id, **given)


_VERBS: Final[dict[type[t.Intervention], str]] = {
    t.CancelWorkflow: "cancel",
    t.PauseWorkflow: "pause",
    t.ResumeWorkflow: "resume",
    t.RetryStep: "retry",
    t.SkipStep: "skip",
    t.SupplyOutput: "supply",
    t.SettleOutcome: "settle",
    t.ExtendBudget: "extend",
    t.ForkHere: "fork",
}
