"""The definitions of the golden histories: kept as they are for as long as the histories are, that is for ever.

A history that needs another definition gets a further one here, under a name or version of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from domain.definitions import Definition, Step
from domain.plan import ChildSpec, SignalWait, TimeWait, ref
from domain.policies import ApprovalPolicy, Condition, GatePolicy, RetryPolicy
from tests.unit.domain.recipes import act, define, pay, planner, reserve, ship
from tests.unit.domain.scenario import Loaded

MINUTE: Final = timedelta(minutes=1)

BOARD: Final = ApprovalPolicy(
    name="board",
    version="2",
    approvers=("ann", "bob"),
    required=2,
    four_eyes=True,
    deadline=60 * MINUTE,
    escalate_after=30 * MINUTE,
    escalate_to=("chief",),
    proposed_controls=("report monthly",),
)
DEAR: Final = GatePolicy(
    name="dear",
    version="3",
    steps=("pay",),
    when=(Condition(path="amount", op=">", value=100),),
    verdict="require_approval",
    approval="board",
)
PATIENT: Final = RetryPolicy(max_attempts=3, initial_delay=timedelta(seconds=10))

PLAIN: Final = define(
    act("look"), reserve(), Step("tell", act("tell"), input={"seat": ref("steps.reserve.seat")}), name="plain"
)
GATED: Final = define(
    act("look"),
    Step("pay", pay(), input={"amount": ref("input.amount")}),
    name="gated",
    gates=[DEAR],
    approvals=[BOARD],
)
PATIENTLY: Final = define(reserve(retry=PATIENT), act("tell", retry=PATIENT), name="patiently", attempts_budget=4)
UNDONE: Final = define(
    Step("one", reserve("one"), after=()),
    Step("two", reserve("two"), after=()),
    Step("three", act("three"), after=("one", "two")),
    name="undone",
)
ONCE: Final = define(pay(probe="ask"), pay("wire"), act("tell"), name="once", on_failure="intervene")
FAMILY: Final = define(
    Step("enrol", child=ChildSpec(definition="other", input={"who": ref("goal")}), timeout=60 * MINUTE),
    act("tell"),
    name="family",
    activities=[reserve()],
)
PLANNED: Final = define(
    planner=planner(), activities=[act("look"), reserve(), act("tell")], artifact=act("write"), name="planned"
)
PATIENT_OF_OTHERS: Final = define(
    Step("rest", wait_time=TimeWait(duration=5 * MINUTE)),
    Step("news", wait_signal=SignalWait(name="news", correlation=ref("goal")), timeout=10 * MINUTE, on_timeout="skip"),
    Step("paid", wait_signal=SignalWait(name="paid", correlation="k")),
    ship(),
    name="patient of others",
    deadline=600 * MINUTE,
)

HURRIED: Final = define(reserve(), act("tell", start_to_finish=MINUTE, schedule_to_finish=2 * MINUTE), name="hurried")

KNOWN: Final[tuple[Definition, ...]] = (
    PLAIN,
    GATED,
    PATIENTLY,
    UNDONE,
    ONCE,
    FAMILY,
    PLANNED,
    PATIENT_OF_OTHERS,
    HURRIED,
)
DEFINITIONS: Final = Loaded({(one.name, one.version): one for one in KNOWN})
