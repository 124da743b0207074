"""Definitions at random: graphs of activities of every effect, waits, children, approvals, gates, planners."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from domain.definitions import ActivityType, Definition, Step
from domain.plan import ChildSpec, OnTimeout, PlannedStep, SignalWait, TimeWait
from domain.policies import ApprovalPolicy, Condition, GatePolicy, Predicate, RetryPolicy
from tests.properties.chance import Chance, one_in, one_of, weighted
from tests.unit.domain.recipes import act, planner

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
ONCE_ONLY = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, initial_delay=SECOND)
PATIENT = RetryPolicy(max_attempts=4, initial_delay=SECOND, maximum_delay=5 * SECOND, deadline=2 * MINUTE)
SHORT: dict[str, Any] = {"start_to_finish": SECOND, "schedule_to_finish": MINUTE}

ACTIVITIES: dict[str, ActivityType] = {
    one.name: one
    for one in (
        act("look", retry=TWICE),
        act("scan", retry=PATIENT, **SHORT),
        act("reserve", "idempotent", undo="undo_reserve", retry=TWICE),
        act("book", "idempotent", undo="undo_book", retry=PATIENT, **SHORT),
        act("pay", "once", undo="undo_pay", probe="ask_pay", retry=TWICE),
        act("post", "once", undo="undo_post", retry=PATIENT),
        act("ship", "idempotent", pivot=True, retry=TWICE),
        act("wire", "once", pivot=True, probe="ask_wire", retry=ONCE_ONLY),
    )
}
HELPERS: dict[str, ActivityType] = {
    one.name: one
    for one in (
        act("undo_reserve", "idempotent", pivot=True, retry=TWICE),
        act("undo_book", "idempotent", pivot=True, retry=ONCE_ONLY),
        act("undo_pay", "idempotent", pivot=True, retry=PATIENT),
        act("undo_post", "once", pivot=True, retry=TWICE),
        act("ask_pay", retry=TWICE, **SHORT),
        act("ask_wire", retry=ONCE_ONLY),
    )
}


def once(activity: str) -> bool:
    """Whether an activity of this name may run but once."""
    declared = ACTIVITIES.get(activity) or HELPERS.get(activity)
    return declared is not None and declared.effect == "once"


PLANNERS = (planner(), planner(retry=PATIENT))
ARTIFACT = act("write", retry=TWICE)
PEOPLE = ("ann", "bob", "rita", "oscar")


def definition(chance: Chance) -> Definition:
    """A definition that is valid."""
    options: dict[str, Any] = {
        "activities": [*ACTIVITIES.values(), *HELPERS.values()],
        "approvals": policies(chance),
        "gates": gates(chance),
        "predicates": [Predicate("odd", "1", lambda given: bool(given.get("odd")))],
        "parallel": one_of(chance, (16, 1, 2)),
        "on_failure": "intervene" if one_in(chance, 6) else "compensate",
        "attempts_budget": 1 + chance.below(5) if one_in(chance, 6) else None,
        "deadline": one_of(chance, (None, None, None, None, 10 * MINUTE, 90 * SECOND)),
        "artifact": ARTIFACT if one_in(chance, 3) else None,
    }
    if one_in(chance, 4):
        return Definition("test", planner=one_of(chance, PLANNERS), **options)
    planned = steps(chance, 1 + chance.below(5), ())
    return Definition("test", steps=[as_step(chance, one) for one in planned], **options)


def as_step(chance: Chance, planned: PlannedStep) -> Step:
    """The step as an author writes it; now and then its input is a function."""
    computed = planned.activity is not None and one_in(chance, 5)
    return Step(
        id=planned.id,
        activity=planned.activity,
        input=(lambda view: {"seen": sorted(view["steps"]), "odd": True}) if computed else planned.input,
        after=planned.after,
        wait_time=planned.wait_time,
        wait_signal=planned.wait_signal,
        child=planned.child,
        timeout=planned.timeout,
        on_timeout=planned.on_timeout,
        approval=planned.approval,
    )


def steps(chance: Chance, count: int, earlier: Sequence[str]) -> list[PlannedStep]:
    """So many planned steps, each after some of those before it."""
    found: list[PlannedStep] = []
    first = len(earlier)
    for number in range(first, first + count):
        before = [*earlier, *(one.id for one in found)]
        after = tuple(name for name in before[-3:] if one_in(chance, 2))
        given: dict[str, Any] = {"number": number}
        if after and one_in(chance, 2):
            given["seen"] = {"$ref": f"steps.{one_of(chance, after)}.value"}
        kind: dict[str, Any] = weighted(
            chance,
            (
                (12, {"activity": one_of(chance, tuple(ACTIVITIES)), "input": given}),
                (1, {"wait_time": TimeWait(duration=one_of(chance, (30, 0, 300)) * SECOND)}),
                (1, {"wait_signal": SignalWait(name="news", correlation=f"key-{number % 2}")}),
                (2, {"child": ChildSpec(definition="child", input={"number": number})}),
            ),
        )
        if "activity" not in kind and "wait_time" not in kind and one_in(chance, 2):
            kind["timeout"] = MINUTE
            kind["on_timeout"] = on_timeout(chance)
        if ("activity" in kind or "child" in kind) and one_in(chance, 5):
            kind["approval"] = one_of(chance, ("default", "board"))
        found.append(PlannedStep(id=f"s{number}", after=after, **kind))
    return found


def on_timeout(chance: Chance) -> OnTimeout:
    """What running out of time does."""
    choices: tuple[OnTimeout, ...] = ("ok", "skip", "fail")
    return one_of(chance, choices)


def policies(chance: Chance) -> list[ApprovalPolicy]:
    """Two approval policies: one that anyone of two may grant, and one that is harder."""
    expiries: tuple[Literal["reject", "intervene", "grant"], ...] = ("reject", "intervene", "grant")
    deadline = one_of(chance, (None, 2 * MINUTE))
    escalate = deadline is not None and one_in(chance, 2)
    return [
        ApprovalPolicy(
            name="default",
            approvers=("ann", "bob"),
            deadline=deadline,
            escalate_after=MINUTE if escalate else None,
            escalate_to=("oscar",) if escalate else (),
            on_expiry=one_of(chance, expiries),
        ),
        ApprovalPolicy(name="board", required=2, rejections=1 + chance.below(2), four_eyes=one_in(chance, 2)),
    ]


def gates(chance: Chance) -> list[GatePolicy]:
    """Some gates: usually none, sometimes one that asks for an approval, seldom one that denies."""
    if not one_in(chance, 3):
        return []
    return [
        one_of(
            chance,
            (
                GatePolicy(name="look-first", steps=("pay", "ship"), verdict="require_approval", approval="board"),
                GatePolicy(name="odd-ones", predicate="odd", verdict="require_approval"),
                GatePolicy(
                    name="never", steps=("post",), verdict="deny", when=(Condition(path="number", op=">", value=1),)
                ),
                GatePolicy(name="free", verdict="allow"),
            ),
        )
    ]
