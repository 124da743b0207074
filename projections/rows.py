"""What a row of the views `workflows` and `steps` holds, and the little beside it that the status depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from domain.state import Status, StepStatus, goes_on

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
class Standing:
    """What is under way, as far as the status depends on it. `live` maps a step (or UNDO) to its message id.

    `waits` holds `step:reason`, `pending` the retries and probes to come as `retry:step` and `probe:step`, `undoing`
    the step being compensated and `undoing_from` the status that it had before.
    """

    live: dict[str, str] = field(default_factory=dict)
    waits: dict[str, None] = field(default_factory=dict)
    pending: dict[str, None] = field(default_factory=dict)
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
    """One row of `workflows`, with the rows of its steps that are at hand, and which of them changed since written."""

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
    steps: StepRows = field(default_factory=StepRows)
    changed: dict[str, None] = field(default_factory=dict)

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
