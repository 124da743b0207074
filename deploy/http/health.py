"""Whether the process lives and is ready: for orchestrators, without a token. Says nothing about workflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Health(Protocol):
    """Knows whether the process can do its work."""

    async def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Whether all is well, and what each part says: `ok`, or what is wrong."""
        ...


class HealthRoutes:
    """`/healthz`: the event loop answers. `/readyz`: so do the parts that the work needs."""

    def __init__(self, health: Health) -> None:
        """`health` asks the parts."""
        self._health = health

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/healthz", self.alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
        ]

    async def alive(self, _: Request) -> Response:
        """Answer at all."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Say what is not ready, with 503."""
        ready, parts = await self._health.ready()
        content = {"status": "ok" if ready else "not ready", "parts": dict(parts)}
        return JSONResponse(content, status_code=200 if ready else 503)
