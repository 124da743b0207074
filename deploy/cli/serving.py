"""`handrail run --http`: the endpoint of a home beside the workflow that a command drives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deploy.cli.exits import ExitCode
from deploy.cli.pending import Place
from deploy.cli.screen import Screen
from domain.errors import HandrailError

if TYPE_CHECKING:
    from deploy.runtime import Runtime


@contextlib.asynccontextmanager
async def endpoint(
    runtime: Runtime, screen: Screen, place: Place, *, host: str, port: int
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve for as long as the block runs, and say where; the task that serves. Raises InputInvalid."""
    from deploy.http.home import app_of
    from deploy.http.server import address_of, is_loopback, listen, served

    listening = listen(host, port)
    async with served(app_of(runtime), listening) as serving:
        screen.note(f"listening on {address_of(listening)}; a token for it:")
        makes_one = replace(place, modules=()).command("token", "new", "--name", "WHO", "--role", "approver")
        screen.note(f"    {makes_one}")
        if not is_loopback(listening):
            screen.note("other machines reach it, and tokens travel in the clear: put TLS in front of it", "yellow")
        yield serving


async def beside(serving: asyncio.Task[None], work: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Do the work, as long as the endpoint serves; raises HandrailError where that ends first."""
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            serving.result()
            raise HandrailError("the HTTP endpoint ended before the workflow did; run it again")
    finally:
        working.cancel()
        await asyncio.wait({working})
    return working.result()
