"""The example clients as processes, and what they leave on the broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika

from domain.transport import Delivery, Outgoing
from tests import wire
from tests.node_programs import ROOT, node, node_environment

CLIENTS = ROOT / "deploy" / "examples" / "clients"
LIMIT_SECONDS = 30.0


def command_of(program: str, *arguments: str) -> list[str]:
    """How a client is started: by Node or by this Python."""
    interpreter = node() if program.endswith(".js") else sys.executable
    return [interpreter, str(CLIENTS / program), *arguments]


async def run(program: str, *arguments: str, url: str, given: bytes = b"") -> tuple[int, str, str]:
    """A client run to its end: code, output and what it said beside."""
    process = await asyncio.create_subprocess_exec(
        *command_of(program, *arguments),
        env=node_environment(AMQP_URL=url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            out, errors = await process.communicate(given)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), errors.decode()


@dataclass
class Running:
    """A client that runs until it is told to end."""

    process: asyncio.subprocess.Process

    async def line(self) -> str:
        """The next line of its output."""
        stream = self.process.stdout
        assert stream is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            return (await stream.readline()).decode()

    async def says(self, words: str) -> None:
        """Wait until it says this beside its output."""
        stream = self.process.stderr
        assert stream is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            while words not in (said := (await stream.readline()).decode()):
                assert said, f"the client ended without saying {words!r}"

    async def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def running(program: str, *arguments: str, url: str) -> AsyncIterator[Running]:
    """A client that runs meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *command_of(program, *arguments),
        env=node_environment(AMQP_URL=url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()


class Mailbox:
    """What arrives in one queue, read and acknowledged as it comes."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()

    async def listen(self, channel: aio_pika.abc.AbstractChannel) -> None:
        queue = await channel.get_queue(self._queue, ensure=False)
        await queue.consume(self._take, no_ack=True)

    async def _take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        self._arrived.put_nowait(
            Delivery(
                queue=self._queue,
                body=message.body,
                message_id=message.message_id or "",
                type=message.type or "",
                user_id=message.user_id or "",
                app_id=message.app_id or "",
                correlation_id=message.correlation_id or "",
                content_type=message.content_type or "",
                exchange=message.exchange or "",
                routing_key=message.routing_key or "",
                headers=dict(message.headers),
                timestamp=message.timestamp,
            )
        )
        assert self._queue.startswith("handrail.dead") or message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT

    async def next(self) -> Delivery:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self._arrived.get()

    async def next_kept(self) -> Delivery:
        """The next message, held to the contract."""
        one = await self.next()
        keep(one)
        return one

    @property
    def empty(self) -> bool:
        return self._arrived.empty()


def keep(one: Delivery) -> None:
    """Hold what arrived to the contract that others are given."""
    sent = Outgoing(
        one.exchange,
        one.routing_key,
        one.message_id,
        one.type,
        one.body,
        one.correlation_id,
        {name: value for name, value in one.headers.items() if isinstance(value, str | int)},
    )
    wire.check(sent, user_id=one.user_id or None)
