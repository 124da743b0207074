"""What the relay holds back and what timers are set to, for whoever asks why a workflow does not go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.events import STORED, Event, StepScheduled
from domain.ports import Queries
from domain.recorded import stored_topic
from producers.kinship import KIN_EVENTS

_KEYS_PER_QUERY: Final = 200


def _topics(kind: type[Event]) -> frozenset[str]:
    """How events of a kind stand in the log, in any of their shapes."""
    return frozenset(stored_topic(kind.stored_name, version) for version in range(1, kind.stored_version + 1))


_COMMANDS: Final = _topics(StepScheduled)
_ASKED: Final = frozenset[str]().union(*(_topics(kind) for kind in STORED.values() if kind in KIN_EVENTS))
"""What asks something of another workflow. Whatever else is parked is an announcement: nothing of ours waits for it."""


@dataclass(frozen=True, slots=True)
class ParkedStanding:
    """Something of a workflow that the relay could not carry on: its event's version, since when in seconds since 1970.

    `command` says that it is a step command, and not a question to another workflow.
    """

    workflow_id: str
    version: int
    since: float
    command: bool


def parked_standing(queries: Queries, workflow_ids: Sequence[str]) -> list[ParkedStanding]:
    """What the relay could not carry on of these workflows, without announcements."""
    rows = _of_workflows(
        queries,
        "SELECT workflow_id, version, since, topic FROM relay_parked JOIN stored_events "
        "ON originator_id = workflow_id AND originator_version = version WHERE workflow_id IN ({})",
        workflow_ids,
    )
    return [
        ParkedStanding(name, version, float(since), topic in _COMMANDS)
        for name, version, since, topic in rows
        if topic in _COMMANDS or topic in _ASKED
    ]


def timers_due(queries: Queries, workflow_ids: Sequence[str]) -> dict[str, float]:
    """What the timers of these workflows are set to, in seconds since 1970."""
    rows = _of_workflows(
        queries,
        "SELECT workflow_id, due_at FROM timers WHERE workflow_id IN ({}) AND due_at IS NOT NULL",
        workflow_ids,
    )
    return {name: float(due) for name, due in rows}


def _of_workflows(queries: Queries, statement: str, workflow_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for ids in _chunks(workflow_ids):
        # Filled up, so that few different statements are prepared.
        filled = [*ids, *[ids[-1]] * (_KEYS_PER_QUERY - len(ids))]
        yield from queries.query(statement.format(", ".join("?" * len(filled))), filled)


def _chunks(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        yield keys[start : start + _KEYS_PER_QUERY]
