"""Definitions in a line: stub activities that nobody runs, and the compensations and probes that they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal

from domain.definitions import ActivityType, Definition, Step, activity
from domain.plan import PlanProposal, PlanRequest
from domain.policies import ApprovalPolicy, RetryPolicy

SECOND = timedelta(seconds=1)
NO_RETRY = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, initial_delay=SECOND)
"""Two attempts, the second at most a second after the first."""


def act(
    name: str,
    effect: Literal["pure", "idempotent", "once"] = "pure",
    *,
    undo: str | None = None,
    probe: str | None = None,
    pivot: bool = False,
    retry: RetryPolicy = TWICE,
    **options: Any,
) -> ActivityType:
    """Declare an activity that nobody runs: tests say how its attempts end."""

    async def stub(given: dict[str, Any]) -> Any:
        return given

    declare: Callable[..., ActivityType] = activity(
        name=name, effect=effect, retry=retry, compensation=undo, reconcile=probe, pivot=pivot, **options
    )
    return declare(stub)


def reserve(name: str = "reserve", **options: Any) -> ActivityType:
    """Declare an idempotent activity with a compensation."""
    return act(name, "idempotent", undo=options.pop("undo", f"undo_{name}"), **options)


def pay(name: str = "pay", **options: Any) -> ActivityType:
    """Declare an activity whose effect happens once, with a compensation; give `probe` for one."""
    return act(name, "once", undo=options.pop("undo", f"undo_{name}"), **options)


def ship(name: str = "ship", **options: Any) -> ActivityType:
    """Declare an activity that cannot be undone."""
    return act(name, options.pop("effect", "idempotent"), pivot=True, **options)


def define(
    *steps: Step | ActivityType,
    activities: Sequence[ActivityType] = (),
    undo_retry: RetryPolicy = TWICE,
    **options: Any,
) -> Definition:
    """Put a definition together; an activity stands for a step of its name after the one before it.

    Compensations and probes that are only named are declared too.
    """
    planned = [step if isinstance(step, Step) else Step(step.name, step) for step in steps]
    known = {
        one.name: one for one in (*activities, *(step.activity for step in planned)) if isinstance(one, ActivityType)
    }
    for one in list(known.values()):
        if one.compensation is not None:
            known.setdefault(one.compensation, act(one.compensation, "idempotent", pivot=True, retry=undo_retry))
        if one.reconcile is not None:
            known.setdefault(one.reconcile, act(one.reconcile, retry=TWICE))
    if planned:
        options["steps"] = planned
    return Definition(options.pop("name", "test"), activities=tuple(known.values()), **options)


def planner(**options: Any) -> ActivityType:
    """Declare a planner that nobody runs."""

    async def plan(request: PlanRequest) -> PlanProposal:
        return PlanProposal(reason=request.goal)

    return activity(name="plan", effect="pure", retry=options.pop("retry", TWICE), **options)(plan)


def policy(name: str = "default", **options: Any) -> ApprovalPolicy:
    """Make an approval policy: by default `ann` or `bob` may decide."""
    return ApprovalPolicy(name=name, approvers=options.pop("approvers", ("ann", "bob")), **options)
