"""The outside ledger: a process of its own, to which the activities of the crash workflows call.

`python -m tests.crash.ledger FILE` listens on a free port of the loopback, prints it, and ends when its standard input
does, so that it never outlives the tests. Its state is in memory; every answer is first appended to FILE, for whoever
reads up on a failure. One request a connection, one line of JSON each way. Each run has books of its own, by the name
of its world.

A world may be told to hold the answer of its next call, before or after it takes effect: then whoever called can be
killed in the middle of the call. When the caller is gone the hold is over; a call held `before` never happened.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from tests.crash.books import Books, Call

When = Literal["before", "after"]


@dataclass
class Hold:
    """An answer to withhold: of the call that is the `number`th from now, before or after it takes effect."""

    number: int
    when: When
    engaged: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class World:
    """The outside of one run."""

    books: Books = field(default_factory=Books)
    hold: Hold | None = None


class Ledger:
    """Answers requests, world by world."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._worlds: dict[str, World] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            request = json.loads(await reader.readline())
            answer = await self._answer(request, reader)
            if answer is not None:
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, json.JSONDecodeError):
            # The caller was killed: an empty or half a request is none.
            pass
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any], reader: asyncio.StreamReader) -> dict[str, Any] | None:
        name = request["world"]
        world = self._worlds.setdefault(name, World())
        if request["do"] == "call":
            return await self._call(name, world, Call(**request["call"]), reader)
        if request["do"] == "copy":
            self._worlds[request["to"]] = World(copy.deepcopy(world.books))
        elif request["do"] == "hold":
            world.hold = Hold(request["number"], request["when"])
        elif request["do"] == "held" and world.hold is not None:
            await world.hold.engaged.wait()
        elif request["do"] == "release" and world.hold is not None:
            world.hold.released.set()
        return world.books.as_json()

    async def _call(self, name: str, world: World, call: Call, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        hold = world.hold
        if hold is not None:
            hold.number -= 1
        if hold is None or hold.number != 0:
            return await self._in_time(name, world, call, reader)
        answer = self._take(name, world, call) if hold.when == "after" else None
        hold.engaged.set()
        gone = asyncio.ensure_future(reader.read())
        released = asyncio.ensure_future(hold.released.wait())
        await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
        caller_gone = gone.done()
        for waiting in (gone, released):
            waiting.cancel()
        if caller_gone:
            return None
        return answer or self._take(name, world, call)

    async def _in_time(self, name: str, world: World, call: Call, reader: asyncio.StreamReader) -> dict[str, Any]:
        """Answer as slowly as the call says; whoever hangs up meanwhile has asked all the same."""
        if not call.takes_seconds:
            return self._take(name, world, call)
        gone = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait({gone}, timeout=call.takes_seconds / 2)
            answer = self._take(name, world, call)
            await asyncio.wait({gone}, timeout=call.takes_seconds / 2)
        finally:
            gone.cancel()
        return answer

    def _take(self, name: str, world: World, call: Call) -> dict[str, Any]:
        entry = world.books.take(call)
        self._file.write(json.dumps({"world": name, "word": entry.word, **call.model_dump()}) + "\n")
        self._file.flush()
        return {"word": "lost" if entry.lost else entry.word, "receipt": entry.receipt}


async def main(path: Path) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    with path.open("a", encoding="utf-8") as file:
        server = await asyncio.start_server(Ledger(file).serve, "127.0.0.1", 0, limit=16 * 1024 * 1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
