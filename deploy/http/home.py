"""The endpoint of a home: what `handrail run --http` serves beside the workflow that it runs."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp

from deploy.http.app import make_app
from deploy.http.desk_local import LocalDesk
from deploy.runtime import Runtime
from deploy.tokens import Bearer, find_bearer
from domain.errors import StoreError


class HomeHealth:
    """Whether a home can be read."""

    def __init__(self, runtime: Runtime) -> None:
        """The runtime is open for as long as this is asked."""
        self._runtime = runtime

    async def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Ask the store."""
        try:
            self._runtime.store.newest()
        except StoreError as error:
            return False, {"store": str(error)}
        return True, {"store": "ok"}


def app_of(runtime: Runtime) -> ASGIApp:
    """The application over a runtime; it decides directly."""

    async def find(token: str) -> Bearer | None:
        return find_bearer(runtime.store, token)

    return make_app(LocalDesk(runtime), find, HomeHealth(runtime), runtime.metrics)
