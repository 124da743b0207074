"""What kind of change it is where a history would have gone another way, and how it is told: a closed list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import events as e
from domain.replay import Divergence
from domain.state import State
from projections.replaying.whatif_facts import Turned, Way

CHANGES: Final[Mapping[str, str]] = {
    "gate_opens": "the gate would let the step pass",
    "gate_asks": "the gate would ask for an approval",
    "gate_asks_others": "the gate would ask for an approval by another policy",
    "gate_denies": "the gate would deny the step",
    "gate_fails": "the gate could not be asked, and the step would fail",
    "vote_refused": "the vote would be refused",
    "vote_counts": "the vote that was refused would count",
    "approval_needs_more": "the approval would need another vote",
    "approval_granted_earlier": "the approval would be granted already",
    "rejection_needs_more": "the rejection would need another vote",
    "approval_rejected_earlier": "the approval would be rejected already",
    "approval_expires": "the approval would have expired",
    "approval_stays_open": "the approval would not have expired yet",
    "approval_expires_otherwise": "the approval's expiry would have another consequence",
    "approval_escalates": "the approval would have been escalated",
    "approval_not_escalated": "the approval would not have been escalated yet",
    "approval_controls": "the approval would be granted under other conditions",
    "retry_stops": "there would be no further attempt",
    "retry_goes_on": "there would be a further attempt",
    "retry_waits_otherwise": "the next attempt would come at another time",
    "other": "it would be decided otherwise",
}
"""The kinds of changes, each in words."""

NOTHING: Final = "nothing further"


@dataclass(frozen=True, slots=True)
class Change:
    """Where a history would first have gone another way: the event, its step, what is recorded and what would be.

    `version` is the first event that would not be as it is, or the one behind the last where nothing is recorded.
    """

    kind: str
    version: int
    at: str
    step: str
    recorded: str
    decided: str

    @property
    def words(self) -> str:
        """The kind in words."""
        return CHANGES[self.kind]


def change_of(divergence: Divergence, at: datetime, turned: Mapping[str, Turned], state: State) -> Change:
    """The change at the first event that comes out otherwise; `state` is the one after the other decision."""
    was, would = divergence.recorded, divergence.decided
    step = str(getattr(would, "step", "") or getattr(was, "step", ""))
    if isinstance(was, e.DecisionRefused) and not step:
        step = was.approval_id.rpartition(".")[0]
    turn = turned.get(step)
    if turn is not None and not isinstance(was, _OF_OTHERS) and not isinstance(would, _OF_OTHERS):
        return Change(_gate(turn), divergence.version, _instant(at), step, _way(turn.recorded), _way(turn.decided))
    kind = _kind(was, would)
    decided = _shown(would) if would is not None else _not_yet(was, state)
    if divergence.decided is None and divergence.found != NOTHING:
        decided = divergence.found
    return Change(kind, divergence.version, _instant(at), step, _shown(was), decided)


def overdue(state: State, terms: Mapping[str, e.ApprovalRequested], instant: datetime) -> Change | None:
    """What of the open approvals would have fallen due by an instant under the other terms, and not as recorded."""
    found: list[tuple[datetime, str, str]] = []
    for step, ballot in state.ballots.items():
        asked, was = ballot.request, terms.get(step)
        if was is None or was.approval_id != asked.approval_id:
            continue
        if _falls_due(asked.deadline_at, was.deadline_at, instant):
            found.append((asked.deadline_at or instant, step, "approval_expires"))
        if not ballot.escalated and _falls_due(asked.escalate_at, was.escalate_at, instant):
            found.append((asked.escalate_at or instant, step, "approval_escalates"))
    if not found:
        return None
    due_at, step, kind = min(found)
    what = "expired" if kind == "approval_expires" else "escalated"
    return Change(kind, state.version + 1, _instant(due_at), step, NOTHING, f"{what}, due {_instant(due_at)}")


def _falls_due(due_at: datetime | None, recorded: datetime | None, instant: datetime) -> bool:
    return due_at is not None and due_at <= instant and (recorded is None or recorded > instant)


_OF_OTHERS: Final = (
    e.ApprovalRecorded,
    e.ApprovalExpired,
    e.ApprovalEscalated,
    e.ApprovalGranted,
    e.ApprovalRejected,
    e.DecisionRefused,
    e.RetryScheduled,
)
"""What is no matter of the gate."""

_BY_DECIDED: Final[Mapping[type[e.Event], str]] = {
    e.ApprovalExpired: "approval_expires",
    e.ApprovalEscalated: "approval_escalates",
    e.ApprovalGranted: "approval_granted_earlier",
    e.ApprovalRejected: "approval_rejected_earlier",
    e.RetryScheduled: "retry_goes_on",
}
_BY_RECORDED: Final[Mapping[type[e.Event], str]] = {
    e.ApprovalExpired: "approval_stays_open",
    e.ApprovalEscalated: "approval_not_escalated",
    e.ApprovalGranted: "approval_needs_more",
    e.ApprovalRejected: "rejection_needs_more",
    e.RetryScheduled: "retry_stops",
}
_BY_BOTH: Final[Mapping[type[e.Event], str]] = {
    e.RetryScheduled: "retry_waits_otherwise",
    e.ApprovalGranted: "approval_controls",
}


def _kind(was: e.Event | None, would: e.Event | None) -> str:
    if isinstance(was, e.ApprovalExpired) and isinstance(would, e.ApprovalExpired):
        return "approval_expires_otherwise" if was.then != would.then else "approval_expires"
    if type(was) is type(would):
        return _BY_BOTH.get(type(was), "other") if was is not None else "other"
    if isinstance(would, e.DecisionRefused) and isinstance(was, e.ApprovalRecorded):
        return "vote_refused"
    if isinstance(was, e.DecisionRefused) and isinstance(would, e.ApprovalRecorded):
        return "vote_counts"
    if would is not None and type(would) in _BY_DECIDED:
        return _BY_DECIDED[type(would)]
    return _BY_RECORDED.get(type(was), "other") if was is not None else "other"


def _gate(turn: Turned) -> str:
    if turn.decided.kind == "asks":
        return "gate_asks_others" if turn.recorded.kind == "asks" else "gate_asks"
    return {"open": "gate_opens", "denies": "gate_denies"}.get(turn.decided.kind, "gate_fails")


def _way(way: Way) -> str:
    said = {"open": "passes", "denies": "denied", "fails": "cannot be asked"}.get(way.kind)
    words = said or f"approval by policy {way.approval}"
    return f"{words} (gate {way.gate})" if way.gate else words


def _shown(event: e.Event | None) -> str:
    """An event in a few words."""
    match event:
        case None:
            words = NOTHING
        case e.RetryScheduled():
            words = f"attempt {event.attempt} after {event.delay_seconds:g} s"
        case e.ApprovalRecorded():
            words = f"{event.decided_by}'s vote counts ({event.decision})"
        case e.DecisionRefused():
            words = f"{event.decided_by}'s vote is refused: {event.reason}"
        case e.ApprovalGranted():
            controls = f" under {', '.join(event.controls)}" if event.controls else ""
            words = f"granted by {', '.join(event.decided_by)}{controls}"
        case e.ApprovalRejected():
            words = f"rejected by {', '.join(event.decided_by)}"
        case e.ApprovalExpired():
            words = f"expired, due {_instant(event.due_at)}: {event.then}"
        case e.ApprovalEscalated():
            words = f"escalated to {', '.join(event.escalate_to)}, due {_instant(event.due_at)}"
        case e.StepFailed() | e.CompensationFailed():
            words = f"{event.stored_name}: {event.failure.message}"
        case _:
            words = event.stored_name
    return words


def _not_yet(was: e.Event | None, state: State) -> str:
    """What the other decision waits for, where it comes to nothing further."""
    ballot = state.ballots.get(str(getattr(was, "step", "")))
    if ballot is None:
        return NOTHING
    asked = ballot.request
    if isinstance(was, e.ApprovalExpired):
        return f"open until {_instant(asked.deadline_at)}" if asked.deadline_at is not None else "open without deadline"
    if isinstance(was, e.ApprovalEscalated):
        return f"escalated at {_instant(asked.escalate_at)}" if asked.escalate_at is not None else "never escalated"
    if isinstance(was, e.ApprovalRejected):
        return f"{len(ballot.rejections)} of {asked.rejections} rejections"
    return f"{len(ballot.grants)} of {asked.required} grants"


def _instant(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
