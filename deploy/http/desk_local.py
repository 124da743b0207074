"""The desk of a home: decides at once, within a runtime, as the command line does."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from deploy.http.desk import Accepted, Act, Answer, Goal, KeyReused, Page, workflow_id_for
from deploy.http.looking import Look, answer_of
from deploy.runtime import Runtime
from domain.errors import WorkflowConflict
from domain.ports import Receipt
from domain.state import State
from domain.store.deciding import RECEIVED_BEFORE
from domain.triggers import RecordDecision

SENDER: Final = "http"
"""Stands for a broker's login where the id of a goal's workflow is derived."""


class LocalDesk:
    """The port `Desk` over a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        """The runtime is open for as long as the desk is used."""
        self._runtime = runtime
        self._look = Look(runtime.store)

    async def pending(self, *, definition: str | None, after: str, limit: int) -> Page:
        """A page of pending approvals."""
        return await self._look.pending(definition=definition, after=after, limit=limit)

    async def workflow(self, workflow_id: str) -> State:
        """The newest state of a workflow."""
        return await self._look.workflow(workflow_id)

    async def submit(self, goal: Goal) -> Accepted:
        """Start the goal's workflow, or say which one it started."""
        workflow_id = workflow_id_for(SENDER, goal.message_id)
        repeated = await self._received(goal.message_id, goal.digest)
        if not repeated:
            try:
                await self._runtime.start(
                    goal.goal,
                    definition=goal.definition,
                    input=goal.input,
                    requested_by=goal.requested_by,
                    tags=goal.tags,
                    workflow_id=workflow_id,
                    deadline=goal.deadline,
                    receipt=Receipt(goal.message_id, "goal", goal.digest),
                )
            except WorkflowConflict:
                # Only the same key leads to the same workflow: somebody sent both at once.
                await self._received(goal.message_id, goal.digest)
                raise
            await self._received(goal.message_id, goal.digest)
        return Accepted(workflow_id, stored=True, repeated=repeated)

    async def act(self, act: Act) -> Answer:
        """Have the workflow decide, once for a message id; a repeat is answered as the first time was."""
        if await self._received(act.message_id, act.digest):
            return await self._repeated(act)
        kind = "approval" if isinstance(act.trigger, RecordDecision) else "control"
        decided = await self._runtime.decide(
            act.workflow_id,
            act.trigger,
            actor=act.person,
            cause=act.message_id,
            receipt=Receipt(act.message_id, kind, act.digest),
        )
        if decided.ignored is None:
            return answer_of(decided.events, decided.state)
        if decided.ignored == RECEIVED_BEFORE:  # the same request at the same moment: the other one was first
            await self._received(act.message_id, act.digest)
            return await self._repeated(act)
        state = decided.state
        return Answer("ignored", act.workflow_id, "", decided.ignored, str(state.status), state.version)

    async def _received(self, message_id: str, digest: str) -> bool:
        """Whether the message was received before; raises KeyReused where it said something else then."""
        known = await self._look.receipt(message_id)
        if known is not None and known != digest:
            raise KeyReused("this Idempotency-Key was used with another body: take a new one for a new request")
        return known is not None

    async def _repeated(self, act: Act) -> Answer:
        answer = await self._look.answer(act.workflow_id, act.message_id)
        if answer is not None:
            return replace(answer, repeated=True)
        state = await self._look.workflow(act.workflow_id)
        return Answer("ignored", act.workflow_id, status=str(state.status), version=state.version, repeated=True)
