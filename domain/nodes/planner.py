"""The planner node: accepts a goal, asks for a plan, and takes none that breaks a rule.

A plan is fixed by the definition, or proposed by a planner activity that is asked again, with the observations, each
time its steps have settled, until it says that it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from domain import events as e
from domain.chain import canonical
from domain.decision import Decision, Events, schedule_attempt
from domain.definitions import PROPOSAL, Definition
from domain.errors import PlanInvalid, WorkflowConflict
from domain.ids import PLAN_STEP
from domain.plan import Observation, PlanProposal, PlanRequest
from domain.state import State
from domain.triggers import ForkWorkflow, RecordOutcome, StartWorkflow

PLAN_ROUNDS: Final = 1_000
OBSERVATIONS_BYTES: Final = 128 * 1024


def start(decision: Decision) -> Events:
    """Accept a goal, or a fork: the first event of a workflow."""
    trigger = decision.trigger
    if isinstance(trigger, ForkWorkflow):
        yield e.WorkflowForked(
            **trigger.model_dump(exclude={"type", "deadline_at"}),
            deadline_at=_deadline(decision, trigger),
            redactable=tuple(_marked(decision.definition, trigger)),
        )
        return
    if not isinstance(trigger, StartWorkflow):
        raise TypeError(type(trigger).__name__)
    yield e.WorkflowStarted(
        goal=trigger.goal,
        definition=trigger.definition,
        definition_version=trigger.definition_version,
        input=trigger.input,
        requested_by=trigger.requested_by,
        tags=trigger.tags,
        deadline_at=_deadline(decision, trigger),
        parent_workflow=trigger.parent_workflow,
        parent_step=trigger.parent_step,
        epoch=trigger.epoch,
        doubted=trigger.doubted,
    )


def _marked(definition: Definition | None, trigger: ForkWorkflow) -> Iterator[str]:
    """Where the source's outputs stand in the state that a fork begins with, as far as their models mark them."""
    if definition is None:
        return
    for name, settled in (trigger.state.get("settled") or {}).items():
        declared = definition.activities.get(settled.get("activity") or "")
        for pointer in declared.redactable_output if declared is not None else ():
            yield f"/state/settled/{name}/output{pointer}"
            if settled.get("number") == trigger.state.get("output_number"):
                yield f"/state/output{pointer}"


def _deadline(decision: Decision, trigger: StartWorkflow | ForkWorkflow) -> datetime | None:
    """The one asked for, or the definition's, counted from now."""
    if trigger.deadline_at is None and decision.definition is not None and decision.definition.deadline is not None:
        return decision.at + decision.definition.deadline
    return trigger.deadline_at


def check_same(trigger: StartWorkflow, state: State) -> None:
    """A goal for a workflow that exists says the same as before, or WorkflowConflict names the difference."""
    for name, asked, known in (
        ("goal", trigger.goal, state.goal),
        ("definition", trigger.definition, state.definition),
        ("input", trigger.input, state.input),
        ("parent", trigger.parent_workflow, state.parent_workflow),
    ):
        if asked != known:
            raise WorkflowConflict(
                f"workflow {state.workflow_id} exists with another {name}: {_short(known)}, not {_short(asked)}; "
                "use another id, or give the same words"
            )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value).decode()
    return repr(text if len(text) <= 100 else text[:97] + "…")  # noqa: PLR2004 - a line of a terminal


def propose(decision: Decision) -> Events:
    """Ask for the next plan: take the definition's own, or schedule the planner's next attempt."""
    state, recipe = decision.state, decision.recipe
    if recipe.plan is not None:
        yield _fixed(recipe)
        return
    if PLAN_STEP not in state.steps:
        yield e.PlanRequested(round=state.plan_round + 1)
    yield from ask(decision)


@lru_cache(maxsize=1_024)
def _fixed(recipe: Definition) -> e.PlanProposed:
    """The plan of a definition: one fact, the same object in all of its workflows."""
    return e.PlanProposed(
        round=1, steps=recipe.plan or (), final=True, reason="fixed by the definition", source="definition"
    )


def ask(decision: Decision) -> Events:
    """Schedule one attempt of the planner activity."""
    planner = decision.recipe.planner
    step = decision.state.steps[PLAN_STEP]
    if planner is not None and step.live is None:
        yield from schedule_attempt(decision, step, planner, "plan", request_of(decision.state))


def request_of(state: State) -> dict[str, Any]:
    """What the planner is asked with; the oldest observations are left out where they would not fit a command."""
    kept: list[Observation] = []
    room = OBSERVATIONS_BYTES
    for name in reversed(state.settled):
        settled = state.settled[name]
        seen = Observation(
            step=name,
            activity=settled.activity,
            status=settled.status.value,
            output=settled.output,
            failure=settled.failure,
        )
        room -= len(seen.model_dump_json())
        if room < 0:
            break
        kept.append(seen)
    request = PlanRequest(
        goal=state.goal,
        input=state.input,
        round=state.plan_round,
        observations=tuple(reversed(kept)),
        truncated=len(kept) < len(state.settled),
    )
    return request.model_dump(mode="json")


def take(decision: Decision, trigger: RecordOutcome) -> Events:
    """The planner answered: a valid proposal becomes the plan, anything else is rejected and counts as a failure."""
    state = decision.state
    place = f"plan {state.plan_round} of workflow {state.workflow_id}"
    try:
        proposal = _checked(decision, trigger.output, place)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        yield e.PlanRejected(round=state.plan_round, reason=f"{place}: {where}: {first['msg']}"[:2_000])
    except PlanInvalid as error:
        yield e.PlanRejected(round=state.plan_round, reason=str(error)[:2_000])
    else:
        yield e.PlanProposed(
            round=state.plan_round, steps=proposal.steps, final=proposal.done, reason=proposal.reason, source="planner"
        )


def _checked(decision: Decision, output: Any, place: str) -> PlanProposal:
    """The proposal, held against the rules of plans; raises ValidationError or PlanInvalid."""
    state = decision.state
    proposal: PlanProposal = PROPOSAL.validate_python(output)
    decision.recipe.check(proposal.steps, earlier=_Known(state), place=place)
    if not proposal.steps and not proposal.done:
        raise PlanInvalid(f"{place}: neither steps nor done: asking again would never end")
    if state.plan_round >= PLAN_ROUNDS and not proposal.done:
        raise PlanInvalid(f"{place}: the planner was asked {PLAN_ROUNDS} times and is not done")
    return proposal


class _Known(dict[str, object]):
    """The steps of earlier plans, as a mapping that is looked into and never copied."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def __contains__(self, name: object) -> bool:
        return name in self._state.settled or name in self._state.steps

    def __len__(self) -> int:
        return self._state.step_count
