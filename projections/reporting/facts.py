"""What a page lays out: the report, and beside it what a history says of its steps, its approvals and its payloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from domain import events as e
from domain.recorded import RecordedEvent
from domain.replay import fold
from domain.state import State
from projections.exporting.telling import Told
from projections.replaying.reading import History
from projections.replaying.report import Report, foldable
from projections.replaying.words import plain
from projections.reporting.graph import StepTold


class Vote(NamedTuple):
    """What one person said in a round. `counted` is false for a decision that was refused."""

    version: int
    at: datetime
    who: str
    decision: str
    reason: str
    controls: tuple[str, ...] = ()
    counted: bool = True


@dataclass(slots=True)
class Round:
    """One round of an approval. `closed` is the event that ended it, and `outcome` what it came to; empty while open.

    `digest` is that of the action that was to be approved.
    """

    step: str
    number: int
    version: int
    asked_at: datetime
    origin: str
    digest: str
    policy: str
    required: int
    approvers: tuple[str, ...]
    four_eyes: bool
    deadline_at: datetime | None
    reason: str
    votes: list[Vote] = field(default_factory=list)
    outcome: str = ""
    closed: int | None = None
    closed_at: datetime | None = None


class Payload(NamedTuple):
    """What is shown of an event's payload: its JSON, or None, and then why it is not shown.

    `cut` says that values are cut out of it; `digest` is the event's.
    """

    text: bytes | None
    why: str = ""
    cut: bool = False
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a page says. `payloads` has by version what is shown of them, after the `rules` of a redaction.

    `events` are those that can be folded.
    """

    report: Report
    steps: tuple[StepTold, ...]
    approvals: tuple[Round, ...]
    payloads: Mapping[int, Payload]
    rules: tuple[str, ...] = ()
    events: tuple[RecordedEvent, ...] = ()


MOST_NAMES: Final = 20
"""So many approvers, or conditions, are named."""
_WHY: Final = {
    "withheld": "withheld; its digest still holds",
    "damaged": "it does not fit its digest; the JSON Lines file has what the store has",
}


def payload_of(told: Told) -> Payload:
    """What is shown of a payload, as exports show it."""
    return Payload(told.payload, _WHY.get(told.how, ""), told.how == "cut", told.row.digest)


def facts_of(report: Report, history: History, payloads: Mapping[int, Payload], rules: Sequence[str] = ()) -> Facts:
    """What a page of this report says; `history` is what the report was made of."""
    events = tuple(foldable(history.sound)[0])
    return Facts(report, tuple(steps_of(fold(events))), tuple(approvals_of(events)), payloads, tuple(rules), events)


def steps_of(state: State) -> list[StepTold]:
    """The steps of the plan in their order, as they stand; the engine's own are not among them."""
    found: list[tuple[int, StepTold]] = []
    for step, settled in state.settled.items():
        told = StepTold(step, settled.activity or "", settled.after, settled.status.value)
        found.append((settled.number, told))
    for step, open_step in state.steps.items():
        planned = open_step.planned
        if planned is None:
            continue
        what = planned.activity or ("a child workflow" if planned.child is not None else "a wait")
        found.append((open_step.number, StepTold(step, what, planned.after, open_step.status.value)))
    return [told for _, told in sorted(found, key=lambda one: one[0])]


def approvals_of(events: Sequence[RecordedEvent]) -> list[Round]:
    """Every round of every approval, in the order in which people were asked."""
    rounds: dict[tuple[str, int], Round] = {}
    named: dict[str, Round] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, e.ApprovalRequested):
            one = _asked(recorded, event)
            rounds[event.step, event.round] = named[event.approval_id] = one
        elif isinstance(event, e.DecisionRefused):
            if event.approval_id in named:
                named[event.approval_id].votes.append(_refused(recorded, event))
        elif isinstance(event, e.ApprovalRecorded | e.ApprovalGranted | e.ApprovalRejected | e.ApprovalExpired):
            asked = rounds.get((event.step, event.round))
            if asked is not None:
                _take(asked, recorded, event)
    return list(rounds.values())


def _asked(recorded: RecordedEvent, event: e.ApprovalRequested) -> Round:
    return Round(
        step=event.step,
        number=event.round,
        version=recorded.originator_version,
        asked_at=recorded.timestamp,
        origin=event.origin,
        digest=event.digest,
        policy=f"{event.policy} {event.policy_version}".strip(),
        required=event.required,
        approvers=_first(event.approvers),
        four_eyes=event.four_eyes,
        deadline_at=event.deadline_at,
        reason=plain(event.reason),
    )


def _first(texts: Sequence[str]) -> tuple[str, ...]:
    """Of many texts the first, and how many more there are."""
    left = len(texts) - MOST_NAMES
    return (*(plain(text) for text in texts[:MOST_NAMES]), *([f"{left} more"] if left > 0 else []))


def _refused(recorded: RecordedEvent, event: e.DecisionRefused) -> Vote:
    version, at = recorded.originator_version, recorded.timestamp
    return Vote(version, at, event.decided_by, event.decision, plain(event.reason), counted=False)


_OUTCOMES = {"reject": "expired, which rejects it", "intervene": "expired", "grant": "expired, which grants it"}


def _take(
    asked: Round,
    recorded: RecordedEvent,
    event: e.ApprovalRecorded | e.ApprovalGranted | e.ApprovalRejected | e.ApprovalExpired,
) -> None:
    version, at = recorded.originator_version, recorded.timestamp
    if isinstance(event, e.ApprovalRecorded):
        asked.votes.append(
            Vote(version, at, event.decided_by, event.decision, plain(event.reason), _first(event.controls))
        )
        return
    asked.closed, asked.closed_at = version, at
    if isinstance(event, e.ApprovalExpired):
        asked.outcome = _OUTCOMES[event.then]
    else:
        asked.outcome = "granted" if isinstance(event, e.ApprovalGranted) else "rejected"
