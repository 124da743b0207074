"""Somebody else at a queue of ours: takes what comes, and acknowledges it or gives it back, until it leaves."""

import asyncio
import threading
from types import TracebackType
from typing import Self

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

LIMIT_SECONDS = 20.0


class Meddler:
    """A consumer on a connection of its own, in a thread of its own. `keeping`: what it takes is gone."""

    def __init__(self, url: str, queue: str, *, keeping: bool) -> None:
        self.taken: list[str] = []
        """Message ids, as they came."""
        self._url = url
        self._queue = queue
        self._keeping = keeping
        self._there = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._meddle()], daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._there.wait(LIMIT_SECONDS), f"nobody came to {self._queue}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Go, and give back what is not acknowledged."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(LIMIT_SECONDS)
            self._loop.close()

    async def _meddle(self) -> None:
        connection = await aio_pika.connect(self._url)
        try:
            channel = await connection.channel()
            queue = await channel.get_queue(self._queue, ensure=False)
            await queue.consume(self._take)
            self._there.set()
            await self._over.wait()
        finally:
            await connection.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self.taken.append(message.message_id or "")
        if self._keeping:
            await message.ack()
        else:
            await message.nack(requeue=True)
