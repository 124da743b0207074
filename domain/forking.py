"""Where a workflow may be forked, and what a fork begins with. Pure: of the source's events, or of its folded state.

A fork begins with the source's state as it was at the end of a decision. In the middle of one the state has facts whose
consequences are still to be recorded: whoever began there would decide them anew, from a state that nobody ever saw.
Nor does one begin where an effect that the state counts on has been undone: it would go on from what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain import events as e
from domain.chain import digest_of
from domain.errors import InputInvalid
from domain.ids import fork_workflow_id
from domain.recorded import RecordedEvent
from domain.replay import fold
from domain.state import STATE, State, StepStatus
from domain.triggers import ForkWorkflow

_THE_SOURCE_S: Final = ("live", "waits", "ballots", "undecided", "dues", "effects", "lapsed", "artifacts", "forks")
"""What of a state is no fork's: not even to be copied."""
MOST_STATE_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of a folded state that a fork begins with, as JSON: it is one event."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of a decision: the version and digest of its last event, and the state after it."""

    version: int
    digest: str
    state: State


def cut_at(events: Sequence[RecordedEvent], version: int) -> Cut:
    """The cut after the event of this version of a whole history.

    Raises InputInvalid where there is none, naming the nearest.
    """
    name = events[0].originator_id
    if not 1 <= version <= len(events):
        raise InputInvalid(f"workflow {name} has no event {version}: its events are 1 to {len(events)}")
    last = events[version - 1]
    if not is_end(events, version):
        before, after = nearest(events, version)
        first = f"{before} or " if before else ""
        raise InputInvalid(
            f"event {version} of workflow {name} lies in the middle of a decision, and a fork begins at the end of "
            f"one: give {first}{after}"
        )
    state = fold(events, upto=version)
    undone = sorted(step for step, settled in state.settled.items() if settled.status is StepStatus.COMPENSATED)
    if undone or state.undoing is not None:
        began = next(one for one in events if isinstance(one.event, e.CompensationStarted)).originator_version
        before, _ = nearest(events, began)
        raise InputInvalid(
            f"by event {version} workflow {name} has begun to undo what it did"
            + (f" ({', '.join(undone[:5])})" if undone else "")
            + f", so that nothing can go on from there: give {before}, from before the undoing, or an earlier one"
        )
    return Cut(version, last.digest, state)


def is_end(events: Sequence[RecordedEvent], version: int) -> bool:
    """Whether the event of this version is the last of its decision."""
    return version == len(events) or events[version].decision != events[version - 1].decision


def nearest(events: Sequence[RecordedEvent], version: int) -> tuple[int, int]:
    """The last end of a decision before the event of this version (0: there is none), and the first at or behind it."""
    before = next((one for one in range(version - 1, 0, -1) if is_end(events, one)), 0)
    after = next(one for one in range(version, len(events) + 1) if is_end(events, one))
    return before, after


def fork_id(source: str, version: int, given: object, salt: str) -> str:
    """The id of a fork: the same for the same cut with the same input; `salt` tells apart what is meant to be two."""
    return fork_workflow_id(source, version, digest_of({"input": given, "salt": salt}))


def fork_of(state: State, event: e.ForkTaken) -> ForkWorkflow:
    """The trigger that begins a fork, from the source's state at the cut; raises InputInvalid where it cannot."""
    if (state.version, state.head) != (event.version, event.digest):
        raise InputInvalid(
            f"fork {event.fork} cannot begin: event {event.version} of workflow {state.workflow_id} is not the one "
            "that it was taken from"
        )
    size = len(STATE.dump_json(state))
    if size > MOST_STATE_BYTES:
        raise InputInvalid(
            f"the state of workflow {state.workflow_id} at event {event.version} has {size:,} bytes, and a fork begins "
            f"with at most {MOST_STATE_BYTES:,}: fork it earlier"
        )
    folded = STATE.dump_python(state, mode="json")
    for name in _THE_SOURCE_S:
        folded[name] = {}
    return ForkWorkflow(
        source=state.workflow_id,
        source_version=event.version,
        source_digest=event.digest,
        state=folded,
        requested_by=event.by,
        reason=event.reason,
        input=event.input,
    )
