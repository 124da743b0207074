"""Healthy work: steps that succeed, some at the second try, some that take long, people who decide, and short rests."""

import asyncio
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from handrail import (
    ApprovalPolicy,
    CompensationInput,
    Condition,
    Context,
    Definition,
    GatePolicy,
    RetryPolicy,
    Step,
    TimeWait,
    Transient,
    activity,
)
from tests.chaos.moments import called_within

APPROVER = "ann"
HELD = Path("what takes long is not done")
"""A file in the folder that all processes run in: what takes long lasts for as long as it is there."""
GLANCE_SECONDS = 0.25
LARGE = 66
"""From this amount on a person is asked; amounts are from 0 to 99."""
QUICK = RetryPolicy(max_attempts=20, initial_delay=timedelta(milliseconds=50), maximum_delay=timedelta(seconds=1))


class Order(BaseModel):
    amount: int = 0
    takes_long: bool = False


@activity(effect="pure", queue="orders", retry=QUICK)
async def take(order: Order) -> Order:
    never = asyncio.Event()
    while order.takes_long and HELD.exists():  # noqa: ASYNC240 - a look at a local folder
        await called_within(never, GLANCE_SECONDS)
    return order


@activity(effect="pure", queue="orders", retry=QUICK)
async def look_up(order: Order, context: Context) -> Order:
    """One in ten fails at first."""
    if context.attempt == 1 and order.amount % 10 == 0:
        raise Transient("the register is busy")
    return order


@activity(queue="orders", retry=QUICK)
async def give_back(_: CompensationInput) -> None:
    return None


@activity(compensation=give_back, queue="orders", retry=QUICK)
async def reserve(order: Order) -> Order:
    return order


DEFINITIONS = [
    Definition(
        "order",
        input_model=Order,
        steps=[
            Step("take", take),
            Step("look_up", look_up),
            Step("reserve", reserve),
            Step("rest", wait_time=TimeWait(duration=timedelta(seconds=1))),
            Step("close", take),
        ],
        activities=[give_back],
        gates=[
            GatePolicy(
                name="large",
                steps=("reserve",),
                when=(Condition(path="amount", op=">=", value=LARGE),),
                verdict="require_approval",
                approval="boss",
            )
        ],
        approvals=[ApprovalPolicy(name="boss", approvers=(APPROVER,), deadline=timedelta(hours=1))],
    )
]
