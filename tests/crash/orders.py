"""How an activity speaks with the outside: what a step orders, the calls that come of it, and what an answer means."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from domain.definitions import CompensationInput, ProbeInput
from handrail import Context, NotApplied, Permanent, Transient
from tests.crash.books import Act, Call


class Order(BaseModel):
    """What a step asks of the outside; see `Call` for how the outside is told to behave."""

    busy: int = 0
    never: bool = False
    refuse: int = 0
    lose: int = 0
    undo_busy: int = 0
    takes_seconds: float = 0.0


class Receipt(BaseModel):
    """What the outside answered."""

    receipt: str


def applying(act: Act, order: Order, context: Context) -> Call:
    """The call that has the effect."""
    return Call(
        act=act,
        workflow=context.workflow_id,
        name=context.step,
        key=context.idempotency_key,
        attempt=context.attempt,
        **order.model_dump(exclude={"undo_busy"}),
    )


def undoing(given: CompensationInput, context: Context, takes_seconds: float = 0.0) -> Call:
    """The call that undoes the effect."""
    return Call(
        act="undo",
        workflow=context.workflow_id,
        name=context.step,
        key=context.idempotency_key,
        of=given.idempotency_key,
        attempt=context.attempt,
        busy=Order(**given.input).undo_busy,
        takes_seconds=takes_seconds,
    )


def asking(given: ProbeInput, context: Context) -> Call:
    """The call that asks whether the effect was applied."""
    return Call(
        act="ask",
        workflow=context.workflow_id,
        name=context.step,
        key=context.idempotency_key,
        of=given.idempotency_key,
        attempt=context.attempt,
    )


def understood(answer: dict[str, Any]) -> Receipt:
    """The receipt of an effect that stands; raises what the engine is to make of any other answer."""
    if answer["word"] == "busy":
        raise Transient("the outside is busy")
    if answer["word"] == "lost":
        raise Transient("the outside did not answer")
    if answer["word"] == "never":
        raise Permanent("the outside will never do that")
    if answer["word"] == "absent":
        raise NotApplied("the outside did nothing")
    return Receipt(receipt=answer["receipt"])
