"""What Prometheus scrapes: without a token, and saying nothing about single workflows."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.http.health import Health


class Exposition(Protocol):
    """Knows what there is to tell of this process."""

    async def exposed(self, *, ready: bool) -> tuple[bytes, str]:
        """All of it in Prometheus's text format, and its content type."""
        ...


class MetricsRoutes:
    """`/metrics`."""

    def __init__(self, metrics: Exposition, health: Health) -> None:
        """`health` says whether the process is ready, which is told among the rest."""
        self._metrics = metrics
        self._health = health

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/metrics", self.tell, methods=["GET"])]

    async def tell(self, _: Request) -> Response:
        """Answer with whatever is known now, though store or broker are away."""
        ready, _parts = await self._health.ready()
        body, content_type = await self._metrics.exposed(ready=ready)
        return Response(body, media_type=content_type)
