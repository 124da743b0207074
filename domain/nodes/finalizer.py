"""The finalizer node: closes a workflow all of whose steps have settled, with its artifact where it has one."""

from __future__ import annotations

from domain import events as e
from domain.decision import Decision, Events, schedule_attempt
from domain.definitions import Finalization
from domain.facts import grant_view
from domain.ids import ARTIFACT_STEP
from domain.state import State, StepState, StepStatus


def close(decision: Decision) -> Events:
    """Have the artifact written, then complete."""
    state = decision.state
    declared = decision.recipe.artifact
    if declared is not None and not state.artifact_done:
        step = state.steps.get(ARTIFACT_STEP) or StepState(ARTIFACT_STEP, -1, None)
        if step.status is StepStatus.PLANNED:
            yield from schedule_attempt(decision, step, declared, "artifact", finalization_of(state))
        return
    yield e.WorkflowCompleted(controls=tuple(state.controls), output=state.output, effects=handed_over(state))


def finalization_of(state: State) -> dict[str, object]:
    """What the artifact's activity is given."""
    return Finalization(
        workflow_id=state.workflow_id,
        goal=state.goal,
        input=state.input,
        outputs={name: settled.output for name, settled in state.settled.items()},
        approvals={name: grant_view(grant) for name, grant in state.grants.items()},
        controls=list(state.controls),
    ).model_dump(mode="json")


def handed_over(state: State) -> tuple[e.Undo, ...]:
    """The effects that a child leaves to its parent: from its end on they are the parent's to undo.

    Not those that are undone, nor those that a person accepted as they are.
    """
    if state.parent_workflow is None:
        return ()
    return tuple(effect.undo for effect in state.effects.values() if effect.state == "open")
