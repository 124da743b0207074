"""What must come of each kind of workflow, whatever happens on the way, and how often it is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from domain.ids import child_workflow_id, idempotency_key


@dataclass(frozen=True)
class Expected:
    """How a workflow ends: its status, the steps whose effects were applied, and those undone, in their order.

    A child's steps have `child.` before their names. Of every hundred goals, `share` are for it.
    """

    status: str
    applied: tuple[str, ...]
    undone: tuple[str, ...] = ()
    share: int = 10


EXPECTED: Final[Mapping[str, Expected]] = {
    "chaos plain": Expected("completed", ("reserve", "notify", "book"), share=30),
    "chaos slow": Expected("completed", ("reserve", "book", "notify"), share=8),
    "chaos probed": Expected("completed", ("charge", "tip", "reserve")),
    "chaos lost": Expected("completed", ("charge", "reserve"), share=2),
    "chaos unprobed": Expected("completed", ("wire", "reserve"), share=8),
    "chaos retrying": Expected("completed", ("flaky", "book"), share=8),
    "chaos compensating": Expected("compensated", ("first", "second", "third"), ("doomed", "third", "second", "first")),
    "chaos approved": Expected("completed", ("reserve", "book"), share=8),
    "chaos rejected": Expected("compensated", ("reserve",), ("reserve",), share=4),
    "chaos signalled": Expected("completed", ("reserve", "book"), share=8),
    "chaos family": Expected(
        "compensated",
        ("child.reserve", "child.notify"),
        ("doomed", "child.notify", "child.reserve"),
        share=4,
    ),
}
CHILDREN: Final = {"chaos family": "child"}
"""The steps that are child workflows, which complete before their parent undoes them."""


def goals(count: int, chance: random.Random) -> list[str]:
    """The definitions of so many goals, each kind at least once where there are enough."""
    shares = [expected.share for expected in EXPECTED.values()]
    drawn = [*EXPECTED, *chance.choices(list(EXPECTED), shares, k=count)][:count]
    chance.shuffle(drawn)
    return drawn


def keys(workflow_id: str, steps: Iterable[str]) -> list[str]:
    """The idempotency keys under which the outside knows these effects."""
    return [_key(workflow_id, step) for step in steps]


def _key(workflow_id: str, step: str) -> str:
    parent, dot, own = step.rpartition(".")
    return idempotency_key(child_workflow_id(workflow_id, parent, 1) if dot else workflow_id, own, "run", 1)


def child_of(workflow_id: str, definition: str) -> str | None:
    """The id of a workflow's child, where its definition has one."""
    step = CHILDREN.get(definition)
    return child_workflow_id(workflow_id, step, 1) if step else None


def world_of(workflow_id: str) -> str:
    """The world in the outside's ledger: a child shares its parent's, who undoes its effects."""
    return workflow_id.partition(".")[0]
