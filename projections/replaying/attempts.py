"""Every attempt of a history: when it was scheduled, claimed, started and finished, by whom, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain import events as e
from domain.ids import parse_message_id
from domain.recorded import RecordedEvent
from domain.replay import decisions
from projections.replaying.because import attempt_of
from projections.replaying.counting import Key, count_of, counts_of
from projections.replaying.words import failure_words, plain

OPEN: Final = "open"
"""How an attempt is called that has not ended."""


@dataclass(slots=True)
class Attempt:
    """One attempt. `scheduled` and `ended` are the versions of the events that say so; instants as recorded.

    `count` says which of its kind it is: runs, probes and undoings of a step share their numbers.
    """

    step: str
    kind: str
    attempt: int
    count: int
    activity: str
    scheduled: int
    scheduled_at: datetime
    outcome: str = OPEN
    ended: int | None = None
    ended_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    failure: str | None = None
    fingerprint: str | None = None


def attempts_of(events: Sequence[RecordedEvent]) -> list[Attempt]:
    """All attempts in the order in which they were scheduled."""
    found: dict[Key, Attempt] = {}
    counts = counts_of(events)
    for decision in decisions(events):
        own = attempt_of(decision[0].event)
        for recorded in decision:
            event = recorded.event
            if isinstance(event, e.StepScheduled):
                key = event.step, event.kind, event.attempt
                found[key] = Attempt(
                    *key, count_of(counts, *key), event.activity, recorded.originator_version, recorded.timestamp
                )
                continue
            for ended, outcome in _ends(event, own):
                attempt = found.get(ended)
                if attempt is not None and attempt.outcome == OPEN:
                    _end(attempt, recorded, outcome, decision[0].event)
    return list(found.values())


def _ends(event: e.Event, own: Key | None) -> Iterator[tuple[Key, str]]:
    """Which attempts an event ends, and how they ended."""
    outcome = _OUTCOMES.get(type(event))
    if outcome is not None:
        one: Any = event
        yield (one.step, getattr(one, "kind", "run"), one.attempt), outcome
    elif isinstance(event, e.StepCompensated):
        yield (event.step, "compensate", event.attempt), "ok"
    elif isinstance(event, e.ArtifactRecorded):
        yield (event.step, "artifact", event.attempt), "ok"
    elif isinstance(event, e.ApprovalRequested) and event.origin == "activity":
        yield (event.step, "run", event.attempt or 0), "needs_approval"
    elif own is not None and isinstance(event, e.PlanProposed | e.PlanRejected | e.OutcomeReconciled):
        yield own, "rejected" if isinstance(event, e.PlanRejected) else "ok"
    for message_id in (*getattr(event, "revoked", ()), *getattr(event, "ended", ())):
        parts = parse_message_id(message_id)
        yield (parts.step, parts.kind, parts.attempt), "revoked"


_OUTCOMES: Final[dict[type[e.Event], str]] = {
    e.StepSucceeded: "ok",
    e.AttemptFailed: "failed",
    e.AttemptLapsed: "lapsed",
    e.CommandDeadLettered: "dead_lettered",
    e.StepTimedOut: "timed_out",
}


def _end(attempt: Attempt, recorded: RecordedEvent, outcome: str, first: e.Event) -> None:
    event = recorded.event
    attempt.outcome, attempt.ended, attempt.ended_at = outcome, recorded.originator_version, recorded.timestamp
    # Where the event itself has no room for them, the trigger that it was decided on has the times.
    trigger = (first.trigger or {}) if outcome != "revoked" else {}
    for name in _TIMES:
        given = getattr(event, name, None) or trigger.get(name)
        setattr(attempt, name, datetime.fromisoformat(given) if isinstance(given, str) else given)
    attempt.worker = getattr(event, "worker", None) or getattr(event, "owner", None) or trigger.get("worker")
    if isinstance(event, e.AttemptFailed):
        attempt.failure, attempt.fingerprint = plain(failure_words(event.failure)), event.failure.fingerprint
    elif isinstance(event, e.AttemptLapsed | e.CommandDeadLettered | e.PlanRejected):
        attempt.failure = plain(event.reason)


_TIMES: Final = ("claimed_at", "started_at", "finished_at")
