"""What a serving process answers over HTTP: health always, and the approval endpoint where it plays that role."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.routing import Router
from starlette.types import ASGIApp

from deploy.beginning import GoalBeginning
from deploy.http.app import make_app
from deploy.http.desk_remote import RemoteDesk
from deploy.http.health import HealthRoutes
from deploy.http.wrapping import REQUEST_SECONDS, Wrapped
from deploy.serving.health import Health
from deploy.serving.parts import Parts
from deploy.tokens import Bearer, find_bearer


def health_only(health: Health) -> ASGIApp:
    """`/healthz` and `/readyz`, and nothing else."""
    router = Router(routes=HealthRoutes(health).routes(), redirect_slashes=False)
    return Wrapped(router, request_seconds=REQUEST_SECONDS)


@contextlib.asynccontextmanager
async def application(parts: Parts, *, begins_goals: bool) -> AsyncIterator[ASGIApp]:
    """The approval endpoint over the shared store and the broker.

    A process that `begins_goals` itself has the definitions for it, so that a goal that none fits is refused at once;
    any other sends whatever it is given to those that have them.
    """

    async def find(token: str) -> Bearer | None:
        return await parts.aside(lambda: find_bearer(parts.store, token))

    desk = RemoteDesk(
        parts.store,
        parts.publisher,
        login=parts.publisher.address.login,
        aside=parts.aside,
        beginning=GoalBeginning(parts.definitions) if begins_goals else None,
    )
    yield make_app(desk, find, parts.health)
