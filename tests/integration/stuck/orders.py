"""Healthy work: steps that succeed, some at the second try, people who decide, and short rests."""

from datetime import timedelta

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

APPROVER = "ann"
LARGE = 66
"""From this amount on a person is asked; amounts are from 0 to 99."""
QUICK = RetryPolicy(max_attempts=20, initial_delay=timedelta(milliseconds=50), maximum_delay=timedelta(seconds=1))


class Order(BaseModel):
    amount: int = 0


@activity(effect="pure", queue="orders", retry=QUICK)
async def take(order: Order) -> Order:
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
