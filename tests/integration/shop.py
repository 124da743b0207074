"""Workflows that pay: every effect is a line in a ledger outside, which no backup puts back."""

import os
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from handrail import ApprovalPolicy, ChildSpec, Context, Definition, NotApplied, Step, activity

LEDGER = "SHOP_LEDGER"


class Order(BaseModel):
    what: str = "tea"


class Probe(BaseModel):
    input: Order
    idempotency_key: str


def ledger() -> list[str]:
    """Every effect there has been: what, and under which key."""
    path = Path(os.environ[LEDGER])
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def enter(what: str, context: Context) -> None:
    with Path(os.environ[LEDGER]).open("a", encoding="utf-8") as file:
        file.write(f"{what} {context.idempotency_key}\n")


@activity(effect="idempotent", pivot=True)
async def reserve(order: Order, context: Context) -> Order:
    enter("reserve", context)
    return order


@activity(effect="pure")
async def look(probe: Probe) -> Order:
    if f"pay {probe.idempotency_key}" not in ledger():
        raise NotApplied("there is no such payment")
    return probe.input


@activity(effect="once", pivot=True, queue="money", reconcile=look, settle_after=timedelta(milliseconds=50))
async def pay(order: Order, context: Context) -> Order:
    enter("pay", context)
    return order


@activity(effect="once", pivot=True, queue="money")
async def pay_blindly(order: Order, context: Context) -> Order:
    enter("pay", context)
    return order


BOSS = ApprovalPolicy(name="boss", approvers=("ann",))

DEFINITIONS = [
    Definition("shop", steps=[Step("reserve", reserve), Step("pay", pay), Step("tell", reserve)], activities=[look]),
    Definition("blind shop", steps=[Step("reserve", reserve), Step("pay", pay_blindly), Step("tell", reserve)]),
    Definition(
        "patient shop",
        steps=[Step("reserve", reserve, approval="boss"), Step("pay", pay_blindly), Step("tell", reserve)],
        approvals=[BOSS],
    ),
    Definition(
        "family",
        steps=[Step("reserve", reserve, approval="boss"), Step("child", child=ChildSpec(definition="just pay"))],
        approvals=[BOSS],
    ),
    Definition("just pay", steps=[Step("pay", pay_blindly)]),
    Definition(
        "paid first", steps=[Step("pay", pay_blindly), Step("tell", reserve, approval="boss")], approvals=[BOSS]
    ),
]
