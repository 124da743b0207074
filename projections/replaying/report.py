"""The replay report of one workflow: plain frozen data, from which text and JSON are made alike.

Which of three findings is the first cause:

1. Where the record does not fit its digests, or holds an event that cannot be read: the first such event, unless the
   trouble had begun before it.
2. Where the code at hand decides an event otherwise than it is recorded, and neither another version of the engine nor
   the definition explains that: that event, unless the trouble had begun before it.
3. The first cause of the trouble (`origins`); where there is none, what the definition now says otherwise, then what
   was decided late, then what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from domain.chain import digest_of
from domain.ports import Definitions
from domain.recorded import ENGINE, RecordedEvent
from domain.replay import fold
from domain.state import STATE, State, Status
from domain.store.covers import Erasure
from projections.replaying.attempts import Attempt, attempts_of
from projections.replaying.because import Thread
from projections.replaying.durations import Durations, Span, as_far_as_known, stretches, summed
from projections.replaying.lateness import Late, late_events
from projections.replaying.origins import Cause, Kind, Origins, Related, cause_of
from projections.replaying.parting import Point, compare
from projections.replaying.reading import (
    Break,
    Elsewhere,
    History,
    Unreadable,
    ending_of,
    moment_of,
    status_by,
    version_of,
)
from projections.replaying.timeline import Act, DecisionTold, acts_of, timeline_of
from projections.replaying.verdict import UNDECIDABLE, Verdict, Word, definition_of, verdict_of
from projections.replaying.words import plain, said

FORMAT: Final = "handrail.replay.v1"


@dataclass(frozen=True, slots=True)
class Link:
    """One event on the way from the goal to where the trouble shows."""

    workflow: str
    version: int
    event: str
    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Beside:
    """The last run of the definition that completed, and the first point where this one parts from it."""

    workflow: str
    parting: Point | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a history tells. `chain` leads from the goal to where the first cause shows in this workflow.

    `beside` is there where something is wrong, and another run completed. `spans` are what `durations` sums up.
    """

    workflow: str
    goal: str
    definition: str
    definition_version: str
    requested_by: str
    status: str
    reason: str
    waits: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    end: int | None
    """The event that ended it; what comes after that is neither time of the workflow nor on the way."""
    version: int
    head: str
    position: int
    engine: str
    first_cause: Cause | None
    others: tuple[Cause, ...]
    elsewhere: Elsewhere | None
    beside: Beside | None
    chain: tuple[Link, ...]
    verdict: Verdict
    broken: Break | None
    unreadable: tuple[Unreadable, ...]
    withheld: tuple[int, ...]
    """The events whose payloads are withheld: of what follows the first no more is known than headers say."""
    known_to_end: bool
    """Whether it is known how it stands, or ended: no payload before that is withheld."""
    erasure: Erasure | None
    cut: tuple[int, ...]
    """The events that values were cut out of."""
    state_digest: str
    """Digest of the state after the last event; empty where not all of it is known."""
    unfolded: str
    durations: Durations
    spans: tuple[Span, ...]
    late: tuple[Late, ...]
    attempts: tuple[Attempt, ...]
    acts: tuple[Act, ...]
    decisions: tuple[DecisionTold, ...]


Counted = Callable[[str, str], Elsewhere | None]
"""How often a fingerprint was counted elsewhere than in a workflow; None where nothing is known of it."""

Completed = Callable[[str, str, str], Sequence[RecordedEvent] | None]
"""The last run of a definition (name, version) that completed, besides the workflow named; None where there is none."""


def _none(*_: str) -> None:
    """Nothing is known of others."""


def build(
    history: History, definitions: Definitions, family: Related, counted: Counted = _none, completed: Completed = _none
) -> Report:
    """The report of a history.

    `family` reads its children and parents, `counted` the counts of failures, `completed` the run to compare with.
    """

    def related(workflow_id: str) -> Sequence[RecordedEvent] | None:
        return foldable(family(workflow_id) or ())[0] or None

    sound, unfolded = foldable(history.sound)
    whole = len(sound) == len(history.entries)
    state = fold(sound)
    thread = Thread(sound)
    verdict = verdict_of(history, sound, definitions)
    late = late_events(sound)
    known_to_end = not history.withheld or state.ended is not None
    ending = ending_of(sound if known_to_end else history.headers)
    end = None if ending is None else version_of(ending)
    # Where it stood when payloads began to be withheld is no trouble of now, nor anything that is waited for.
    troubles = _troubles(thread, related) if known_to_end else []
    causes = _causes(history, thread, verdict, late if known_to_end else [], troubles)
    first = causes[0] if causes else None
    elsewhere = None
    if first is not None and first.failure is not None:
        elsewhere = counted(first.failure.fingerprint, first.workflow)
    attempts = attempts_of(sound)
    spans, awaited = stretches(sound, attempts)
    durations = summed(sound, spans, awaited)
    headers = history.headers
    started_at = state.started_at or (moment_of(headers[0]) if headers else None)
    if not known_to_end and started_at is not None:
        durations = as_far_as_known(durations, started_at, moment_of(ending or headers[-1]) or started_at)
    left = history.erasure.left if history.erasure is not None else {}
    return Report(
        workflow=history.workflow_id,
        goal=plain(state.goal),
        definition=state.definition or left.get("definition", ""),
        definition_version=state.definition_version or left.get("definition_version", ""),
        requested_by=plain(state.requested_by, 200),
        status=status_of(state) if known_to_end else status_by(ending),
        reason=plain(state.ended_reason),
        waits=_waits(state) if known_to_end else (),
        started_at=started_at,
        ended_at=state.ended_at or (None if ending is None else moment_of(ending)),
        end=end,
        version=version_of(history.entries[-1]) if history.entries else 0,
        head=state.head if whole else _head(history),
        position=history.position,
        engine=ENGINE,
        first_cause=first,
        others=tuple(causes[1:]),
        elsewhere=elsewhere,
        beside=_beside(sound, first, completed),
        chain=tuple(_chain(thread, first, related, end)),
        verdict=verdict,
        broken=history.broken,
        unreadable=history.unreadable,
        withheld=tuple(one.version for one in history.withheld),
        known_to_end=known_to_end,
        erasure=history.erasure,
        cut=history.cut,
        state_digest=digest_of(STATE.dump_python(state, mode="json")) if whole and not history.cut else "",
        unfolded=unfolded,
        durations=durations,
        spans=tuple(spans),
        late=tuple(late),
        attempts=tuple(attempts),
        acts=tuple(acts_of(sound, end)),
        decisions=tuple(timeline_of(history.entries, thread.because, thread.counts, end)),
    )


def _waits(state: State) -> tuple[str, ...]:
    return tuple(f"{wait.reason} ({wait.step})" if wait.step else wait.reason for wait in state.waits.values())


def _head(history: History) -> str:
    """The digest of the last event where not all can be folded: known where that is for payloads which are withheld."""
    return history.headers[-1].digest if history.withheld and len(history.headers) == len(history.entries) else ""


def _beside(sound: Sequence[RecordedEvent], first: Cause | None, completed: Completed) -> Beside | None:
    if first is None or not first.fault or not sound:
        return None
    other = completed(*definition_of(sound[0].event), sound[0].originator_id)
    return Beside(other[0].originator_id, compare(sound, other).parting) if other else None


def status_of(state: State) -> str:
    """The status, or `unknown` where not one event can be read."""
    return "unknown" if state.status is Status.NEW else state.status.value


def foldable(events: Sequence[RecordedEvent]) -> tuple[Sequence[RecordedEvent], str]:
    """As many of the events as can be folded, and why no more: an event that was changed may fit nothing."""
    try:
        fold(events)
    except UNDECIDABLE as error:
        low, high = 0, len(events)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _folds(events[:middle]) else (low, middle)
        return events[:low], plain(f"event {low + 1} does not fit those before it: {type(error).__name__}: {error}")
    return events, ""


def _folds(events: Sequence[RecordedEvent]) -> bool:
    try:
        fold(events)
    except UNDECIDABLE:
        return False
    return True


# --- the first cause ------------------------------------------------------------------------------------------------


def _causes(
    history: History, thread: Thread, verdict: Verdict, late: Sequence[Late], troubles: Sequence[Cause]
) -> list[Cause]:
    """The first cause, and what else there is to look at."""
    damage = _damage(history)
    decided = _decided_otherwise(thread, verdict)
    faults = [cause for cause in troubles if cause.fault]
    waits = [cause for cause in troubles if not cause.fault]
    grave = [damage, decided if verdict.suspect == "engine" else None]
    worst = min((one for one in grave if one is not None), key=lambda cause: cause.version, default=None)
    late_ones = [cause_of(thread, Kind.TIMER_LATE, one.version, one.version) for one in late[:1]]
    found = [*faults, *([decided] if decided is not None else []), *late_ones, *waits]
    begun_before = faults and worst is not None and faults[0].seen_at < worst.version
    if worst is not None and not begun_before:
        found = [worst, *found]
    elif decided is not None and faults and faults[0].version == decided.version:
        found = [decided, *found]  # the same event, and more is known of it
    if damage is not None:
        found.append(damage)
    each: dict[tuple[str, int, bool], Cause] = {}
    for cause in found:
        each.setdefault((cause.workflow, cause.version, cause is damage), cause)
    return list(each.values())


def _damage(history: History) -> Cause | None:
    """The first event that was changed, is missing or cannot be read."""
    unreadable = history.unreadable[0] if history.unreadable else None
    broken = history.broken
    if broken is None and unreadable is None:
        return None
    if broken is not None and (unreadable is None or broken.version <= unreadable.version):
        damaged = unreadable is not None and unreadable.version == broken.version
        kind, version, words = Kind.UNREADABLE if damaged else Kind.TAMPERED, broken.version, broken.words
        words = unreadable.why if damaged and unreadable is not None else words
    elif unreadable is not None:
        kind, version, words = Kind.UNREADABLE, unreadable.version, unreadable.why
    entry = next((one for one in history.entries if version_of(one) >= version), history.entries[-1])
    name = entry.name if version_of(entry) == version else ""
    return Cause(kind, True, history.workflow_id, version, name, _about(history, version), plain(words), version)  # noqa: FBT003 - a fault


def _about(history: History, version: int) -> datetime:
    """When an event was recorded, or the last one before it whose header can be read."""
    at = datetime.fromtimestamp(0, UTC)
    for entry in history.entries:
        if version_of(entry) > version:
            break
        at = (entry.at if isinstance(entry, Unreadable) else entry.timestamp) or at
    return at


def _decided_otherwise(thread: Thread, verdict: Verdict) -> Cause | None:
    if verdict.version is None or verdict.word not in {Word.DIFFERS, Word.UNDECIDABLE}:
        return None
    kind = Kind.DEFINITION_CHANGED if verdict.suspect == "definition" else Kind.DECIDED_OTHERWISE
    return cause_of(thread, kind, min(verdict.version, len(thread.events)), verdict.version)


def _troubles(thread: Thread, related: Related) -> list[Cause]:
    if not thread.events:
        return []
    return Origins(thread, related).all()


def _chain(thread: Thread, first: Cause | None, related: Related, end: int | None) -> list[Link]:
    """From the goal to where the first cause shows (without one, to the end); then on in the family, to it."""
    if not thread.events:
        return []
    last = len(thread.events)
    if first is None:
        return _links(thread, min(end or last, last))
    if first.workflow == thread.events[0].originator_id:
        return _links(thread, min(first.seen_at, last), min(first.version, last))
    events = related(first.workflow)
    return [*_links(thread, min(first.seen_at, last)), *(_links(Thread(events), first.version) if events else ())]


def _links(thread: Thread, *versions: int) -> list[Link]:
    """The events on the ways from the goal to these."""
    found = {one for version in versions for one in thread.back(version)}
    way = [thread.event(version) for version in sorted(found)]
    return [
        Link(one.originator_id, one.originator_version, one.name, one.timestamp, said(one, thread.counts).what)
        for one in way
    ]
