"""The workflows that are measured: a chain of five, a chain of thousands, and one that waits for approval."""

from __future__ import annotations

import time
from typing import Final

from pydantic import BaseModel

from domain.plan import PlannedStep, PlanProposal, PlanRequest
from domain.policies import GatePolicy
from handrail import ApprovalPolicy, Definition, Step, activity

NOTE: Final = "y" * 50
CHAIN_STEPS: Final = 5
ROUND_STEPS: Final = 500
"""Steps that the long chain's planner proposes at once."""


class Outcome(BaseModel):
    """What every step answers, the peers' included."""

    i: int
    ok: bool
    note: str


class Given(BaseModel):
    """What every step is given: its number. The peers record no more of it, or less."""

    i: int


@activity(effect="idempotent")
async def step_undo(_: dict[str, object]) -> None:
    """Undo nothing: it is never called, but makes the steps compensable."""


@activity(effect="idempotent", compensation="step_undo")
async def step(given: Given) -> Outcome:
    """Do nothing, and say so."""
    return Outcome(i=given.i, ok=True, note=NOTE)


_EVERY_STEP: Final = GatePolicy(name="every_step", verdict="allow", reason="trivial")


def _chain_step(i: int) -> Step:
    return Step(f"step{i}", step, input={"i": i})


CHAIN: Final = Definition(
    "chain5",
    version="1",
    steps=[_chain_step(i) for i in range(CHAIN_STEPS)],
    activities=[step_undo],
    gates=[_EVERY_STEP],
)


ASKED_AT: Final[list[float]] = []
"""When the long chain's planner was asked: one instant a round."""


@activity(effect="pure")
async def plan_long(request: PlanRequest) -> PlanProposal:
    """Propose a further round, each step after the one before it, until there are as many as the input says."""
    ASKED_AT.append(time.perf_counter())
    begin = (request.round - 1) * ROUND_STEPS
    planned = tuple(
        PlannedStep(id=f"step{i}", activity="step", input={"i": i}, after=(f"step{i - 1}",) if i > begin else ())
        for i in range(begin, min(begin + ROUND_STEPS, request.input["steps"]))
    )
    return PlanProposal(steps=planned, done=not planned)


LONG: Final = Definition(
    "long chain", version="1", planner=plan_long, activities=[step, step_undo], gates=[_EVERY_STEP]
)


@activity(effect="pure")
async def screen(_: dict[str, object]) -> Outcome:
    """Look at what came in, and find nothing."""
    return Outcome(i=0, ok=True, note=NOTE)


WAITING: Final = Definition(
    "waiting",
    version="1",
    steps=[Step("screen", screen), Step("decide", step, input={"i": 1}, approval="manager")],
    activities=[step_undo],
    approvals=[ApprovalPolicy(name="manager", approvers=("manager",))],
)
