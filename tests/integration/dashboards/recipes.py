"""Workflows that end in every way there is, and some that do not end: what dashboards are to show."""

from datetime import timedelta

from pydantic import BaseModel

from handrail import (
    ApprovalPolicy,
    CompensationInput,
    Context,
    Definition,
    NeedsApproval,
    Permanent,
    RetryPolicy,
    Step,
    TimeWait,
    Transient,
    activity,
)

QUICK = RetryPolicy(max_attempts=3, initial_delay=timedelta(milliseconds=20))
ONCE = RetryPolicy(max_attempts=1)
PRINTER, FAX = "printer", "fax"
NO_SUCH_VENDOR = "no such vendor"


class Case(BaseModel):
    name: str = "a case"


@activity(effect="pure")
async def look_up(case: Case) -> Case:
    if case.name == NO_SUCH_VENDOR:
        raise Permanent("there is no such vendor")
    return case


@activity(effect="idempotent", pivot=True)
async def pay(case: Case) -> Case:
    return case


@activity(effect="once", pivot=True)
async def transfer(_: Case) -> Case:
    raise RuntimeError("the line went dead")


@activity(effect="pure", retry=QUICK)
async def call_carrier(case: Case, context: Context) -> Case:
    if context.attempt < 3:
        raise Transient("the carrier does not answer")
    return case


@activity
async def release(_: CompensationInput) -> None:
    return None


@activity(compensation=release)
async def reserve(case: Case) -> Case:
    return case


@activity(retry=ONCE)
async def reopen(_: CompensationInput) -> None:
    raise Permanent("what is closed stays closed")


@activity(compensation=reopen)
async def close(case: Case) -> Case:
    return case


@activity(effect="pure")
async def check_stock(_: Case) -> Case:
    raise Permanent("sold out")


@activity(effect="pure")
async def assess(case: Case) -> Case | NeedsApproval:
    return NeedsApproval("a new vendor", {"name": case.name}, output=case)


@activity(effect="pure", retry=QUICK, queue=PRINTER)
async def print_out(case: Case) -> Case:
    return case


@activity(effect="pure", queue=FAX)
async def fax(case: Case) -> Case:
    return case


BOARD = ApprovalPolicy(name="board", approvers=("ann", "bob"))
AT_ONCE = ApprovalPolicy(name="at once", deadline=timedelta(seconds=1))
OR_ASK = ApprovalPolicy(name="or ask", deadline=timedelta(seconds=1), on_expiry="intervene")

DEFINITIONS = [
    Definition("pay an invoice", steps=[Step("look_up", look_up), Step("pay", pay)]),
    Definition("ship an order", steps=[Step("call", call_carrier)]),
    Definition("refund an order", steps=[Step("reserve", reserve), Step("check", check_stock)], activities=[release]),
    Definition("close an account", steps=[Step("close", close), Step("check", check_stock)], activities=[reopen]),
    Definition("onboard a vendor", steps=[Step("look_up", look_up), Step("assess", assess)], on_failure="intervene"),
    Definition("sign a contract", steps=[Step("look_up", look_up, approval="board")], approvals=[BOARD]),
    Definition("grant a discount", steps=[Step("look_up", look_up, approval="at once")], approvals=[AT_ONCE]),
    Definition("raise a limit", steps=[Step("look_up", look_up, approval="or ask")], approvals=[OR_ASK]),
    Definition("transfer money", steps=[Step("transfer", transfer)]),
    Definition("print a letter", steps=[Step("print", print_out)]),
    Definition("fax a letter", steps=[Step("fax", fax)]),
    Definition(
        "remind a customer",
        steps=[Step("nap", wait_time=TimeWait(duration=timedelta(hours=1))), Step("look_up", look_up)],
    ),
]
