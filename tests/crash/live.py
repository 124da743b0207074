"""Commands that are listened to while they run."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

from tests.crash.processes import Place
from tests.crash.starting import LIMIT_SECONDS, ROOT


async def started(place: Place, command: Sequence[str]) -> Process:
    """Start a command from nothing; the caller stops it."""
    arguments = ["-m", "deploy.cli.main", *place.arguments(*command)]
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=place.environment(), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def stop(process: Process) -> None:
    """End a process by its id, if it has not ended."""
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def until_said(stream: asyncio.StreamReader | None, words: str) -> None:
    """Return when a process has said these words on this stream of its own."""
    assert stream is not None
    said: list[str] = []
    async with asyncio.timeout(LIMIT_SECONDS):
        while words not in (line := (await stream.readline()).decode()):
            assert line, f"ended without a word of {words!r}: {said}"
            said.append(line)
