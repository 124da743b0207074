"""How to reach the outside ledger: from the activities under test, and from the tests that look at it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from tests.crash.books import Books, Call
from tests.crash.ledger import When

PORT_VARIABLE = "HANDRAIL_CRASH_PORT"
WORLD_VARIABLE = "HANDRAIL_CRASH_WORLD"
LIMIT_SECONDS = 30.0


def line_of(world: str, do: str, more: dict[str, Any]) -> bytes:
    """A request as it goes over the wire."""
    return json.dumps({"world": world, "do": do, **more}).encode() + b"\n"


async def call(given: Call, world: str = "") -> dict[str, Any]:
    """One call of an async activity, in the world of its process or another; waits as long as the outside does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[PORT_VARIABLE]), limit=1024 * 1024)
    try:
        writer.write(line_of(world or os.environ[WORLD_VARIABLE], "call", {"call": given.model_dump()}))
        await writer.drain()
        return dict(json.loads(await reader.readline()))
    finally:
        writer.close()


def call_blocking(given: Call, world: str = "") -> dict[str, Any]:
    """One call of a plain activity."""
    outside = Outside(int(os.environ[PORT_VARIABLE]), world or os.environ[WORLD_VARIABLE])
    return outside.request("call", call=given.model_dump())


@dataclass(frozen=True)
class Outside:
    """The outside of one run, as the tests see it."""

    port: int
    world: str

    def request(self, do: str, **more: Any) -> dict[str, Any]:
        """Send one request; its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS) as connection:
            connection.sendall(line_of(self.world, do, more))
            with connection.makefile("rb") as answer:
                return dict(json.loads(answer.readline()))

    def environment(self) -> dict[str, str]:
        """What a process needs to find this outside."""
        return {PORT_VARIABLE: str(self.port), WORLD_VARIABLE: self.world}

    def books(self) -> Books:
        """All that happened."""
        return Books.from_json(self.request("look"))

    def copied(self, world: str) -> Outside:
        """The same outside once more, under another name."""
        self.request("copy", to=world)
        return Outside(self.port, world)

    def find_absent(self, workflow: str, name: str, of: str) -> None:
        """Write down that a person looked and found that the effect is not there."""
        found = Call(act="find_absent", workflow=workflow, name=name, key="a person", of=of)
        self.request("call", call=found.model_dump())

    def hold(self, number: int, when: When) -> None:
        """Hold the answer of the `number`th call from now."""
        self.request("hold", number=number, when=when)

    def until_held(self) -> None:
        """Return when that call is held."""
        self.request("held")

    def release(self) -> None:
        """Let the held call go on."""
        self.request("release")
