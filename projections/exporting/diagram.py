"""One workflow as a Mermaid sequence diagram: who asked for what, what was run, how it ended, who decided.

A picture for documents and pull requests, not a record: of a long history it shows the beginning and the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from domain import events as e
from domain.recorded import RecordedEvent
from projections.replaying.counting import counts_of
from projections.replaying.words import Said, instant, plain, said

MOST_EVENTS: Final = 300
"""So many events are drawn: what shows Mermaid refuses larger texts by default."""
CHARACTERS: Final = 100

_ENGINE: Final = "handrail"
_PERSON: Final = "people"

_SENT: Final = frozenset({e.StepScheduled, e.CompensationScheduled})
_CAME_BACK: Final = frozenset(
    {
        e.StepSucceeded,
        e.AttemptFailed,
        e.AttemptLapsed,
        e.StepTimedOut,
        e.OutcomeReconciled,
        e.LateOutcomeRecorded,
        e.StepCompensated,
        e.CompensationFailed,
    }
)
_ASKED: Final = frozenset({e.ApprovalRequested, e.ApprovalEscalated, e.InterventionRequested})
_BY_PEOPLE: Final = frozenset(
    {
        e.WorkflowStarted,
        e.WorkflowForked,
        e.ApprovalRecorded,
        e.DecisionRefused,
        e.InterventionApplied,
        e.WorkflowPaused,
        e.WorkflowResumed,
        e.ForkTaken,
    }
)


def diagram_lines(
    events: Sequence[RecordedEvent], tell: Callable[[RecordedEvent], Said] | None = None
) -> Iterator[str]:
    """The diagram's lines; `tell` says what an event says."""
    shown = list(events)
    tell = tell or partial(said, counts=counts_of(shown))
    left_out = max(0, len(shown) - MOST_EVENTS)
    begin, end = shown[: MOST_EVENTS // 2] if left_out else shown, shown[-(MOST_EVENTS // 2) :] if left_out else []
    participants = _participants([*begin, *end])
    yield "sequenceDiagram"
    yield f"    participant {_PERSON} as people"
    yield f"    participant {_ENGINE} as {escaped(shown[0].originator_id)}"
    for step, name in participants.items():
        yield f"    participant {name} as {escaped(step)}"
    for recorded in begin:
        yield _line(recorded, participants, tell)
    if left_out:
        yield f"    Note over {_ENGINE}: {left_out} events are left out here"
    for recorded in end:
        yield _line(recorded, participants, tell)


def escaped(text: str) -> str:
    """A text that Mermaid shows as it is: what it would act on becomes a code of its own."""
    coded = re.sub(r"[^\w .,:()/'…-]", lambda found: f"#{ord(found[0])};", plain(text, CHARACTERS))
    # Mermaid takes this word for the end of a block, wherever it stands.
    return re.sub(r"\b([eE])(?=[nN][dD]\b)", lambda found: f"#{ord(found[0])};", coded)


def _participants(events: Sequence[RecordedEvent]) -> dict[str, str]:
    """The steps that something is drawn to, each with a name that means nothing to Mermaid."""
    steps = [_step(one.event) for one in events if type(one.event) in _SENT | _CAME_BACK]
    return {step: f"s{number}" for number, step in enumerate(dict.fromkeys(filter(None, steps)), start=1)}


def _step(event: Any) -> str:
    return str(getattr(event, "step", "") or "")


def _line(recorded: RecordedEvent, participants: dict[str, str], tell: Callable[[RecordedEvent], Said]) -> str:
    kind = type(recorded.event)
    what = escaped(f"{recorded.originator_version} {instant(recorded.timestamp)[11:]} {tell(recorded).what}")
    step = participants.get(_step(recorded.event))
    if kind in _SENT and step is not None:
        return f"    {_ENGINE}->>{step}: {what}"
    if kind in _CAME_BACK and step is not None:
        return f"    {step}-->>{_ENGINE}: {what}"
    if kind in _ASKED:
        return f"    {_ENGINE}->>{_PERSON}: {what}"
    if kind in _BY_PEOPLE:
        return f"    {_PERSON}->>{_ENGINE}: {what}"
    return f"    Note over {_ENGINE}: {what}"
