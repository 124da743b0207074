"""How a goal of the wire begins a workflow: which definition it means, and whether it gives what that asks for."""

from __future__ import annotations

from deploy.loading import LoadedDefinitions, check_input
from deploy.runtime import check_goal
from domain.messages.bodies import Goal
from domain.payloads import check_payload
from domain.triggers import StartWorkflow


class GoalBeginning:
    """The consumers' port `Beginning`, by the definitions that are loaded here."""

    def __init__(self, definitions: LoadedDefinitions) -> None:
        """`definitions` may grow later."""
        self._definitions = definitions

    def __call__(self, goal: Goal, *, requested_by: str) -> StartWorkflow:
        """The trigger that starts it; raises DefinitionUnknown or InputInvalid."""
        known = self._definitions
        definition = known.for_goal(goal.goal) if goal.definition is None else known.named(goal.definition)
        check_payload(goal.input, "input")
        check_goal(goal.goal, goal.tags)
        given = check_input(definition, goal.input)
        return StartWorkflow(
            goal=goal.goal,
            definition=definition.name,
            definition_version=definition.version,
            input=given,
            requested_by=requested_by,
            tags=goal.tags,
            deadline_at=goal.deadline,
        )
