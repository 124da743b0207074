"""A runtime with the endpoint over it, and people with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.http.home import app_of
from deploy.roles import Role
from deploy.tokens import create_token
from domain.state import State
from handrail import ApprovalPolicy, Definition, Runtime, Step
from tests.integration.flows import ALL, WORKS, World, ask, run, until

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
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    World.new()
    async with Runtime(tmp_path / "home", definitions=[*ALL, EYES, COUNCIL], examples=False) as runtime:
        # What is not caught in the application is an error of the test, not an answer.
        transport = httpx.ASGITransport(app_of(runtime))
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
