"""Two runs held side by side: the first point where their ways part, and what differed before it.

What counts is the *way*: which events there are for each step, with which verdict, outcome and failure; `ways` says
which parts of an event that is. Data (inputs, outputs, the definition's version) that differ while the way is the same
are listed apart: they may be the reason. No differences are time, ids, workers, who decided, what was refused, and
pauses. Steps are compared each for itself, so that steps which run beside one another may end in any order; where
nothing else differs, another order is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from domain import events as e
from domain.ids import PLAN_STEP
from domain.recorded import RecordedEvent
from projections.replaying.counting import Counts, counts_of
from projections.replaying.verdict import Difference, json_differences
from projections.replaying.ways import Neutral, apart, neutral_for, parts_of, way_differences
from projections.replaying.words import said

MOST_DATA: Final = 50
"""How many differing parts of the data are listed."""


class What(StrEnum):
    """What differs at a point."""

    DEFINITION = "definition"
    INPUT = "input"
    PLAN = "plan"
    POLICY = "policy"
    DECISION = "decision"
    OUTCOME = "outcome"
    OPERATOR = "operator"
    ORDER = "order"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Point:
    """Where two runs differ: the event of each (None: it has none there), what it says, and which parts of it."""

    what: What
    step: str
    here: int | None
    there: int | None
    here_words: str
    there_words: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the comparison of two runs came to; `events` is how many of the first went the same way before they part."""

    parting: Point | None
    data: tuple[Point, ...]
    order: Point | None
    events: int

    @property
    def same(self) -> bool:
        """Whether nothing differs at all."""
        return self.first is None

    @property
    def first(self) -> Point | None:
        """The first difference of any kind."""
        found = [one for one in (self.parting, self.order, *self.data[:1]) if one is not None]
        return min(found, key=lambda one: one.here or one.there or 0, default=None)


@dataclass(frozen=True, slots=True)
class _Move:
    version: int
    lane: str
    way: Any
    data: Any
    event: e.Event
    words: str


def compare(here: Sequence[RecordedEvent], there: Sequence[RecordedEvent]) -> Comparison:
    """Hold two histories side by side; a fork and its source only in what both did."""
    length = here[-1].originator_version if here else 0
    here, there = beside_its_source(here, there)
    there, here = beside_its_source(there, here)
    ours, theirs = _moves(here), _moves(there)
    lanes, others = _lanes(ours), _lanes(theirs)
    points: list[tuple[int, Point]] = []
    data: list[Point] = []
    for lane in dict.fromkeys([*lanes, *others]):
        found, before = _lane(lanes.get(lane, []), others.get(lane, []), length)
        points += found
        data += before
    parting = min(points, key=lambda one: one[0])[1] if points else None
    data.sort(key=lambda one: one.here or 0)
    limit = parting.here if parting is not None and parting.here is not None else length + 1
    order = _order(ours, theirs, limit)
    kept = tuple(one for one in data if (one.here or 0) <= limit)[:MOST_DATA]
    events = sum(1 for move in ours if move.version < limit)
    return Comparison(parting, kept, order, events)


def beside_its_source(
    fork: Sequence[RecordedEvent], source: Sequence[RecordedEvent]
) -> tuple[Sequence[RecordedEvent], Sequence[RecordedEvent]]:
    """What is to be compared where the first is a fork of the second; else both as they are.

    Of the fork, all behind its beginning. Of the source, all behind the cut, and what it had done before of the steps
    that had not settled there: the fork does those from their beginning.
    """
    begun = fork[0].event if fork else None
    if not isinstance(begun, e.WorkflowForked) or not source or begun.source != source[0].originator_id:
        return fork, source
    settled, is_open = begun.state.get("settled") or {}, begun.state.get("steps") or {}
    asked = [one.originator_version for one in source if isinstance(one.event, e.PlanRequested)]
    asked_last = max((version for version in asked if version <= begun.source_version), default=0)
    kept = [
        recorded
        for recorded in source
        if recorded.originator_version > begun.source_version
        or (
            recorded.originator_version >= asked_last and PLAN_STEP in is_open
            if (step := _lane_of(recorded.event)) == PLAN_STEP
            else step.partition("/")[0] in is_open and step not in settled
        )
    ]
    return fork[1:], kept


def _lanes(moves: Sequence[_Move]) -> dict[str, list[_Move]]:
    lanes: dict[str, list[_Move]] = {}
    for move in moves:
        lanes.setdefault(move.lane, []).append(move)
    return lanes


def _lane(ours: Sequence[_Move], theirs: Sequence[_Move], length: int) -> tuple[list[tuple[int, Point]], list[Point]]:
    """Where one lane parts, if it does, with its place in our history; and where its data differ before that."""
    data: list[Point] = []
    for one, other in zip(ours, theirs, strict=False):
        if one.way != other.way:
            return [(one.version, _parting(one, other))], data
        if one.data != other.data:
            data.append(_point(one, other, tuple(json_differences(one.data, other.data))))
    at = min(len(ours), len(theirs))
    if len(ours) > at:
        return [(ours[at].version, _point(ours[at], None))], data
    if len(theirs) > at:
        return [(length + 1, _point(None, theirs[at]))], data
    return [], data


def _parting(one: _Move, other: _Move) -> Point:
    """The point where two events are not the same way; its words say what differs."""
    if type(one.event) is not type(other.event):
        return _point(one, other)
    differences = tuple(way_differences(one.way, other.way))
    here_words, there_words = apart((one.words, other.words), (one.event, other.event), differences)
    return replace(_point(one, other, differences), here_words=here_words, there_words=there_words)


def _point(one: _Move | None, other: _Move | None, differences: tuple[Difference, ...] = ()) -> Point:
    known = one or other
    return Point(
        _what(one, other, differences),
        str(getattr(known.event, "step", "") or "") if known is not None else "",
        one.version if one is not None else None,
        other.version if other is not None else None,
        one.words if one is not None else "",
        other.words if other is not None else "",
        differences,
    )


def _what(one: _Move | None, other: _Move | None, differences: Sequence[Difference]) -> What:
    if one is None:
        return What.UNFINISHED
    events = [move.event for move in (one, other) if move is not None]
    for kinds, what in _WHATS:
        if any(isinstance(event, kinds) for event in events):
            if what is What.INPUT and any(difference.path.startswith("/definition") for difference in differences):
                return What.DEFINITION
            return what
    return What.OUTCOME


_WHATS: Final[tuple[tuple[tuple[type[e.Event], ...], What], ...]] = (
    ((e.WorkflowStarted, e.WorkflowForked), What.INPUT),
    ((e.PlanProposed, e.PlanRejected, e.PlanRequested), What.PLAN),
    ((e.PolicyEvaluated,), What.POLICY),
    ((e.InterventionApplied, e.WorkflowRestored), What.OPERATOR),
    (
        (e.ApprovalRequested, e.ApprovalRecorded, e.ApprovalGranted, e.ApprovalRejected, e.ApprovalEscalated,
         e.ApprovalExpired),
        What.DECISION,
    ),
    (
        (e.AttemptFailed, e.AttemptLapsed, e.StepSucceeded, e.StepFailed, e.StepTimedOut, e.OutcomeUnknown,
         e.CommandDeadLettered, e.WaitTimedOut, e.ChildEnded),
        What.OUTCOME,
    ),
    ((e.StepScheduled, e.ChildStarted), What.INPUT),
)  # fmt: skip
"""What differs where these events stand on either side; the first that fits."""


def _order(ours: Sequence[_Move], theirs: Sequence[_Move], limit: int) -> Point | None:
    """The first event that came in another order, before the ways part."""
    left = [move for move in ours if move.lane and move.version < limit]
    right = [move for move in theirs if move.lane]
    for one, other in zip(left, right, strict=False):
        if one.lane != other.lane:
            return Point(What.ORDER, one.lane, one.version, other.version, one.words, other.words)
    return None


# --- what of an event is compared -----------------------------------------------------------------------------------


def _moves(events: Sequence[RecordedEvent]) -> list[_Move]:
    counts, neutral = counts_of(events), neutral_for(events)
    return [_move(recorded, counts, neutral) for recorded in events if not isinstance(recorded.event, _PASSED_OVER)]


def _move(recorded: RecordedEvent, counts: Counts, neutral: Neutral) -> _Move:
    event = recorded.event
    way, data = parts_of(event, neutral)
    return _Move(recorded.originator_version, _lane_of(event), way, data, event, said(recorded, counts).what)


def _lane_of(event: e.Event) -> str:
    if isinstance(event, e.PlanProposed | e.PlanRejected | e.PlanRequested):
        return PLAN_STEP
    if isinstance(event, e.StoppingBegan):
        return ""
    undoing = isinstance(event, e.CompensationScheduled | e.StepCompensated | e.CompensationFailed)
    kind = "compensate" if undoing else getattr(event, "kind", "run")
    step = str(getattr(event, "step", "") or "")
    return f"{step}/{kind}" if step and kind == "compensate" else step


_PASSED_OVER: Final = (e.DecisionRefused, e.WorkflowPaused, e.WorkflowResumed, e.ForkTaken)
