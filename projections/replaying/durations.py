"""Where a workflow's time went: every moment from its first event to its end, or so far to the last, is counted once.

Where several things went on at once, the moment counts as what stands first in `PARTS`: while anything runs, nobody is
waited for. What is still awaited at the last event is listed apart: how long it will take, the record does not say.
What comes after the end, an act that is refused or a fork, takes no time of the workflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.recorded import RecordedEvent
from domain.state import UNDO, State
from domain.workflow import Workflow
from projections.replaying.attempts import Attempt
from projections.replaying.reading import ending_of, version_of

RUNNING: Final = "running"
WORKER: Final = "worker"
LOST: Final = "lost"
RECORDING: Final = "recording"
BACKOFF: Final = "backoff"
PERSON: Final = "person"
OTHERS: Final = "others"
LATE: Final = "late"
DEFINITION: Final = "definition"
WITHHELD: Final = "withheld"
BETWEEN: Final = "between"

PARTS: Final = {
    RUNNING: "an activity ran",
    WORKER: "waiting for a worker",
    LOST: "attempts that ended without an outcome",
    RECORDING: "outcomes on their way to the store",
    BACKOFF: "in backoff, or until a probe was due",
    PERSON: "waiting for a person",
    OTHERS: "waiting for a time, a signal or a child",
    LATE: "due, and nobody woke it",
    DEFINITION: "waiting for the definition to be loaded",
    WITHHELD: "not known: its payloads are withheld",
    BETWEEN: "nothing of these",
}
"""What time may go to; the first that applies."""

_WAITS: Final = {
    "approval": PERSON, "intervention": PERSON, "outcome_unknown": PERSON, "budget": PERSON, "paused": PERSON,
    "signal": OTHERS, "time": OTHERS, "child": OTHERS, "definition": DEFINITION,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that went to one thing."""

    part: str
    step: str
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end - self.begin).total_seconds()


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is still awaited at the last event, and since when."""

    part: str
    step: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds in all, by part (they add up to all), and by step and part (steps overlap); what is still awaited."""

    total_seconds: float
    parts: dict[str, float]
    steps: dict[str, dict[str, float]]
    awaited: tuple[Awaited, ...]


def stretches(events: Sequence[RecordedEvent], attempts: Sequence[Attempt]) -> tuple[list[Span], list[Awaited]]:
    """The stretches of time of a history, which overlap, and what is still awaited at the last event.

    `events` are those that can be folded.
    """
    if not events:
        return [], []
    lived = lifetime(events)
    end = max(one.timestamp for one in lived)
    waiting = _Waiting()
    workflow = Workflow(events[0].originator_id)
    for recorded in lived:
        workflow.apply(recorded)
        waiting.look(workflow.state, recorded.timestamp)
    spans = [*waiting.spans, *waiting.closed(end)]
    for recorded in events[len(lived) :]:
        workflow.apply(recorded)
        waiting.look(workflow.state, recorded.timestamp)
    awaited = [*waiting.awaited()]
    for attempt in attempts:
        spans += _of_attempt(attempt, end)
        if attempt.ended_at is None and workflow.state.ended is None:
            awaited.append(Awaited(WORKER, attempt.step, f"{attempt.kind} {attempt.count}", attempt.scheduled_at))
    return spans, awaited


def summed(events: Sequence[RecordedEvent], spans: Sequence[Span], awaited: Sequence[Awaited]) -> Durations:
    """What the stretches of a history come to."""
    if not events:
        return Durations(0.0, {}, {}, ())
    begin, end = events[0].timestamp, max(one.timestamp for one in lifetime(events))
    steps: dict[str, dict[str, float]] = {}
    for span in spans:
        if span.step and span.seconds > 0:
            of_step = steps.setdefault(span.step, {})
            of_step[span.part] = of_step.get(span.part, 0.0) + span.seconds
    return Durations((end - begin).total_seconds(), _each_once(spans, begin, end), steps, tuple(awaited))


def as_far_as_known(durations: Durations, begin: datetime, end: datetime) -> Durations:
    """The same from a workflow's first event to its end, where payloads are withheld before that comes."""
    total = (end - begin).total_seconds()
    rest = round(total - durations.total_seconds, 6)
    parts = {**durations.parts, **({WITHHELD: rest} if rest > 0 else {})}
    return replace(durations, total_seconds=total, parts=parts, awaited=())


def lifetime(events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
    """The events up to the one that ended the workflow; all where none has."""
    ending = ending_of(events)
    return events if ending is None else events[: version_of(ending)]


def _of_attempt(attempt: Attempt, end: datetime) -> Iterator[Span]:
    scheduled, ended = attempt.scheduled_at, attempt.ended_at or end
    started = attempt.started_at
    if attempt.outcome == "lapsed":
        yield Span(LOST, attempt.step, scheduled, ended)
    elif started is None:
        yield Span(WORKER, attempt.step, scheduled, ended)
    else:
        finished = attempt.finished_at or ended
        yield Span(WORKER, attempt.step, scheduled, max(scheduled, started))
        yield Span(RUNNING, attempt.step, started, max(started, finished))
        yield Span(RECORDING, attempt.step, finished, max(finished, ended))


class _Waiting:
    """Follows what a workflow waits for, and what is in backoff, from event to event."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open: dict[str, tuple[str, str, str, datetime, datetime | None]] = {}

    def look(self, state: State, at: datetime) -> None:
        """What is open after an event: close what is not any more, open what is new."""
        now: dict[str, tuple[str, str, str, datetime, datetime | None]] = {}
        for key, wait in state.waits.items():
            now[key] = (_WAITS[wait.reason], wait.step, wait.reason, at, wait.due_at)
        if state.paused:
            now["paused"] = (PERSON, "", "paused", at, None)
        for key, due in state.dues.items():
            kind, _, step = key.partition(":")
            if kind in {"retry", "probe"}:
                undone = state.undoing.step if step == UNDO and state.undoing is not None else step
                now[f"{key} {due.isoformat()}"] = (BACKOFF, undone, kind, at, due)
        for key in [key for key in self._open if key not in now]:
            self.spans += _split(self._open.pop(key), at)
        for key, one in now.items():
            self._open.setdefault(key, one)

    def closed(self, end: datetime) -> Iterator[Span]:
        """The stretches that are still open, until the end."""
        for one in self._open.values():
            yield from _split(one, end)

    def awaited(self) -> Iterator[Awaited]:
        """What is still open."""
        for part, step, reason, since, _ in self._open.values():
            yield Awaited(part, step, reason, since)


def _split(one: tuple[str, str, str, datetime, datetime | None], end: datetime) -> Iterator[Span]:
    """What was awaited until it was due; from then on nobody woke the workflow."""
    part, step, _, begin, due = one
    until = end if due is None else min(max(due, begin), end)
    yield Span(part, step, begin, until)
    if until < end:
        yield Span(LATE, step, until, end)


def _each_once(spans: Iterable[Span], begin: datetime, end: datetime) -> dict[str, float]:
    """Seconds by part, every moment counted once."""
    rank = {part: place for place, part in enumerate(PARTS)}
    changes: list[tuple[datetime, int, int]] = []
    for span in spans:
        first, last = max(span.begin, begin), min(span.end, end)
        if first < last:
            changes += [(first, rank[span.part], 1), (last, rank[span.part], -1)]
    changes.sort(key=lambda change: change[0])
    parts, counts = list(PARTS), [0] * len(PARTS)
    seconds = dict.fromkeys(parts, 0.0)
    at = begin
    for moment, place, change in [*changes, (end, rank[BETWEEN], 0)]:
        if moment > at:
            part = next((parts[number] for number, count in enumerate(counts) if count), BETWEEN)
            seconds[part] += (moment - at).total_seconds()
            at = moment
        counts[place] += change
    return {part: round(amount, 6) for part, amount in seconds.items() if amount > 0}
