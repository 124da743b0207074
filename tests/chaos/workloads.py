"""The workflows of the chaos runs, loaded by the real processes as a user's module; every effect is a ledger's entry.

Each workflow has a world of its own in the ledger, which its child shares. Two queues, so that one may be served
elsewhere than the other. The outside takes its time: a fault then finds attempts under way.

`settle_after` is longer than any process is ever stopped for: a call that a stopped process has yet to send can still
take effect when it goes on, so nobody may ask before then whether it did.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.definitions import ActivityType, CompensationInput, Finalization, ProbeInput
from domain.plan import ChildSpec, SignalWait, TimeWait, ref
from handrail import Context, Definition, NeedsApproval, RetryPolicy, Step, activity
from tests.chaos.expected import world_of
from tests.chaos.plan import LONGEST_STOP_SECONDS
from tests.crash import orders
from tests.crash.orders import Receipt, applying, asking, understood, undoing
from tests.crash.outside import call, call_blocking

FIRST_QUEUE = "chaos.first"
SECOND_QUEUE = "chaos.second"
SIGNAL = "chaos.paid"

SOON = timedelta(milliseconds=50)
QUICK = RetryPolicy(max_attempts=8, initial_delay=SOON, maximum_delay=timedelta(seconds=1))
BRIEFLY_SECONDS = 0.02
SETTLE_AFTER = timedelta(seconds=LONGEST_STOP_SECONDS)


class Order(orders.Order):
    """What a step asks of an outside that takes its time."""

    takes_seconds: float = BRIEFLY_SECONDS


@activity(retry=QUICK, queue=SECOND_QUEUE)
async def release(given: CompensationInput, context: Context) -> Receipt:
    """Undo what `reserve`, `notify` or `charge` did."""
    return understood(await call(undoing(given, context, BRIEFLY_SECONDS), world_of(context.workflow_id)))


@activity(retry=QUICK, compensation=release, queue=FIRST_QUEUE)
async def reserve(order: Order, context: Context) -> Receipt:
    """Have an effect, under a key that the outside honours."""
    return understood(await call(applying("apply", order, context), world_of(context.workflow_id)))


@activity(retry=QUICK, compensation=release, queue=SECOND_QUEUE)
def notify(order: Order, context: Context) -> Receipt:
    """The same from a plain function, which runs in a thread."""
    return understood(call_blocking(applying("apply", order, context), world_of(context.workflow_id)))


@activity(effect="pure", queue=SECOND_QUEUE)
async def score(given: dict[str, Any]) -> dict[str, Any]:
    """Touch nothing: say what came in."""
    return {"seen": given}


@activity(effect="pure", queue=FIRST_QUEUE)
async def screen(_order: Order) -> Receipt | NeedsApproval:
    """Leave it to a person."""
    return NeedsApproval("manual approval", {"risk": "unclear"}, controls=("look again in a year",))


@activity(effect="pure", retry=QUICK, queue=SECOND_QUEUE)
async def charged(given: ProbeInput, context: Context) -> Receipt:
    """Ask the outside whether the charge was applied."""
    return understood(await call(asking(given, context), world_of(context.workflow_id)))


@activity(
    effect="once", retry=QUICK, reconcile=charged, compensation=release, settle_after=SETTLE_AFTER, queue=FIRST_QUEUE
)
async def charge(order: Order, context: Context) -> Receipt:
    """Have an effect that must not be repeated, of an outside that can be asked."""
    return understood(await call(applying("apply_once", order, context), world_of(context.workflow_id)))


@activity(effect="once", retry=QUICK, pivot=True, queue=FIRST_QUEUE)
async def wire(order: Order, context: Context) -> Receipt:
    """Have an effect that must not be repeated, of an outside that nobody can ask."""
    return understood(await call(applying("apply_once", order, context), world_of(context.workflow_id)))


@activity(retry=QUICK, pivot=True, queue=SECOND_QUEUE)
async def statement(given: Finalization, context: Context) -> dict[str, str]:
    """Write down what came of it."""
    lines = [f"{name}: {output}" for name, output in sorted(given.outputs.items())]
    written = await context.write_artifact("statement.txt", "\n".join(lines).encode())
    return {"digest": written.digest}


LONG = {"takes_seconds": 1.0}
SOME = {"takes_seconds": 0.2}

plain = Definition(
    "chaos plain",
    steps=[
        Step("reserve", reserve, {}, after=()),
        Step("notify", notify, SOME, after=()),
        Step("score", score, {"of": "both"}, after=("reserve", "notify")),
        Step("book", reserve, SOME),
    ],
    activities=[release],
    artifact=statement,
)

slow = Definition(
    "chaos slow",
    steps=[Step("reserve", reserve, LONG), Step("book", reserve, LONG), Step("notify", notify, {})],
    activities=[release],
)

unprobed = Definition(
    "chaos unprobed",
    steps=[Step("wire", wire, SOME), Step("reserve", reserve, {}), Step("score", score, {"of": "the rest"})],
    activities=[release],
)

retrying = Definition(
    "chaos retrying",
    steps=[Step("flaky", reserve, {"busy": 2}), Step("book", notify, {"busy": 1})],
    activities=[release],
)

approved = Definition(
    "chaos approved",
    steps=[Step("reserve", reserve, {}), Step("screen", screen, {}), Step("book", reserve, SOME)],
    activities=[release],
)

rejected = Definition(
    "chaos rejected",
    steps=[Step("reserve", reserve, {}), Step("screen", screen, {}), Step("book", reserve, {})],
    activities=[release],
)

signalled = Definition(
    "chaos signalled",
    steps=[
        Step("reserve", reserve, {}),
        Step("paid", wait_signal=SignalWait(name=SIGNAL, correlation=ref("workflow.id"))),
        Step("book", reserve, {}),
    ],
    activities=[release],
)

family = Definition(
    "chaos family",
    steps=[
        Step("nap", wait_time=TimeWait(duration=timedelta(seconds=1)), after=()),
        Step("child", child=ChildSpec(definition="chaos child", goal="chaos child")),
        Step("doomed", reserve, {"never": True}),
    ],
    activities=[release],
)

child = Definition(
    "chaos child",
    steps=[Step("reserve", reserve, {}), Step("notify", notify, SOME)],
    activities=[release],
)


def charging(charge: ActivityType) -> tuple[Definition, Definition, Definition]:
    """The definitions that charge."""
    return (
        Definition(
            "chaos probed",
            steps=[Step("charge", charge, SOME), Step("tip", charge, {"refuse": 1}), Step("reserve", reserve, {})],
            activities=[release, charged],
        ),
        Definition(
            "chaos lost",
            steps=[Step("charge", charge, {"lose": 1}), Step("reserve", reserve, {})],
            activities=[release, charged],
        ),
        Definition(
            "chaos compensating",
            steps=[
                Step("first", reserve, {}),
                Step("second", notify, {"undo_busy": 1}),
                Step("third", charge, SOME),
                Step("doomed", reserve, {"never": True}),
            ],
            activities=[release, charged],
        ),
    )


probed, lost, compensating = charging(charge)
