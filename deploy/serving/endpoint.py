"""What a serving process answers over HTTP: health and metrics always, the approval endpoint where that is its role."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.routing import Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.beginning import GoalBeginning
from deploy.http.app import make_app, process_routes
from deploy.http.desk_remote import RemoteDesk
from deploy.http.metrics import Exposition
from deploy.http.problems import RETRY_AFTER_SECONDS, Problem
from deploy.http.server import address_of, listen, served
from deploy.http.wrapping import REQUEST_SECONDS, Wrapped
from deploy.serving.health import Health
from deploy.serving.parts import Parts
from deploy.tokens import Bearer, find_bearer


class Endpoint:
    """Where a process answers: about itself from the beginning, about everything else once it has its parts."""

    def __init__(
        self,
        health: Health,
        host: str,
        port: int | None,
        *,
        metrics: Exposition | None = None,
        everything: bool = False,
    ) -> None:
        """Listen at once; without a port, nowhere. `everything` says that more will be answered for than these two.

        Raises InputInvalid where nothing can listen there.
        """
        self._listening = listen(host, port) if port is not None else None
        routes = [*process_routes(health, metrics), *([Mount("/", _not_yet)] if everything else [])]
        self.app: ASGIApp = Wrapped(Router(routes=routes, redirect_slashes=False), request_seconds=REQUEST_SECONDS)
        """What answers now."""

    @property
    def address(self) -> str:
        """Where that is; nothing where it is nowhere."""
        return address_of(self._listening) if self._listening is not None else ""

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer for as long as the block runs, and to its end what was asked in it."""
        if self._listening is None:
            yield
            return
        async with served(self, self._listening):
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as it can be answered now."""
        await self.app(scope, receive, send)


async def _not_yet(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Problem(
        503,
        "store-unavailable",
        "the process waits for its store; ask again, with the same Idempotency-Key",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def application(parts: Parts, *, begins_goals: bool) -> ASGIApp:
    """The approval endpoint over the shared store and the broker.

    A process that `begins_goals` itself has the definitions for it, so that a goal that none fits is refused at once;
    any other sends whatever it is given to those that have them.
    """

    async def find(token: str) -> Bearer | None:
        return await parts.aside(lambda: find_bearer(parts.store, token))

    desk = RemoteDesk(
        parts.store,
        parts.sending,
        login=parts.publisher.address.login,
        aside=parts.aside,
        beginning=GoalBeginning(parts.definitions) if begins_goals else None,
    )
    return make_app(desk, find, parts.health, parts.metrics)
