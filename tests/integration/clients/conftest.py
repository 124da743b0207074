"""A process that serves every role, on a virtual host and a database of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.loading import load
from deploy.migrations import MIGRATIONS
from deploy.roles import Role
from deploy.runtime import utc_now
from deploy.serving.ending import Ending
from deploy.serving.endpoint import Endpoint
from deploy.serving.health import Health
from deploy.serving.parts import Parts
from deploy.serving.process import ROLES, ServedProcess
from deploy.settings import Settings
from deploy.tokens import create_token
from domain.rights import approval_service, goal_service, runtime
from domain.store.migrations_postgres import migrate
from tests.integration.flows import ALL, World
from tests.servers.postgres import Database
from tests.servers.rabbitmq import Vhost
from tests.servers.wiring import login_as, wire


@dataclass
class Served:
    """Where the process is reached, by whom."""

    parts: Parts
    address: str
    shop: str
    """The broker's address for a service that may hand in goals and speak for persons."""
    desk: str
    """The broker's address for a service that may pass on decisions."""
    store: str

    def token(self, name: str, *roles: Role) -> str:
        text, _ = create_token(self.parts.store, name=name, roles=roles, created_by="administrator")
        return text


@dataclass
class Place:
    """A virtual host and a database, ready to be served; nobody serves them yet."""

    vhost: Vhost
    settings: Settings
    shop: str
    desk: str
    store: str

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Served]:
        """One process serves every role."""
        health, ending = Health(), Ending()
        endpoint = Endpoint(health, "127.0.0.1", 0, everything=True)
        parts = await Parts.open(self.settings, load((), ALL, examples=False), utc_now, health)
        async with endpoint.answering():
            running = asyncio.create_task(ServedProcess(parts, ROLES, endpoint=endpoint, ending=ending).run())
            try:
                yield Served(parts, endpoint.address, self.shop, self.desk, self.store)
            finally:
                ending.ask()
                ending.ask()
                await running
        await parts.close()


@pytest.fixture
def place(vhost: Vhost, database: Database, tmp_path: Path) -> Place:
    World.new()
    wire(vhost)
    migrate(database.url, MIGRATIONS)
    shop, desk = login_as(vhost, goal_service("shop")), login_as(vhost, approval_service("desk"))
    settings = Settings(
        store=SecretStr(database.url),
        broker=SecretStr(vhost.url_of(login_as(vhost, runtime("handrail")))),
        artifacts=tmp_path,
        vouching={shop.name: ["*"], desk.name: ["*"]},
        grace_seconds=1.0,
    )
    return Place(vhost, settings, vhost.url_of(shop), vhost.url_of(desk), database.url)


@pytest.fixture
async def served(place: Place) -> AsyncIterator[Served]:
    async with place.serving() as process:
        yield process
