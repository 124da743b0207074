"""The transitions of a history: decision by decision, each event with its node, what it says, why, and what it came of.

An event that cannot be read is a transition too, with as much of it as its header still says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain import events as e
from domain.recorded import RecordedEvent
from projections.replaying.counting import AS_NUMBERED, Counts
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
    """One decision: when, on what, from whom, and the transitions that it made. `cause` is the message, or the word.

    `after_end`: the workflow had ended before.
    """

    version: int
    at: datetime | None
    trigger: str
    cause: str
    actor: str
    engine: str
    transitions: tuple[Transition, ...]
    after_end: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did. `after_end` as for decisions."""

    version: int
    at: datetime
    who: str
    what: str
    why: str
    after_end: bool = False


def timeline_of(
    entries: Sequence[Entry], because: dict[int, int], counts: Counts = AS_NUMBERED, end: int | None = None
) -> list[DecisionTold]:
    """The decisions of a history, in their order; `end` is the event that ended the workflow."""
    told: list[DecisionTold] = []
    current: list[RecordedEvent] = []
    withheld = frozenset(one.version for one in entries if isinstance(one, Unreadable) and one.withheld)
    for entry in entries:
        if current and (isinstance(entry, Unreadable) or entry.decision != current[0].decision):
            told.append(_told(current, because, counts, withheld))
            current = []
        if isinstance(entry, Unreadable):
            told.append(_unread(entry))
        else:
            current.append(entry)
    if current:
        told.append(_told(current, because, counts, withheld))
    return [replace(one, after_end=True) if end is not None and one.version > end else one for one in told]


def _told(
    decision: Sequence[RecordedEvent], because: dict[int, int], counts: Counts, withheld: frozenset[int]
) -> DecisionTold:
    first = decision[0]
    whole = first.originator_version == first.decision
    unread = "withheld" if first.decision in withheld else "not readable"
    return DecisionTold(
        first.originator_version,
        first.timestamp,
        trigger_words(first, counts) if whole else unread,
        plain(first.cause, 200),
        plain(first.actor, 200),
        first.engine,
        tuple(
            Transition(
                recorded.originator_version,
                recorded.name,
                node,
                str(getattr(recorded.event, "step", "") or ""),
                *said(recorded, counts),
                because.get(recorded.originator_version),
                is_trouble(recorded.event),
            )
            for recorded, node in zip(decision, nodes_of(decision), strict=True)
        ),
    )


def _unread(entry: Unreadable) -> DecisionTold:
    what = "written by a newer version of Handrail" if entry.newer else "cannot be read"
    what = f"{entry.name}, withheld" if entry.withheld else what
    why = "" if entry.withheld else plain(entry.why)  # which is the same for all of them, and told once
    transition = Transition(entry.version, entry.name, "", "", what, why, None, bad=not entry.withheld)
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


def acts_of(events: Sequence[RecordedEvent], end: int | None = None) -> list[Act]:
    """What people did, in its order: asked, decided (also what was refused), intervened; `end` as above."""
    found = []
    for recorded in events:
        who = _person(recorded.event)
        if who:
            words = said(recorded)
            version, at = recorded.originator_version, recorded.timestamp
            after = end is not None and version > end
            found.append(Act(version, at, plain(who, 100), words.what, words.why, after))
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
