"""The client for other services: goals and decisions sent as messages, sent again until the store has them.

    async with Client("amqps://shop@broker/handrail", "postgresql://reader@store/handrail") as client:
        workflow_id = await client.submit("vendor onboarding review", input={"vendor": "acme"})
        result = await client.result(workflow_id, timeout=3600)

A broker's confirm is not yet acceptance. With a store's address, or an endpoint's with a token, `submit` returns when
the workflow is in the store, and sends the same message again until then. Without either it can only return when the
broker has the message: `accepted` of what it returns says which it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pydantic import ValidationError

from deploy.http.desk import Answer
from deploy.lookout import Expected, HttpLookout, Lookout, StoreLookout, WorkflowResult
from deploy.sending import AGAIN_AFTER_SECONDS, Sending
from deploy.traces.asked import current_traceparent
from domain.chain import digest_of
from domain.errors import InputInvalid, NotAccepted, StoreUnavailable, WorkflowArchived, WorkflowUnknown
from domain.ids import receipt_id, workflow_id_from_message
from domain.messages import bodies
from domain.messages.bodies import Body
from domain.messages.writing import outgoing_approval, outgoing_goal
from domain.transport import Outgoing
from producers.publisher import AmqpPublisher

SUBMIT_SECONDS: Final = 300.0
DECIDE_SECONDS: Final = 60.0

_FIRST_LOOK_SECONDS: Final = 0.05
_LONGEST_LOOK_SECONDS: Final = 2.0

AnyBody = TypeVar("AnyBody", bound=Body)
Found = TypeVar("Found")


class Submitted(str):
    """The id of the workflow that a goal starts.

    `accepted` says whether the workflow is in the store, or the broker alone has the goal; `message_id` is what the
    goal is to be sent under if it has to be sent again.
    """

    __slots__ = ("accepted", "message_id")

    accepted: bool
    message_id: str

    def __new__(cls, workflow_id: str, *, accepted: bool, message_id: str) -> Self:
        """An id that knows how safe it is."""
        made = super().__new__(cls, workflow_id)
        made.accepted = accepted
        made.message_id = message_id
        return made


class Client:
    """Another service's use of Handrail. Made with `async with`; for the event loop it was opened in."""

    def __init__(
        self,
        broker_url: str,
        store_url: str | None = None,
        *,
        http_url: str | None = None,
        token: str | None = None,
        name: str = "handrail client",
        again_after_seconds: float = AGAIN_AFTER_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`broker_url` names the login whose goals these are; `http_url` and `token` stand for a `store_url`.

        A message without effect is sent again after `again_after_seconds`, then after twice as long, and so on.
        Raises InputInvalid where an address is none.
        """
        if (http_url is None) != (token is None) or (http_url is not None and store_url is not None):
            raise InputInvalid("a client looks into the store (store_url), or over HTTP (http_url and token): choose")
        self._publisher = AmqpPublisher(broker_url, name=name)
        self._sending = Sending(
            self._publisher,
            chance=chance,
            again_after_seconds=again_after_seconds,
            why=lambda: self._publisher.health.detail,
        )
        self._store_url = store_url
        self._lookout: Lookout | None = None if http_url is None else HttpLookout(http_url, token or "")

    @property
    def login(self) -> str:
        """Whom the broker knows this client as."""
        return self._publisher.address.login

    async def __aenter__(self) -> Self:
        """Open the store, if there is one, and begin to connect to the broker. Raises StoreUnavailable."""
        if self._store_url is not None:
            self._lookout = await StoreLookout.open(self._store_url)
        await self._publisher.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was opened."""
        await self._publisher.close()
        if self._lookout is not None:
            await self._lookout.close()

    async def submit(
        self,
        goal: str,
        definition: str | None = None,
        input: Mapping[str, Any] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        deadline: datetime | None = None,
        requested_by: str | None = None,
        message_id: str | None = None,
        timeout: float = SUBMIT_SECONDS,  # noqa: ASYNC109 - the caller's word
    ) -> Submitted:
        """Hand in a goal: the id of its workflow. The same `message_id` again is the same workflow.

        `requested_by` is the person whom this service asks for, if it may vouch for persons. Raises InputInvalid,
        WorkflowConflict (the message id stands for another goal), BrokerUnfit, BrokerUnavailable (the broker did not
        take it in time) and NotAccepted (it did, but the store has no workflow yet); after the latter two it is safe
        to submit again under the message id that they name.
        """
        given = {
            "goal": goal,
            "definition": definition,
            "input": dict(input or {}),
            "tags": dict(tags or {}),
            "deadline": deadline,
            "requested_by": requested_by,
        }
        identity = message_id if message_id is not None else f"goal-{uuid.uuid4().hex}"
        goal_body = _body(bodies.Goal, given)
        message = outgoing_goal(goal_body, message_id=identity, traceparent=current_traceparent())
        workflow_id = workflow_id_from_message(self.login, identity)
        # As it went out: JSON knows no tuples, and what is looked at has come back from JSON.
        sent = json.loads(message.body)
        expected = self._expected("goal", message, workflow_id, {"goal": goal, "input": sent.get("input", {})})
        accepted = await self._send(message, expected, _accepting(self._lookout), timeout)
        return Submitted(workflow_id, accepted=accepted is not None, message_id=identity)

    async def approve(  # noqa: PLR0913 - what a decision quotes
        self,
        workflow_id: str,
        approval_id: str,
        *,
        digest: str,
        decided_by: str,
        reason: str = "",
        controls: Sequence[str] = (),
        definition: str | None = None,
        message_id: str | None = None,
        timeout: float = DECIDE_SECONDS,  # noqa: ASYNC109 - the same
    ) -> Answer:
        """Pass on a person's grant; `digest` is that of the action as the person saw it.

        Needs the right to vouch for persons. What becomes of it is seen with a store only; else the answer is `sent`.
        Without a lookout the `definition` has to be named. Raises as `submit` does.
        """
        given = {"decision": "approve", "digest": digest, "decided_by": decided_by, "reason": reason}
        return await self._decide(
            workflow_id, approval_id, {**given, "controls": tuple(controls)}, definition, message_id, timeout
        )

    async def reject(
        self,
        workflow_id: str,
        approval_id: str,
        *,
        digest: str,
        decided_by: str,
        reason: str,
        definition: str | None = None,
        message_id: str | None = None,
        timeout: float = DECIDE_SECONDS,  # noqa: ASYNC109 - the same
    ) -> Answer:
        """Pass on a person's rejection, as `approve` does."""
        given = {"decision": "reject", "digest": digest, "decided_by": decided_by, "reason": reason}
        return await self._decide(workflow_id, approval_id, given, definition, message_id, timeout)

    async def result(self, workflow_id: str, timeout: float | None = None) -> WorkflowResult:  # noqa: ASYNC109 - the same
        """The workflow's result, once it is over. Trouble with the store on the way is waited out.

        A workflow that the store does not have is waited for too: a goal that was not `accepted` may still be with the
        broker. Raises TimeoutError after `timeout` seconds; WorkflowUnknown where the store has not had it by then (by
        SUBMIT_SECONDS, where there is no `timeout`); and InputInvalid where this client cannot look.
        """
        lookout = self._needed()
        unknown: WorkflowUnknown | None = None

        async def look() -> WorkflowResult | None:
            nonlocal unknown
            try:
                found = await lookout.result(workflow_id)
            except WorkflowArchived:
                raise
            except WorkflowUnknown as error:
                unknown = error
                return None
            unknown = None
            # Once it is there, only the caller's own limit counts.
            limit.reschedule(ends_at)
            return found if found.ended else None

        now = asyncio.get_running_loop().time()
        ends_at = None if timeout is None else now + timeout
        try:
            async with asyncio.timeout_at(now + SUBMIT_SECONDS if ends_at is None else ends_at) as limit:
                return await _patiently(look)
        except TimeoutError:
            if unknown is not None:
                raise unknown from None
            raise

    async def status(self, workflow_id: str) -> WorkflowResult:
        """Where the workflow stands now. Raises WorkflowUnknown, StoreUnavailable, InputInvalid."""
        return await self._needed().result(workflow_id)

    # --- details ----------------------------------------------------------------------------------------------------

    async def _decide(
        self,
        workflow_id: str,
        approval_id: str,
        given: Mapping[str, Any],
        definition: str | None,
        message_id: str | None,
        timeout_seconds: float,
    ) -> Answer:
        _, _, number = approval_id.rpartition(".")
        if not (number.isascii() and number.isdigit()):
            raise InputInvalid(f"{approval_id[:80]!r} is no approval's id: it ends in its round, as in pay.1")
        fixed = {"workflow_id": workflow_id, "approval_id": approval_id, "round": int(number[:9])}
        body = _body(bodies.Approval, {**given, **fixed})
        if definition is None:
            definition = (await self.status(workflow_id)).definition
        identity = message_id if message_id is not None else f"approval-{uuid.uuid4().hex}"
        message = outgoing_approval(body, message_id=identity, definition=definition)
        expected = self._expected("approval", message, workflow_id)
        answer = await self._send(message, expected, _answering(self._lookout), timeout_seconds)
        return answer if answer is not None else Answer("sent", workflow_id)

    def _expected(
        self, kind: str, message: Outgoing, workflow_id: str, goal: Mapping[str, Any] | None = None
    ) -> Expected:
        receipt = receipt_id(kind, self.login, message.message_id)
        return Expected(workflow_id, receipt, digest_of(json.loads(message.body)), goal)

    async def _send(
        self,
        message: Outgoing,
        expected: Expected,
        look: Callable[[Expected], Awaitable[Found | None]] | None,
        timeout_seconds: float,
    ) -> Found | None:
        """What the lookout sees of a message; None where there is no lookout. Raises NotAccepted."""
        if look is None:
            await self._sending.confirmed(message, timeout_seconds=timeout_seconds)
            return None

        async def patient() -> Found | None:
            try:
                return await look(expected)
            except StoreUnavailable:  # it will be back; the message is sent again until then
                return None

        before = await patient()
        if before is not None:
            return before
        sent = await self._sending.until(message, patient, timeout_seconds=timeout_seconds)
        if sent.found is None:
            raise NotAccepted(
                f"the broker has message {message.message_id}, sent {sent.times} times, and the store shows nothing of "
                f"it after {timeout_seconds:g} s: `handrail dead show {message.message_id}` says whether it was "
                "refused and why, `handrail doctor` whether anybody takes it in; it may be sent "
                "again under this message id"
            )
        return sent.found

    def _needed(self) -> Lookout:
        if self._lookout is None:
            raise InputInvalid("this client cannot look: give it a store_url, or an http_url and a token")
        return self._lookout


def _accepting(lookout: Lookout | None) -> Callable[[Expected], Awaitable[bool | None]] | None:
    return None if lookout is None else lookout.accepted


def _answering(lookout: Lookout | None) -> Callable[[Expected], Awaitable[Answer | None]] | None:
    return None if lookout is None else lookout.answer


async def _patiently(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """Look at growing intervals until there is something; trouble with the store is no reason to stop."""
    pause = _FIRST_LOOK_SECONDS
    while True:
        with contextlib.suppress(StoreUnavailable):
            found = await look()
            if found is not None:
                return found
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_LOOK_SECONDS)


def _body(model: type[AnyBody], given: Mapping[str, Any]) -> AnyBody:
    """A body of what the caller gave; raises InputInvalid, naming the field."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the message"
        raise InputInvalid(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error


__all__ = ["Answer", "Client", "Submitted", "WorkflowResult"]
