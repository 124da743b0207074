"""The workflows that are measured: chains of five and of thousands, one that waits for approval, one with it all."""

from __future__ import annotations

import time
from typing import Final

from pydantic import BaseModel

from domain.plan import PlannedStep, PlanProposal, PlanRequest
from domain.policies import Condition, GatePolicy
from handrail import ApprovalPolicy, Definition, RetryPolicy, Step, activity
from handrail import ref as value_of

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


class Claim(BaseModel):
    """What is claimed."""

    claimant: str
    amount: int


class Assessment(BaseModel):
    """What a claim was found to be worth."""

    worth: int
    note: str


@activity(effect="pure")
async def collect(claim: Claim) -> Claim:
    """Collect what is known of a claim."""
    return claim


@activity(effect="pure", retry=RetryPolicy(max_attempts=5))
async def assess(claim: Claim) -> Assessment:
    """Say what a claim is worth."""
    return Assessment(worth=claim.amount, note=NOTE)


@activity(effect="idempotent", compensation="step_undo")
async def pay(_: Assessment) -> Outcome:
    """Pay what was assessed."""
    return Outcome(i=1, ok=True, note=NOTE)


CLAIMS: Final = Definition(
    "claims",
    version="1",
    steps=[
        Step("collect", collect),
        Step("assess", assess, input={"claimant": value_of("input.claimant"), "amount": value_of("input.amount")}),
        Step("pay", pay, input={"worth": value_of("steps.assess.worth"), "note": value_of("steps.assess.note")}),
        Step("tell", step, input={"i": 2}),
    ],
    activities=[step_undo],
    gates=[
        GatePolicy(name="small", steps=("pay",), verdict="allow", reason="small"),
        GatePolicy(
            name="large",
            steps=("pay",),
            when=(Condition(path="worth", op=">", value=1_000),),
            verdict="require_approval",
            approval="managers",
            reason="a large amount",
        ),
    ],
    approvals=[ApprovalPolicy(name="managers", approvers=("manager", "director"), four_eyes=True)],
)
