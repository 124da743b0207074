"""Every node is called again by a replay, and a change planted in any of them is told at the event that it decides.

Of each node and each kind of event that golden histories, and some by chance, have from it, the node's functions are
changed so that they decide this kind otherwise: the first event of the kind is where the replay must say that the two
part.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import wraps
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from domain import events as e
from domain import progress
from domain.lifecycle import TABLE
from domain.nodes import (
    approval_wait,
    compensator,
    executor,
    finalizer,
    intervention,
    judgement,
    observer,
    planner,
    policy_gate,
)
from domain.replay import decisions
from projections.replaying.nodes import nodes_of
from projections.replaying.verdict import Word, verdict_on
from tests.replay.files import FOLDER, read
from tests.replay.recipes import DEFINITIONS
from tests.unit.domain.scenario import Loaded
from tests.unit.projections.histories import FIXED, PLANNED, history

NODES: dict[str, ModuleType] = {
    "planner": planner,
    "policy_gate": policy_gate,
    "approval_wait": approval_wait,
    "executor": executor,
    "observer": observer,
    "judgement": judgement,
    "intervention": intervention,
    "compensator": compensator,
    "finalizer": finalizer,
    "progress": progress,
}
HISTORIES = {
    **{path.stem: read(path).events() for path in sorted(FOLDER.glob("*.jsonl"))},
    **{f"by chance {seed}": history(seed, 60, (FIXED, PLANNED)[seed % 2]) for seed in range(40)},
}
BY_CHANCE = Loaded({(one.name, one.version): one for one in (FIXED, PLANNED)})


class Place(NamedTuple):
    """A node, a kind of event that it decides, and the first event of this kind in a golden history."""

    node: str
    kind: type[e.Event]
    history: str
    version: int


def places() -> Iterator[Place]:
    seen: set[tuple[str, type[e.Event]]] = set()
    for name, events in HISTORIES.items():
        kinds: set[type[e.Event]] = set()
        for decision in decisions(events):
            for recorded, node in zip(decision, nodes_of(decision), strict=True):
                kind = type(recorded.event)
                if kind not in kinds and (node, kind) not in seen:
                    seen.add((node, kind))
                    yield Place(node, kind, name, recorded.originator_version)
                kinds.add(kind)


PLACES = list(places())


def changed(event: e.Event) -> e.Event:
    """The event, otherwise, but so that it can still be applied."""
    fields = type(event).model_fields
    words = "queue", "detail", "goal", "output", "worker", "key", "settled_by", "payload"
    name = next((name for name in words if name in fields), None)
    if name is not None:
        return event.model_copy(update={name: "planted"})
    if "reason" in fields and not isinstance(event, e.WaitTimedOut):
        return event.model_copy(update={"reason": "planted"})
    one: Any = event
    if "failure" in fields:
        return event.model_copy(update={"failure": one.failure.model_copy(update={"message": "planted"})})
    if "due_at" in fields:
        return event.model_copy(update={"due_at": one.due_at + timedelta(seconds=1)})
    if "pivots" in fields:
        return event.model_copy(update={"pivots": ("planted",)})
    number = "size" if "size" in fields else "round"
    return event.model_copy(update={number: getattr(one, number) + 1})


def planted(function: Callable[..., Any], kind: type[e.Event]) -> Callable[..., Any]:
    """The function with each event of a kind decided otherwise, whether it yields or returns them."""

    @wraps(function)
    def otherwise(*given: Any, **options: Any) -> Any:
        answer = function(*given, **options)
        if inspect.isgenerator(answer):
            return yielded(answer, kind)
        return changed(answer) if isinstance(answer, kind) else answer

    return otherwise


def yielded(answer: Iterator[Any], kind: type[e.Event]) -> Any:
    while True:
        try:
            event = next(answer)
        except StopIteration as over:
            return over.value
        yield changed(event) if isinstance(event, kind) else event


def plant(monkeypatch: pytest.MonkeyPatch, node: ModuleType, kind: type[e.Event]) -> None:
    """Change every function of a node, and what the lifecycle table holds of them."""
    for name, function in list(vars(node).items()):
        if inspect.isfunction(inspect.unwrap(function)) and function.__module__ == node.__name__:
            monkeypatch.setattr(node, name, planted(function, kind))
    for key, cell in list(TABLE.items()):
        if inspect.isfunction(cell) and cell.__module__ == node.__name__:
            monkeypatch.setitem(TABLE, key, planted(cell, kind))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.node}-{place.kind.stored_name}")
def test_a_change_in_a_node_is_told_at_the_event_that_it_decides(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    events = HISTORIES[place.history]
    known = BY_CHANCE if place.history.startswith("by chance") else DEFINITIONS
    assert verdict_on(events, known).word is Word.AGREES
    plant(monkeypatch, NODES[place.node], place.kind)
    verdict = verdict_on(events, known)
    assert (verdict.word, verdict.version, verdict.event) == (Word.DIFFERS, place.version, place.kind.stored_name)
    assert verdict.upto == place.version - 1


def test_every_node_and_every_kind_of_event_is_among_them() -> None:
    assert {place.node for place in PLACES} == set(NODES)
    assert {place.kind for place in PLACES} == set(e.STORED.values())
