"""What a row of the views `workflows` and `steps` holds, and the little beside it that the status depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from domain.failures import Failure
from domain.state import Status, StepStatus, goes_on
from projections.causes import Stuck

UNDO: Final = "~undo"
"""Key of the compensation under way among live attempts and what is pending."""

SETTLED: Final = frozenset(status.value for status in (StepStatus.OK, StepStatus.SKIPPED, StepStatus.COMPENSATED))
"""Statuses of steps that later events mention seldom: their rows need not stay in memory."""

# Plain texts, as the rows hold them: the database driver takes a detour for every subclass of str.
_PAUSED: Final = Status.PAUSED.value
_COMPENSATING: Final = Status.COMPENSATING.value
_STOPPING: Final = Status.STOPPING.value
_BLOCKED: Final = Status.BLOCKED.value
_FINALIZING: Final = Status.FINALIZING.value
_PLANNING: Final = Status.PLANNING.value
_EXECUTING: Final = Status.EXECUTING.value


@dataclass(slots=True)
class Hold:
    """What a workflow is held by: an attempt under way, a wait, or a retry to come; `since` when, and until when.

    `message_id`, `activity` and `queue` are of an attempt; `due_at` is its schedule-to-finish time-out, a wait's
    deadline, or when a retry is to be made. `name` is of what is awaited: a signal's, a child's id, an approval's id.
    """

    since: datetime
    due_at: datetime | None = None
    message_id: str = ""
    activity: str = ""
    queue: str = ""
    name: str = ""


@dataclass(slots=True)
class Trouble:
    """What went wrong with a step that has not succeeded since: since when, and why a person is asked, if one is."""

    since: datetime
    why: str = ""
    activity: str = ""


@dataclass(slots=True)
class Standing:
    """What is under way, as far as the status depends on it. `live` maps a step (or UNDO) to its attempt.

    `waits` holds `step:reason`, `pending` the retries and probes to come as `retry:step` and `probe:step`, `undoing`
    the step being compensated and `undoing_from` the status that it had before; `troubles` are those of steps, or UNDO.
    """

    live: dict[str, Hold] = field(default_factory=dict)
    waits: dict[str, Hold] = field(default_factory=dict)
    pending: dict[str, Hold] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    planning: bool = True
    plan_asked: bool = False
    finalizing: bool = False
    paused: bool = False
    stopping: bool = False
    compensating: bool = False
    undoing: str | None = None
    undoing_from: str | None = None
    ended: str | None = None

    @property
    def blocked(self) -> bool:
        """Whether there are waits and nothing else is under way, as in State.blocked."""
        if not self.waits:
            return False
        if self.live:
            return ":definition" in self.waits
        return not goes_on(self.waits, self.pending)


@dataclass(slots=True)
class StepRow:
    """One row of `steps`. `kind` is activity, time, signal or child; `failure` is the last one, as `class: message`."""

    step: str
    number: int
    kind: str
    activity: str | None
    status: str = StepStatus.PLANNED.value
    attempts: int = 0
    generation: int = 1
    failure: str | None = None
    worker: str | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptNote:
    """An attempt that ended otherwise than in success: a row of `attempts`. `outcome` says how, `failure` why."""

    step: str
    kind: str
    attempt: int
    outcome: str
    ended_at: datetime
    activity: str = ""
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    worker: str | None = None
    failure: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class FailureNote:
    """One more failure of its make, for `failures`."""

    failure: Failure
    activity: str
    at: datetime


Counted = tuple[str, str, str]
"""Definition, status and cause (empty: not stuck) under which a workflow counts."""


class StepRows(dict[str, StepRow]):
    """The rows of a workflow's steps that are at hand; one that is not is asked for when it is needed."""

    ask: Callable[[str], StepRow | None] | None = None

    def __missing__(self, name: str) -> StepRow:
        """Ask for the row; raises KeyError where there is none."""
        row = None if self.ask is None else self.ask(name)
        if row is None:
            raise KeyError(name)
        self[name] = row
        return row


@dataclass(slots=True)
class WorkflowRow:
    """One row of `workflows`, with the rows of its steps that are at hand, and which of them changed since written.

    `notes` are rows of other views that its events gave, and that are not written yet; `noted` is what is awaited, as
    written. `look_at` is when the workflow is to be judged next, `stuck` what the last judgement was, `counted` where
    it counts in the tallies that are written.
    """

    workflow_id: str
    version: int = 0
    definition: str = ""
    definition_version: str = ""
    goal: str = ""
    requested_by: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    parent_workflow: str | None = None
    forked_from: str | None = None
    started_at: datetime | None = None
    changed_at: datetime | None = None
    ended_at: datetime | None = None
    deadline_at: datetime | None = None
    reason: str = ""
    step_count: int = 0
    settled_count: int = 0
    attempts: int = 0
    standing: Standing = field(default_factory=Standing)
    look_at: datetime | None = None
    stuck: Stuck | None = None
    counted: Counted | None = None
    notes: list[AttemptNote | FailureNote] = field(default_factory=list)
    noted: dict[str, Hold] = field(default_factory=dict)
    steps: StepRows = field(default_factory=StepRows)
    changed: dict[str, None] = field(default_factory=dict)

    @property
    def since(self) -> datetime | None:
        """Since when the workflow has been held by what holds it the longest; None where nothing does."""
        standing = self.standing
        holds = (*standing.live.values(), *standing.waits.values(), *standing.pending.values())
        return min((hold.since for hold in holds), default=None)

    @property
    def counts_as(self) -> Counted:
        """Where the workflow counts now."""
        return self.definition, self.status, self.stuck.cause.value if self.stuck is not None else ""

    @property
    def status(self) -> str:  # noqa: PLR0911 - one return for each status, as in State.status
        """Status of the workflow: the phase decides first, then whether anything is under way, then what is awaited."""
        standing = self.standing
        if standing.ended is not None:
            return standing.ended
        if standing.paused:
            return _PAUSED
        if standing.compensating:
            return _COMPENSATING
        if standing.stopping:
            return _STOPPING
        if standing.blocked:
            return _BLOCKED
        if standing.finalizing:
            return _FINALIZING
        if standing.planning or standing.plan_asked:
            return _PLANNING
        return _EXECUTING
