"""The application: routes put together over a desk, a gate and a health.

A router and nothing around it but `Wrapped`, so that there is one place where an error becomes an answer.
"""

from __future__ import annotations

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from deploy.http.approvals import Approvals
from deploy.http.auth import FindBearer, Gate
from deploy.http.desk import Desk
from deploy.http.goals import Goals
from deploy.http.health import Health, HealthRoutes
from deploy.http.metrics import Exposition, MetricsRoutes
from deploy.http.workflows import Workflows
from deploy.http.wrapping import REQUEST_SECONDS, Wrapped


def process_routes(health: Health, metrics: Exposition | None) -> list[Route]:
    """What is told of the process itself, to whoever asks."""
    return [*HealthRoutes(health).routes(), *(MetricsRoutes(metrics, health).routes() if metrics is not None else [])]


def make_app(
    desk: Desk,
    find_bearer: FindBearer,
    health: Health,
    metrics: Exposition | None = None,
    *,
    request_seconds: float = REQUEST_SECONDS,
) -> ASGIApp:
    """The endpoint as an ASGI application; without `metrics` it tells none."""
    gate = Gate(find_bearer)
    groups = (Approvals(desk, gate), Goals(desk, gate), Workflows(desk, gate))
    routes = [route for group in groups for route in group.routes()]
    router = Router(routes=[*routes, *process_routes(health, metrics)], redirect_slashes=False)
    return Wrapped(router, request_seconds=request_seconds)
