"""The desk of a home: decides at once, within a runtime, as the command line does."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from deploy.http.desk import Accepted, Act, Answer, Goal, KeyReused, Page, workflow_id_for
from deploy.http.looking import Look, answer_of
from deploy.runtime import Runtime
from domain.errors import WorkflowConflict
from domain.ids import receipt_id
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
        receipt = Receipt(receipt_id("goal", SENDER, goal.message_id), "goal", goal.digest)
        repeated = await self._received(receipt)
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
                    receipt=receipt,
                )
            except WorkflowConflict:
                # Only the same key leads to the same workflow: somebody sent both at once.
                await self._received(receipt)
                raise
            await self._received(receipt)
        return Accepted(workflow_id, stored=True, repeated=repeated)

    async def act(self, act: Act) -> Answer:
        """Have the workflow decide, once for a message id; a repeat is answered as the first time was."""
        kind = "approval" if isinstance(act.trigger, RecordDecision) else "control"
        receipt = Receipt(receipt_id(kind, SENDER, act.message_id), kind, act.digest)
        if await self._received(receipt):
            return await self._repeated(act, receipt)
        decided = await self._runtime.decide(
            act.workflow_id, act.trigger, actor=act.person, cause=receipt.message_id, receipt=receipt
        )
        if decided.ignored is None:
            return answer_of(decided.events, decided.state)
        if decided.ignored == RECEIVED_BEFORE:  # the same request at the same moment: the other one was first
            await self._received(receipt)
            return await self._repeated(act, receipt)
        state = decided.state
        return Answer("ignored", act.workflow_id, "", decided.ignored, str(state.status), state.version)

    async def _received(self, receipt: Receipt) -> bool:
        """Whether the message was received before; raises KeyReused where it said something else then."""
        known = await self._look.receipt(receipt.message_id)
        if known is not None and known != receipt.digest:
            raise KeyReused("this Idempotency-Key was used with another body: take a new one for a new request")
        return known is not None

    async def _repeated(self, act: Act, receipt: Receipt) -> Answer:
        answer = await self._look.answer(act.workflow_id, receipt.message_id)
        if answer is not None:
            return replace(answer, repeated=True)
        state = await self._look.workflow(act.workflow_id)
        return Answer("ignored", act.workflow_id, status=str(state.status), version=state.version, repeated=True)
