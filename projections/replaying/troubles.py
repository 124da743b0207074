"""Where a workflow's trouble shows: the events that say why it ended as it did, or why it does not go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from domain import events as e
from domain.ids import parse_message_id
from domain.recorded import RecordedEvent
from domain.state import UNDO, State, Wait

MOST_TROUBLES: Final = 50
"""How many of a workflow's troubles are followed to their causes."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An event where trouble shows; `fault` is false where nothing is wrong and something is only waited for.

    Of several, what has the lowest `rank` is what to look at first: what holds the workflow now, before what began it.
    """

    version: int
    fault: bool = True
    rank: int = 0


def troubles_of(state: State, events: Sequence[RecordedEvent]) -> list[Trouble]:
    """What keeps a workflow in this state from its goal, or kept it; `events` are those folded into the state."""
    if state.ended == "completed":
        return list(islice(_open_waits(state, events), MOST_TROUBLES))
    if state.ended is not None:
        return _distinct(_stopping(events), (replace(one, rank=1) for one in _open_waits(state, events)))
    waits = list(islice(_open_waits(state, events), MOST_TROUBLES))
    stopping = _stopping(events) if state.stopping is not None else iter(())
    began = (replace(one, rank=1) for one in stopping)
    return _distinct(waits, _in_backoff(state, events), _tried_again(state, events), began, _pause(state, events))


def _distinct(*found: Any) -> list[Trouble]:
    each = (trouble for some in found for trouble in some)
    return list(islice(dict.fromkeys(each), MOST_TROUBLES))


def _stopping(events: Sequence[RecordedEvent]) -> Iterator[Trouble]:
    yield from _last(events, lambda one: isinstance(one, e.StoppingBegan))


def _pause(state: State, events: Sequence[RecordedEvent]) -> Iterator[Trouble]:
    if state.paused:
        yield from _last(events, lambda one: isinstance(one, e.WorkflowPaused), fault=False)


def _open_waits(state: State, events: Sequence[RecordedEvent]) -> Iterator[Trouble]:
    for wait in state.waits.values():
        yield from _of_wait(wait, events)


def _of_wait(wait: Wait, events: Sequence[RecordedEvent]) -> Iterator[Trouble]:
    shown_by = _SHOWN_BY.get(wait.reason)
    if shown_by is not None:
        fault = wait.reason in {"intervention", "outcome_unknown"}
        yield from _last(events, _of_step(wait.step, shown_by), fault=fault)
        return
    yield from _last(
        events,
        lambda one: isinstance(one, e.WaitStarted) and (one.step, one.reason) == (wait.step, wait.reason),
        fault=wait.reason in {"budget", "definition"},
    )


_SHOWN_BY: Final[dict[str, type[e.Event]]] = {
    "intervention": e.InterventionRequested,
    "outcome_unknown": e.OutcomeUnknown,
    "approval": e.ApprovalRequested,
    "child": e.ChildStarted,
}


def _in_backoff(state: State, events: Sequence[RecordedEvent]) -> Iterator[Trouble]:
    """Steps that are tried again, asked about, or whose end has not been judged yet."""
    undone = state.undoing.step if state.undoing is not None else ""
    keys = [(kind, step) for kind, _, step in (key.partition(":") for key in state.dues)]
    for kind, step in [*keys, *(("undecided", step) for step in state.undecided)]:
        shown_by = _BACKOFF.get(kind)
        if shown_by is None:
            continue
        name = undone if step == UNDO else step
        yield from _last(events, _of_step(name, *shown_by))


def _tried_again(state: State, events: Sequence[RecordedEvent]) -> Iterator[Trouble]:
    """Attempts under way that are retries: what they are tried again for is not overcome yet."""
    live = {parse_message_id(message_id)[1:] for message_id in state.live}
    for recorded in reversed(events) if live else ():
        event = recorded.event
        if isinstance(event, e.RetryScheduled) and (event.step, event.kind, event.attempt) in live:
            yield Trouble(recorded.originator_version)


def _of_step(step: str, *kinds: type[e.Event]) -> Callable[[e.Event], bool]:
    return lambda event: isinstance(event, kinds) and getattr(event, "step", None) == step


_BACKOFF: Final[dict[str, tuple[type[e.Event], ...]]] = {
    "retry": (e.RetryScheduled,),
    "probe": (e.OutcomeUnknown, e.RetryScheduled),
    "undecided": (e.AttemptFailed, e.AttemptLapsed, e.CommandDeadLettered, e.ApprovalRejected, e.ChildEnded),
}


def _last(events: Sequence[RecordedEvent], fits: Callable[[e.Event], bool], *, fault: bool = True) -> Iterator[Trouble]:
    for recorded in reversed(events):
        if fits(recorded.event):
            yield Trouble(recorded.originator_version, fault)
            return
