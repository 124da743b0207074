"""The policy gate node: looks at each step before it is scheduled. Its verdict is recorded as a fact.

Allow, deny, or require an approval. The verdict stands for a generation of the step: a retry does not ask again, a new
input does. A step that no policy covers passes without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from domain import events as e
from domain.decision import Decision, Events
from domain.facts import GateVerdict
from domain.state import StepState


def evaluate(decision: Decision, step: StepState, step_input: Mapping[str, Any]) -> Events:
    """Record the verdict on a step about to be scheduled, unless it stands already; raises FactFailed."""
    if step.gate is not None or step.planned is None:
        return
    verdict = decision.facts.verdict_of(decision.recipe, step.planned, step_input)
    if verdict is None:
        return
    yield _evaluated(step.id, verdict)


@lru_cache(maxsize=4_096)
def _evaluated(step: str, verdict: GateVerdict) -> e.PolicyEvaluated:
    """The fact: the same object wherever the same is said of a step of this name."""
    return e.PolicyEvaluated(
        step=step,
        policy=verdict.policy,
        policy_version=verdict.policy_version,
        verdict=verdict.verdict,
        reason=verdict.reason,
        approval=verdict.approval,
    )


def approval_needed(decision: Decision, step: StepState) -> str | None:
    """Name of the approval policy that the step needs before it runs, or None where it may run at once."""
    recipe = decision.recipe
    if step.gate == "require_approval":
        return step.gate_approval or recipe.default_approval.name
    return step.planned.approval if step.planned is not None else None
