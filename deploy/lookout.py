"""Where a client of another service looks for what became of its messages: in the store, or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, Self

import httpx

from deploy.http.desk import Answer
from deploy.http.looking import Look
from deploy.keyring import covers_of
from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA
from deploy.settings import load_settings
from domain.errors import (
    HandrailError,
    InputInvalid,
    Refused,
    StoreUnavailable,
    WorkflowArchived,
    WorkflowConflict,
    WorkflowUnknown,
)
from domain.recorded import RecordedEvent
from domain.state import PEOPLE_REASONS, State
from domain.store.application import WorkflowStore
from domain.store.aside import Threads
from domain.store.opening import open_postgres_store
from domain.store.tombstones import lacking, tombstones_of

HTTP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """Where a workflow stands. `ended` says whether it is over, `needs_person` whether somebody has to act."""

    workflow_id: str
    status: str
    ended: bool
    output: Any
    reason: str
    controls: tuple[str, ...]
    artifacts: tuple[Mapping[str, Any], ...]
    definition: str
    needs_person: bool

    @classmethod
    def of(cls, state: State) -> Self:
        """From a workflow's state."""
        return cls(
            state.workflow_id,
            str(state.status),
            state.ended is not None,
            state.output,
            state.ended_reason,
            tuple(state.controls),
            tuple(artifact.model_dump() for artifact in state.artifacts.values()),
            state.definition,
            state.paused or any(wait.reason in PEOPLE_REASONS for wait in state.waits.values()),
        )

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From what `GET /workflows/{id}` answers."""
        return cls(
            document["workflow_id"],
            document["status"],
            document["ended"],
            document["output"],
            document["reason"],
            tuple(document["controls"]),
            tuple(document["artifacts"]),
            document["definition"],
            document["status"] == "paused" or any(wait["needs_person"] for wait in document["waits"]),
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """A message that was sent: the workflow it is about, its receipt's id and digest, and a goal's own words."""

    workflow_id: str
    receipt: str
    digest: str
    goal: Mapping[str, Any] | None = None


def _opened(url: str) -> WorkflowStore:
    covers = covers_of(load_settings())
    return open_postgres_store(url, definitions=LoadedDefinitions(), schema=SCHEMA, covers=covers)


class Lookout(Protocol):
    """Sees what became of messages. Raises StoreUnavailable while it sees nothing."""

    async def accepted(self, goal: Expected) -> bool | None:
        """True when the goal's workflow is there, None while it is not; raises WorkflowConflict for another goal."""
        ...

    async def answer(self, act: Expected) -> Answer | None:
        """What became of a decision, None while nothing did; raises WorkflowConflict for another message."""
        ...

    async def result(self, workflow_id: str) -> WorkflowResult:
        """Where a workflow stands; raises WorkflowUnknown."""
        ...

    async def close(self) -> None:
        """Let go of what it looks through."""
        ...


class StoreLookout:
    """Looks into the store itself, in threads of its own."""

    def __init__(self, store: WorkflowStore, threads: Threads) -> None:
        """Both are this lookout's to close."""
        self._store = store
        self._threads = threads
        self._look = Look(store, threads)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the store at an address; raises StoreUnavailable or StoreNewer."""
        threads = Threads("client store", most=2)
        store = await threads(lambda: _opened(url))
        return cls(store, threads)

    async def accepted(self, goal: Expected) -> bool | None:
        """By the goal's receipt, which the transaction that starts the workflow inserts; it outlives the workflow.

        Raises WorkflowArchived where that was archived since.
        """
        if not await self._received(goal):
            return None
        if await self._threads(lambda: bool(tombstones_of(self._store.query, [goal.workflow_id]))):
            raise await self._threads(lambda: lacking(self._store.query, goal.workflow_id))
        return True

    async def answer(self, act: Expected) -> Answer | None:
        """By the events that the message caused."""
        if not await self._received(act):
            return None
        answer = await self._look.answer(act.workflow_id, act.receipt)
        if answer is not None:
            return answer
        state = await self._look.workflow(act.workflow_id)
        return Answer("ignored", act.workflow_id, status=str(state.status), version=state.version)

    async def result(self, workflow_id: str) -> WorkflowResult:
        """From the workflow's state."""
        return WorkflowResult.of(await self._look.workflow(workflow_id))

    async def state(self, workflow_id: str) -> State:
        """The newest state of a workflow; raises WorkflowUnknown."""
        return await self._look.workflow(workflow_id)

    async def events(self, workflow_id: str, after: int) -> list[RecordedEvent]:
        """A workflow's events behind a version."""
        return await self._look.events(workflow_id, after)

    async def close(self) -> None:
        """Close the store."""
        try:
            await self._threads(self._store.close)
        finally:
            self._threads.close()

    async def _received(self, message: Expected) -> bool:
        known = await self._look.receipt(message.receipt)
        if known is not None and known != message.digest:
            raise WorkflowConflict(
                "this message id was used before for a message with another body: take a new one for a new message"
            )
        return known is not None


class HttpLookout:
    """Looks over HTTP: only at workflows, with a token that may."""

    def __init__(self, url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`url` is where the endpoint is; raises InputInvalid where that is no address."""
        if not url.startswith(("http://", "https://")):
            raise InputInvalid("the endpoint's address begins with https:// (or http:// on this machine)")
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=HTTP_SECONDS,
            transport=transport,
            follow_redirects=False,
        )

    async def accepted(self, goal: Expected) -> bool | None:
        """By the workflow, which must have the same goal."""
        document = await self._get(goal.workflow_id)
        if document is None:
            return None
        for name, asked in (goal.goal or {}).items():
            if document.get(name) != asked:
                raise WorkflowConflict(f"this message id was used before for another {name}: take a new one")
        return True

    async def answer(self, act: Expected) -> Answer | None:
        """Not to be seen over HTTP: a decision's own answer is in the history."""
        del act
        return Answer("sent", "")

    async def result(self, workflow_id: str) -> WorkflowResult:
        """From `GET /workflows/{id}`."""
        document = await self._get(workflow_id)
        if document is None:
            raise WorkflowUnknown(f"there is no workflow {workflow_id!r}")
        return WorkflowResult.read(document)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _get(self, workflow_id: str) -> Mapping[str, Any] | None:
        try:
            answer = await self._client.get(f"/workflows/{workflow_id}")
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the endpoint does not answer: {type(error).__name__}") from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code == HTTPStatus.GONE:
            raise WorkflowArchived(f"workflow {workflow_id!r} is over, and was archived: its history is in a file")
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise Refused("the endpoint does not let this token look at workflows: make one with `handrail token new`")
        if answer.status_code != HTTPStatus.OK:
            raise StoreUnavailable(f"the endpoint answers {answer.status_code}")
        try:
            document: Mapping[str, Any] = answer.json()
        except ValueError as error:
            raise HandrailError("the endpoint's answer is no JSON: is it Handrail's?") from error
        return document
