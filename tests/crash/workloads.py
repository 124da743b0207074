"""The workflows that are killed: small ones, whose every effect is a call to the outside ledger.

Loaded by the real command line as a user's module. Retries and probes come quickly, so that a run takes as long as its
process takes to start.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.definitions import CompensationInput, Finalization, ProbeInput
from domain.plan import ChildSpec, SignalWait, TimeWait, ref
from handrail import ApprovalPolicy, Context, Definition, NeedsApproval, RetryPolicy, Step, activity
from tests.crash.orders import Order, Receipt, applying, asking, understood, undoing
from tests.crash.outside import call, call_blocking

SOON = timedelta(milliseconds=20)
QUICK = RetryPolicy(max_attempts=4, initial_delay=SOON, maximum_delay=SOON)


@activity(retry=QUICK)
async def release(given: CompensationInput, context: Context) -> Receipt:
    """Undo what `reserve`, `notify` or `charge` did."""
    return understood(await call(undoing(given, context)))


@activity(retry=QUICK, compensation=release)
async def reserve(order: Order, context: Context) -> Receipt:
    """Have an effect, under a key that the outside honours."""
    return understood(await call(applying("apply", order, context)))


@activity(retry=QUICK, compensation=release)
def notify(order: Order, context: Context) -> Receipt:
    """The same from a plain function, which runs in a thread."""
    return understood(call_blocking(applying("apply", order, context)))


@activity(effect="pure")
async def score(given: dict[str, Any]) -> dict[str, Any]:
    """Touch nothing: say what came in."""
    return {"seen": given}


@activity(effect="pure")
async def screen(_order: Order) -> Receipt | NeedsApproval:
    """Leave it to a person."""
    return NeedsApproval("manual approval", {"risk": "unclear"}, controls=("look again in a year",))


@activity(effect="pure", retry=QUICK)
async def charged(given: ProbeInput, context: Context) -> Receipt:
    """Ask the outside whether the charge was applied."""
    return understood(await call(asking(given, context)))


@activity(effect="once", retry=QUICK, reconcile=charged, compensation=release, settle_after=SOON)
async def charge(order: Order, context: Context) -> Receipt:
    """Have an effect that must not be repeated, of an outside that can be asked."""
    return understood(await call(applying("apply_once", order, context)))


@activity(effect="once", retry=QUICK, pivot=True)
async def wire(order: Order, context: Context) -> Receipt:
    """Have an effect that must not be repeated, of an outside that nobody can ask."""
    return understood(await call(applying("apply_once", order, context)))


@activity(retry=QUICK, pivot=True)
async def statement(given: Finalization, context: Context) -> dict[str, str]:
    """Write down what came of it."""
    lines = [f"{name}: {output}" for name, output in sorted(given.outputs.items())]
    written = await context.write_artifact("statement.txt", "\n".join(lines).encode())
    return {"digest": written.digest}


happy = Definition(
    "crash happy",
    steps=[
        Step("reserve", reserve, {}, after=()),
        Step("notify", notify, {}, after=()),
        Step("score", score, {"of": "both"}, after=("reserve", "notify")),
        Step("book", reserve, {}),
    ],
    activities=[release],
    artifact=statement,
)

blocked_steps = [Step("reserve", reserve, {}), Step("screen", screen, {}), Step("book", reserve, {})]

blocked = Definition(
    "crash blocked",
    steps=blocked_steps,
    activities=[release],
    approvals=[ApprovalPolicy(four_eyes=True)],
    artifact=statement,
)

rejected = Definition("crash rejected", steps=blocked_steps, activities=[release])

forked = Definition(
    "crash forked",
    steps=[Step("reserve", reserve, {}), Step("book", notify, {})],
    activities=[release],
    artifact=statement,
)

cancelled = Definition("crash cancelled", steps=blocked_steps, activities=[release])

stuck = Definition(
    "crash stuck",
    steps=[Step("reserve", reserve, {}), Step("doomed", reserve, {"never": True}), Step("book", reserve, {})],
    activities=[release],
    on_failure="intervene",
)

retrying = Definition(
    "crash retrying",
    steps=[Step("flaky", reserve, {"busy": 2}), Step("book", notify, {"busy": 1})],
    activities=[release],
)

compensating = Definition(
    "crash compensating",
    steps=[
        Step("first", reserve, {}),
        Step("second", notify, {"undo_busy": 1}),
        Step("third", charge, {}),
        Step("doomed", reserve, {"never": True}),
    ],
    activities=[release, charged],
)

once_probed = Definition(
    "crash once probed",
    steps=[Step("charge", charge, {"lose": 1}), Step("tip", charge, {"refuse": 1}), Step("reserve", reserve, {})],
    activities=[release, charged],
    artifact=statement,
)

once_unprobed = Definition(
    "crash once unprobed",
    steps=[Step("wire", wire, {}), Step("reserve", reserve, {}), Step("score", score, {"of": "the rest"})],
    activities=[release],
)

once_lost = Definition(
    "crash once lost",
    steps=[Step("wire", wire, {"lose": 1}), Step("reserve", reserve, {})],
    activities=[release],
)

signalled = Definition(
    "crash signalled",
    steps=[
        Step("reserve", reserve, {}),
        Step("paid", wait_signal=SignalWait(name="paid", correlation=ref("workflow.id"))),
        Step("book", reserve, {}),
    ],
    activities=[release],
)

family = Definition(
    "crash family",
    steps=[
        Step("nap", wait_time=TimeWait(duration=SOON), after=()),
        Step("child", child=ChildSpec(definition="crash child", goal="crash child")),
        Step("doomed", reserve, {"never": True}),
    ],
    activities=[release],
)

child = Definition(
    "crash child",
    steps=[Step("reserve", reserve, {}), Step("notify", notify, {})],
    activities=[release],
)

DAY = timedelta(days=1)

patient = Definition(
    "crash patient",
    steps=[
        Step("reserve", reserve, {}),
        Step("nap", wait_time=TimeWait(duration=DAY), after=("reserve",)),
        Step(
            "paid",
            wait_signal=SignalWait(name="paid", correlation="nobody"),
            after=("reserve",),
            timeout=1.5 * DAY,
            on_timeout="skip",
        ),
        Step("screen", screen, {}, after=("reserve",)),
        Step("book", reserve, {}, after=("nap", "paid", "screen")),
    ],
    activities=[release],
    approvals=[
        ApprovalPolicy(
            approvers=("alice",),
            escalate_after=2 * DAY,
            escalate_to=("bob",),
            deadline=3 * DAY,
            on_expiry="grant",
        )
    ],
)

expiring = Definition(
    "crash expiring",
    steps=blocked_steps,
    activities=[release],
    approvals=[
        ApprovalPolicy(approvers=("alice",), escalate_after=DAY, escalate_to=("bob",), deadline=2 * DAY),
    ],
    deadline=5 * DAY,
)

overdue = Definition(
    "crash overdue",
    steps=blocked_steps,
    activities=[release],
    approvals=[
        ApprovalPolicy(approvers=("alice",), escalate_after=DAY, escalate_to=("bob",), deadline=4 * DAY),
    ],
    deadline=2 * DAY,
)
