"""A runtime with the endpoint over it, and people with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.beginning import GoalBeginning
from deploy.http.app import make_app
from deploy.http.desk_remote import RemoteDesk
from deploy.http.home import HomeHealth, app_of
from deploy.roles import Role
from deploy.sending import Sending
from deploy.tokens import Bearer, create_token, find_bearer
from domain.state import State
from domain.store.aside import inline
from handrail import ApprovalPolicy, Definition, Runtime, Step
from tests.integration.flows import ALL, WORKS, World, ask, run, until
from tests.integration.http.loopback import LOGIN, Loopback

EYES = Definition(
    "eyes",
    steps=[Step("ask", ask), Step("then", WORKS[0])],
    approvals=[ApprovalPolicy(four_eyes=True, deadline=timedelta(days=3))],
)
"""The requester may not decide."""

COUNCIL = Definition(
    "council",
    steps=[Step("ask", ask), Step("then", WORKS[0])],
    approvals=[ApprovalPolicy(approvers=("ann", "bob", "cyd"), required=2)],
)
"""Two of three."""


@dataclass
class Endpoint:
    """The endpoint, asked by people who have tokens."""

    runtime: Runtime
    client: httpx.AsyncClient

    def token(self, name: str, *roles: Role | str) -> str:
        text, _ = create_token(
            self.runtime.store, name=name, roles=[Role(role) for role in roles], created_by="administrator"
        )
        return text

    def headers(self, name: str, *roles: Role | str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(name, *roles)}"}

    async def get(self, path: str, name: str = "vera", *roles: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, headers=self.headers(name, *(roles or ("viewer",))), **options)

    async def post(
        self, path: str, body: Any, name: str, *roles: str, key: str | None = None, **headers: str
    ) -> httpx.Response:
        sent = {**self.headers(name, *roles), **headers}
        if key is not None:
            sent["Idempotency-Key"] = key
        return await self.client.post(path, json=body, headers=sent)

    async def blocked(self, definition: Definition) -> State:
        """A workflow, asked for by alice, that waits for an approval and is listed."""
        state = await run(self.runtime, definition)
        await self.listed(state.workflow_id)
        return state

    async def listed(self, workflow_id: str) -> None:
        """Wait until the view has come as far as the workflow's block."""
        query = "SELECT waits FROM workflows WHERE workflow_id = ?"
        await until(lambda: ":approval" in str(self.runtime.store.query(query, (workflow_id,))))


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    World.new()
    async with Runtime(tmp_path / "home", definitions=[*ALL, EYES, COUNCIL], examples=False) as opened:
        yield opened


@pytest.fixture
async def loopback(runtime: Runtime) -> Loopback:
    return Loopback(runtime)


@pytest.fixture
def desk(runtime: Runtime, loopback: Loopback) -> RemoteDesk:
    """A desk that sends messages."""
    return RemoteDesk(
        runtime.store,
        loopback,
        login=LOGIN,
        aside=inline,
        beginning=GoalBeginning(runtime.definitions),
        sending=Sending(loopback, chance=lambda: 0.0, again_after_seconds=0.01),
    )


@pytest.fixture(params=["decides", "sends"])
async def endpoint(request: pytest.FixtureRequest, runtime: Runtime, desk: RemoteDesk) -> AsyncIterator[Endpoint]:
    """The endpoint, over a desk of either kind: what people see of them is the same."""
    if request.param == "decides":
        app = app_of(runtime)
    else:

        async def find(token: str) -> Bearer | None:
            return find_bearer(runtime.store, token)

        app = make_app(desk, find, HomeHealth(runtime), runtime.metrics)
    # What is not caught in the application is an error of the test, not an answer.
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        yield Endpoint(runtime, client)


def decision(state: State, word: str = "approve", **more: Any) -> tuple[str, dict[str, Any]]:
    """Where the workflow's open approval is decided, and the body that decides it."""
    (ballot,) = state.ballots.values()
    path = f"/workflows/{state.workflow_id}/approvals/{ballot.request.approval_id}"
    return path, {"decision": word, "digest": ballot.request.digest, **more}


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The problem that an answer is."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = response.json()
    assert content["type"] == f"urn:handrail:problem:{name}", content
    assert content["status"] == status
    assert content["detail"]
    return content
