"""The transitions of a history: decision by decision, each event with its node, what it says, why, and what it came of.

An event that cannot be read is a transition too, with as much of it as its header still says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain import events as e
from domain.recorded import RecordedEvent
from projections.replaying.nodes import nodes_of
from projections.replaying.origins import is_bad
from projections.replaying.reading import Entry, Unreadable
from projections.replaying.words import plain, said, trigger_words


@dataclass(frozen=True, slots=True)
class Transition:
    """One event. `because` is the version of the event that it came of, where that is known."""

    version: int
    event: str
    node: str
    step: str
    what: str
    why: str
    because: int | None
    bad: bool


@dataclass(frozen=True, slots=True)
class DecisionTold:
    """One decision: when, on what, from whom, and the transitions that it made. `cause` is the message, or the word."""

    version: int
    at: datetime | None
    trigger: str
    cause: str
    actor: str
    engine: str
    transitions: tuple[Transition, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did."""

    version: int
    at: datetime
    who: str
    what: str
    why: str


def timeline_of(entries: Sequence[Entry], because: dict[int, int]) -> list[DecisionTold]:
    """The decisions of a history, in their order."""
    told: list[DecisionTold] = []
    current: list[RecordedEvent] = []
    for entry in entries:
        if current and (isinstance(entry, Unreadable) or entry.decision != current[0].decision):
            told.append(_told(current, because))
            current = []
        if isinstance(entry, Unreadable):
            told.append(_unread(entry))
        else:
            current.append(entry)
    if current:
        told.append(_told(current, because))
    return told


def _told(decision: Sequence[RecordedEvent], because: dict[int, int]) -> DecisionTold:
    first = decision[0]
    whole = first.originator_version == first.decision
    return DecisionTold(
        first.originator_version,
        first.timestamp,
        trigger_words(first) if whole else "not readable",
        plain(first.cause, 200),
        plain(first.actor, 200),
        first.engine,
        tuple(
            Transition(
                recorded.originator_version,
                recorded.name,
                node,
                str(getattr(recorded.event, "step", "") or ""),
                *said(recorded),
                because.get(recorded.originator_version),
                is_trouble(recorded.event),
            )
            for recorded, node in zip(decision, nodes_of(decision), strict=True)
        ),
    )


def _unread(entry: Unreadable) -> DecisionTold:
    what = "written by a newer version of Handrail" if entry.newer else "cannot be read"
    what = f"{entry.name}, withheld" if entry.withheld else what
    transition = Transition(entry.version, entry.name, "", "", what, plain(entry.why), None, bad=not entry.withheld)
    trigger = "withheld" if entry.withheld else "not readable"
    return DecisionTold(
        entry.version, entry.at, trigger, plain(entry.cause, 200), plain(entry.actor, 200), "", (transition,)
    )


def is_trouble(event: e.Event) -> bool:
    """Whether an event tells of something that went wrong."""
    if isinstance(event, e.ApprovalRecorded):
        return event.decision == "reject"
    if isinstance(event, e.WaitStarted):
        return event.reason in {"budget", "definition"}
    return is_bad(event) or isinstance(event, _TROUBLES)


_TROUBLES = (
    e.PlanRejected,
    e.DecisionRefused,
    e.AttemptFailed,
    e.AttemptLapsed,
    e.StepFailed,
    e.OutcomeUnknown,
    e.CommandDeadLettered,
    e.InterventionRequested,
    e.StoppingBegan,
    e.CompensationFailed,
    e.WorkflowFailed,
    e.WorkflowCancelled,
    e.WorkflowCompensated,
)


def acts_of(events: Sequence[RecordedEvent]) -> list[Act]:
    """What people did, in its order: asked, decided (also what was refused), intervened."""
    found = []
    for recorded in events:
        who = _person(recorded.event)
        if who:
            words = said(recorded)
            at = recorded.timestamp
            found.append(Act(recorded.originator_version, at, plain(who, 100), words.what, words.why))
    return found


def _person(event: e.Event) -> str:
    if isinstance(event, e.WorkflowStarted | e.WorkflowForked):
        return event.requested_by
    if isinstance(event, e.ApprovalRecorded | e.DecisionRefused):
        return event.decided_by
    if isinstance(
        event, e.InterventionApplied | e.WorkflowPaused | e.WorkflowResumed | e.WorkflowRestored | e.ForkTaken
    ):
        return event.by
    return (event.by or "") if isinstance(event, e.StoppingBegan) else ""
