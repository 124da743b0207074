"""The desk of a shared store: sends the same messages as any other service, and looks what became of them.

It decides nothing itself. A message that has had no effect when the caller's patience is over is answered with 202;
a goal among them is held in the store before, and sent on by whichever process serves HTTP, until it has begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Final, Protocol

from deploy.held_goals import HeldGoal, HeldGoals
from deploy.http.desk import Accepted, Act, Answer, Goal, KeyReused, Page, workflow_id_for
from deploy.http.looking import Look
from deploy.sending import Sending
from domain.chain import digest_of
from domain.ids import receipt_id
from domain.messages import bodies
from domain.messages.writing import outgoing_approval, outgoing_control, outgoing_goal
from domain.ports import Aside
from domain.state import State
from domain.store.application import WorkflowStore
from domain.transport import Outgoing, Publisher
from domain.triggers import RecordDecision

PATIENCE_SECONDS: Final = 5.0
"""How long a caller waits for the effect of a message before it is told that there is none yet."""
CONFIRM_SECONDS: Final = 10.0

_REUSED: Final = "this Idempotency-Key was used with another body: take a new one for a new request"


class Beginning(Protocol):
    """Who knows which definition a goal means, and what it asks for."""

    def __call__(self, goal: bodies.Goal, *, requested_by: str) -> object:
        """Raises DefinitionUnknown or InputInvalid."""
        ...


class RemoteDesk:
    """The port `Desk` over a store and a publisher. `login` is whom the broker knows the publisher as."""

    def __init__(
        self,
        store: WorkflowStore,
        publisher: Publisher,
        *,
        login: str,
        aside: Aside,
        beginning: Beginning | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        sending: Sending | None = None,
    ) -> None:
        """Both are open for as long as the desk is used; `aside` runs the store's work.

        With `beginning`, a goal that no definition here fits is refused at once, instead of in its dead queue.
        """
        self._look = Look(store, aside)
        self._sending = sending if sending is not None else Sending(publisher)
        self._beginning = beginning
        self._login = login
        self._patience_seconds = patience_seconds
        self._held = HeldGoals(store)
        self._aside = aside

    async def pending(self, *, definition: str | None, after: str, limit: int) -> Page:
        """A page of pending approvals."""
        return await self._look.pending(definition=definition, after=after, limit=limit)

    async def workflow(self, workflow_id: str) -> State:
        """The newest state of a workflow."""
        return await self._look.workflow(workflow_id)

    async def submit(self, goal: Goal) -> Accepted:
        """Send the goal, and wait a moment for its workflow."""
        body = bodies.Goal(
            goal=goal.goal,
            definition=goal.definition,
            input=dict(goal.input),
            tags=dict(goal.tags),
            deadline=goal.deadline,
            requested_by=goal.requested_by,
        )
        if self._beginning is not None:
            self._beginning(body, requested_by=goal.requested_by)
        message = outgoing_goal(body, message_id=goal.message_id)
        workflow_id = workflow_id_for(self._login, goal.message_id)
        receipt = receipt_id("goal", self._login, goal.message_id)
        digest = _digest(message)
        if await self._received(receipt, digest):
            return Accepted(workflow_id, stored=True, repeated=True)

        async def look() -> bool | None:
            return await self._received(receipt, digest) or None

        await self._sending.confirmed(message, timeout_seconds=CONFIRM_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                await self._sending.watch(look)
                return Accepted(workflow_id, stored=True)
        held = HeldGoal.of(message, sender=self._login, digest=digest)
        if await self._aside(lambda: self._held.hold(held)) != digest:
            raise KeyReused(_REUSED)
        return Accepted(workflow_id, stored=False)

    async def act(self, act: Act) -> Answer:
        """Send the act, and wait a moment for what the workflow records because of it."""
        message, kind = _message_of(act)
        receipt, digest = receipt_id(kind, self._login, act.message_id), _digest(message)
        if await self._received(receipt, digest):
            return replace(await self._answer(act, receipt, after=0), repeated=True)

        async def look() -> Answer | None:
            return (
                await self._answer(act, receipt, after=act.version) if await self._received(receipt, digest) else None
            )

        await self._sending.confirmed(message, timeout_seconds=CONFIRM_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                return await self._sending.watch(look)
        return Answer("sent", act.workflow_id, reason="it is on its way: look at the workflow for what becomes of it")

    async def _answer(self, act: Act, receipt: str, *, after: int) -> Answer:
        """What became of an act whose message was received: what it caused, or that it changed nothing."""
        answer = await self._look.answer(act.workflow_id, receipt, after=after)
        if answer is not None:
            return answer
        state = await self._look.workflow(act.workflow_id)
        return Answer("ignored", act.workflow_id, status=str(state.status), version=state.version)

    async def _received(self, receipt: str, digest: str) -> bool:
        known = await self._look.receipt(receipt)
        if known is not None and known != digest:
            raise KeyReused(_REUSED)
        return known is not None


def _message_of(act: Act) -> tuple[Outgoing, str]:
    """The message that carries an act, and the kind of its receipt."""
    if not isinstance(act.trigger, RecordDecision):
        control = bodies.control_of(act.workflow_id, act.trigger)
        return outgoing_control(control, message_id=act.message_id), "control"
    approval = bodies.Approval(workflow_id=act.workflow_id, **act.trigger.model_dump(exclude={"type"}))
    return outgoing_approval(approval, message_id=act.message_id, definition=act.definition), "approval"


def _digest(message: Outgoing) -> str:
    """The digest under which the receiver keeps the message."""
    return digest_of(json.loads(message.body))
