"""Definitions that the runtime's tests run, with a ledger that stands for the world outside."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from domain.state import State
from handrail import (
    ApprovalPolicy,
    ChildSpec,
    CompensationInput,
    Context,
    Definition,
    NeedsApproval,
    NotApplied,
    ProbeInput,
    RetryPolicy,
    Runtime,
    SignalWait,
    Step,
    TimeWait,
    activity,
    ref,
)

QUICK = RetryPolicy(max_attempts=5, initial_delay=timedelta(milliseconds=1), maximum_delay=timedelta(milliseconds=5))


class Number(BaseModel):
    """An input that does not matter."""

    i: int = 0


class Result(BaseModel):
    """An output of some size."""

    i: int
    ok: bool = True
    note: str = "x" * 50


@dataclass
class World:
    """What happened outside: calls by idempotency key, effects by key, and gates that activities wait at."""

    calls: Counter[str] = field(default_factory=Counter)
    applied: dict[str, Any] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    here: asyncio.Event = field(default_factory=asyncio.Event)
    current: ClassVar[World]

    @classmethod
    def new(cls) -> World:
        """A world of its own for each test."""
        cls.current = cls()
        return cls.current

    async def at_gate(self, name: str) -> None:
        """Say that a gate was come to, and wait until it is opened."""
        self.here.set()
        await self.gates.setdefault(name, asyncio.Event()).wait()

    def open(self, name: str) -> None:
        """Open a gate."""
        self.gates.setdefault(name, asyncio.Event()).set()


def numbered(number: int) -> Any:
    """One of the chain's activities."""

    @activity(name=f"work{number}", effect="idempotent", pivot=True, retry=QUICK)
    async def work(given: Number, context: Context) -> Result:
        World.current.calls[context.idempotency_key] += 1
        World.current.applied[context.idempotency_key] = number
        return Result(i=number)

    return work


WORKS = [numbered(number) for number in range(5)]

CHAIN = Definition("chain", steps=[Step(f"s{number}", work) for number, work in enumerate(WORKS)])
"""Five idempotent steps, one after the other."""


@activity(effect="pure")
async def gated(given: Number, context: Context) -> str:
    """Waits at the gate of its workflow."""
    World.current.calls[context.idempotency_key] += 1
    await World.current.at_gate(context.workflow_id)
    return "through"


GATED = Definition("gated", steps=[Step("wait", gated), Step("then", WORKS[0])])
"""One step that is under way until the test lets it go on."""


@activity(effect="pure")
async def ask(given: Number) -> Result | NeedsApproval:
    """Asks a person."""
    return NeedsApproval("manual approval", {"points": 9}, output=Result(i=9))


ASKING = Definition(
    "asking", steps=[Step("ask", ask), Step("then", WORKS[0])], approvals=[ApprovalPolicy(deadline=timedelta(days=3))]
)
"""Blocks for a person."""


@activity(effect="idempotent", retry=QUICK)
async def undo_reserve(undone: CompensationInput) -> None:
    """Undoes a reservation."""
    World.current.undone.append(undone.idempotency_key)


@activity(effect="idempotent", compensation=undo_reserve, retry=QUICK)
async def reserve(given: Number, context: Context) -> Result:
    """Reserves something."""
    World.current.applied[context.idempotency_key] = "reserved"
    return Result(i=1)


@activity(effect="pure", retry=RetryPolicy(max_attempts=1))
async def refuse(given: Number) -> None:
    """Fails for good."""
    raise PermissionError("not allowed")


UNDOING = Definition("undoing", steps=[Step("reserve", reserve), Step("refuse", refuse)], activities=[undo_reserve])
"""Fails after an effect, and undoes it."""


@activity(effect="pure")
async def look_up(probe: ProbeInput) -> Result:
    """Says whether the payment was made."""
    if probe.idempotency_key not in World.current.applied:
        raise NotApplied("no such payment")
    return Result(i=7)


@activity(effect="once", pivot=True, reconcile=look_up, settle_after=timedelta(milliseconds=5))
async def pay(given: Number, context: Context) -> Result:
    """Pays, which must not happen twice; waits at a gate on either side."""
    World.current.calls[context.idempotency_key] += 1
    await World.current.at_gate("before paying")
    World.current.applied[context.idempotency_key] = "paid"
    await World.current.at_gate("after paying")
    return Result(i=7)


PAYING = Definition("paying", steps=[Step("pay", pay), Step("then", WORKS[0])], activities=[look_up])
"""A `once` step with a probe."""

CHILD = Definition("a child", steps=[Step("inner", WORKS[1])])
PARENT = Definition(
    "a parent",
    steps=[Step("before", WORKS[0]), Step("child", child=ChildSpec(definition="a child")), Step("after", WORKS[2])],
)
"""Awaits a child workflow."""

ASKING_PARENT = Definition("asks through a child", steps=[Step("child", child=ChildSpec(definition="asking"))])
NO_CHILD = Definition("lacks a child", steps=[Step("child", child=ChildSpec(definition="nobody has it"))])

WAITING = Definition(
    "waiting",
    steps=[
        Step(
            "signal",
            wait_signal=SignalWait(name="papers", correlation=ref("input.key")),
            timeout=timedelta(days=2),
        ),
        Step("nap", wait_time=TimeWait(duration=timedelta(milliseconds=20))),
        Step("then", WORKS[0]),
    ],
)
"""Waits for a signal, then for a time."""

ALL = [CHAIN, GATED, ASKING, UNDOING, PAYING, CHILD, PARENT, ASKING_PARENT, NO_CHILD, WAITING]


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition that nobody announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever the test waits for
            await asyncio.sleep(0)


async def run(runtime: Runtime, definition: Definition, **given: Any) -> State:
    """Start a workflow and wait until it rests."""
    workflow_id = await runtime.start(definition.name, definition, given or {"i": 1}, requested_by="alice")
    return await runtime.wait(workflow_id, timeout=20)
