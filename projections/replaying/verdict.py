"""Whether a history is what the code at hand decides: every trigger decided again, from the record alone.

Six answers are told apart: it agrees; it differs, at this event; another version of the engine decided it; the
definition is not loaded here; what it was decided on is withheld; it cannot be decided at all. The last four are no
fault of the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from domain import events as e
from domain.errors import HandrailError
from domain.ports import Definitions
from domain.recorded import ENGINE, RecordedEvent
from domain.replay import DecidingAgain, Divergence, decisions
from projections.replaying.reading import History
from projections.replaying.words import plain

MOST_DIFFERENCES: Final = 20
"""How many parts of an event are shown that differ."""

UNDECIDABLE: Final = (HandrailError, ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What deciding again may end in where a record does not hang together."""


class Word(StrEnum):
    """How a history compares with what the code at hand decides."""

    AGREES = "agrees"
    DIFFERS = "differs"
    OTHER_ENGINE = "other_engine"
    DEFINITION_MISSING = "definition_missing"
    WITHHELD = "withheld"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of an event that comes out otherwise, by its JSON pointer; None where there is nothing."""

    path: str
    recorded: Any
    decided: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. `upto` is the last event that came out as recorded, `version` the first that did not.

    `suspect` is where to look: `definition`, where what differs is said by the definition, or `engine`, a node.
    """

    word: Word
    upto: int
    version: int | None = None
    event: str = ""
    expected: str = ""
    found: str = ""
    engine: str = ENGINE
    suspect: str = ""
    differences: tuple[Difference, ...] = ()
    words: str = ""


def verdict_on(events: Sequence[RecordedEvent], definitions: Definitions, *, whole: bool = True) -> Verdict:
    """Decide a history again. Where it is not `whole`, its last decision may lack events and is left out."""
    if not events:
        return Verdict(Word.UNDECIDABLE, 0, words="no event of it can be read")
    name, version = definition_of(events[0].event)
    if definitions.find(name, version) is None:
        return Verdict(Word.DEFINITION_MISSING, 0, words=f"definition {name!r} version {version!r} is not loaded here")
    cut = list(decisions(events))
    again = DecidingAgain(events[0].originator_id, definitions)
    upto = 0
    for decision in cut if whole else cut[:-1]:
        try:
            divergence = again.decide(decision)
        except UNDECIDABLE as error:
            first = decision[0]
            words = plain(f"it cannot be decided again: {type(error).__name__}: {error}")
            return Verdict(Word.UNDECIDABLE, upto, first.originator_version, first.name, words=words)
        if divergence is not None:
            return _differs(divergence)
        upto = decision[-1].originator_version
    return Verdict(Word.AGREES, upto)


def verdict_of(history: History, sound: Sequence[RecordedEvent], definitions: Definitions) -> Verdict:
    """The verdict on a history, of which the events `sound` can be folded.

    What is not known is no difference: neither from an event on whose payload is withheld, nor where a decision comes
    out otherwise and values had been cut out of what it was made on.
    """
    verdict = verdict_on(sound, definitions, whole=len(sound) == len(history.entries))
    cut, gap = history.cut, next(iter(history.withheld), None)
    if verdict.word in {Word.DIFFERS, Word.UNDECIDABLE} and verdict.version is not None:
        if cut and cut[0] <= verdict.version:
            words = f"it comes out otherwise, and values are cut out of event {cut[0]}: whether it differs is not known"
            return replace(verdict, word=Word.WITHHELD, suspect="", words=words)
    elif gap is not None and len(sound) == gap.version - 1 and verdict.word in {Word.AGREES, Word.UNDECIDABLE}:
        words = "its payload is withheld: what was decided from there on is not known"
        return Verdict(Word.WITHHELD, verdict.upto, gap.version, gap.name, words=words)
    return verdict


def definition_of(event: e.Event) -> tuple[str, str]:
    """Name and version of the definition that a history begins under; empty where its first event is another one."""
    if isinstance(event, e.WorkflowStarted):
        return event.definition, event.definition_version
    if isinstance(event, e.WorkflowForked):
        return str(event.state.get("definition", "")), str(event.state.get("definition_version", ""))
    return "", ""


def _differs(divergence: Divergence) -> Verdict:
    recorded, decided = divergence.recorded, divergence.decided
    differences = tuple(islice(_differences(recorded, decided), MOST_DIFFERENCES))
    return Verdict(
        Word.OTHER_ENGINE if divergence.other_engine else Word.DIFFERS,
        divergence.version - 1,
        divergence.version,
        (recorded or decided or e.Event()).stored_name,
        divergence.expected,
        divergence.found,
        divergence.engine,
        suspect_of(recorded, decided, differences),
        differences,
    )


def _differences(recorded: e.Event | None, decided: e.Event | None) -> Iterator[Difference]:
    if recorded is None or decided is None or type(recorded) is not type(decided):
        return
    yield from json_differences(recorded.model_dump(mode="json"), decided.model_dump(mode="json"))


def json_differences(one: Any, other: Any, path: str = "") -> Iterator[Difference]:
    """Where two JSON values differ, by JSON pointers; of lists of other lengths the first element that differs."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys([*one, *other]):
            if one.get(name) != other.get(name):
                yield from json_differences(one.get(name), other.get(name), f"{path}/{_escaped(name)}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                yield from json_differences(left, right, f"{path}/{number}")
    elif one != other or type(one) is not type(other):
        yield Difference(path, one, other)


def _escaped(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def suspect_of(recorded: e.Event | None, decided: e.Event | None, differences: Sequence[Difference]) -> str:
    """Where to look for what decides otherwise: at the definition, or at a node of the engine."""
    if isinstance(recorded, _GATES) is not isinstance(decided, _GATES):
        return "definition"
    if recorded is None or decided is None or type(recorded) is not type(decided):
        return "engine"
    if isinstance(recorded, e.PlanProposed) and recorded.source == "planner":
        return "engine"
    said_by_definition = _SAID_BY_DEFINITION.get(type(recorded), frozenset())
    parts = {difference.path.split("/", 2)[1] for difference in differences if difference.path}
    return "definition" if parts and parts <= said_by_definition else "engine"


_GATES: Final = (e.PolicyEvaluated, e.ApprovalRequested)
"""Whether there is a gate at all is said by the definition."""

_SAID_BY_DEFINITION: Final[dict[type[e.Event], frozenset[str]]] = {
    e.WorkflowStarted: frozenset({"deadline_at"}),
    e.PlanProposed: frozenset({"steps", "reason", "source"}),
    e.PolicyEvaluated: frozenset({"policy", "policy_version", "verdict", "reason", "approval"}),
    e.ApprovalRequested: frozenset(
        {"policy", "policy_version", "required", "rejections", "approvers", "four_eyes", "proposed_controls", "digest",
         "deadline_at", "escalate_at", "escalate_to", "on_expiry", "reason", "barred"}
    ),
    e.StepScheduled: frozenset(
        {"activity", "queue", "input", "expires_at", "effect", "compensation", "pivot", "redactable", "action_digest"}
    ),
    e.RetryScheduled: frozenset({"due_at", "delay_seconds"}),
    e.StepSucceeded: frozenset({"redactable"}),
}  # fmt: skip
"""The parts of each event that the definition says, and no node."""
