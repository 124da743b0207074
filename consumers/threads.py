"""Threads for plain functions: a bounded number of daemon threads, handed one call at a time.

Daemons, because a thread cannot be killed: a function that never returns must keep neither the process from ending
nor the event loop from going on. A call that is given up keeps its thread until it returns by itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Call = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class ThreadPool:
    """At most `size` threads, started as they are needed."""

    def __init__(self, size: int) -> None:
        """Start none yet."""
        self._size = size
        self._threads = 0
        self._busy = 0
        self._calls: SimpleQueue[Call | None] = SimpleQueue()

    @property
    def free(self) -> int:
        """How many further calls would begin at once."""
        return self._size - self._busy

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call the function in a thread; the future has what it returned or raised, SystemExit included."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name=f"handrail-activity-{self._threads}", daemon=True).start()
        context = contextvars.copy_context()
        self._calls.put((lambda: context.run(function), future, loop))
        return future

    def close(self) -> None:
        """Let the threads end that have nothing to do."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future, loop = call
            result: Any = None
            error: BaseException | None = None
            try:
                result = function()
            except BaseException as caught:  # noqa: BLE001 - whatever it is, it is the activity's
                error = caught
            try:
                loop.call_soon_threadsafe(self._finish, future, result, error)
            except RuntimeError:
                # The loop was closed: nobody waits any more.
                return
            # Nothing of the call is kept while the thread waits for the next one.
            del call, function, future, loop, result, error

    def _finish(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._busy -= 1
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_result(Raised(error))


class Raised:
    """What a call raised, as a value: no future carries StopIteration, and a SystemExit in one would end the loop."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        """Keep the exception."""
        self.error = error
