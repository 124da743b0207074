"""Where blocking work of the store runs: inline, or in threads where the database is a server.

Inline for SQLite, whose calls are shorter than handing them to a thread. A server may be slow, far away, or hang: then
its statements wait in threads, and the event loop goes on. Turns have a thread of their own, because they follow one
another; the other rooms share a few, so that one statement which hangs does not hold up the renewal of a lease.

What a turn has to say to this process (events to followers, commands to begin) is said on the event loop, in the order
in which it became true: `OnLoop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from domain.errors import StoreUnavailable

Result = TypeVar("Result")

ROOMS_THREADS: Final = 3
"""Threads for the statements of everything but turns."""

_LOOK_SECONDS: Final = 0.5


async def inline(work: Callable[[], Result], /) -> Result:
    """The port `Aside` on the event loop itself: the result of the work, or what it raised."""
    return work()


class Threads:
    """The port `Aside` on threads of its own, made when they are needed; work begins in the order it came in."""

    def __init__(self, name: str, *, most: int = 1) -> None:
        """`most` is how many threads there are at most."""
        self._name = name
        self._most = most
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._outstanding = 0
        self._threads: list[threading.Thread] = []
        self._closed = False

    async def __call__(self, work: Callable[[], Result], /) -> Result:
        """The result of the work, or what it raised. Cancelling leaves what has begun to its end, and forgets it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        with self._guard:
            if self._closed:
                raise StoreUnavailable("this process is ending; run it again")
            self._outstanding += 1
            if len(self._threads) < min(self._outstanding, self._most):
                self._begin()
            self._work.put(_Work(work, loop, answer))
        return await answer

    def close(self) -> None:
        """End the threads after the work that they have; nothing more is taken. Does not wait."""
        with self._guard:
            self._closed = True
            for _ in self._threads:
                self._work.put(None)

    def _begin(self) -> None:
        # A daemon: a server that hangs is not to keep a process from ending.
        thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work.do()
            with self._guard:
                self._outstanding -= 1


class _Work:
    """Something to do, and where its result is awaited."""

    __slots__ = ("_answer", "_loop", "_work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any]) -> None:
        """Not begun."""
        self._work = work
        self._loop = loop
        self._answer = answer

    def do(self) -> None:
        """Do it, unless nobody waits for it any more; hand the result over on the loop."""
        if self._answer.cancelled():
            return
        result: Any = None
        failed: BaseException | None = None
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is whose who waits for the result
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            self._loop.call_soon_threadsafe(self._settle, result, failed)

    def _settle(self, result: Any, failed: BaseException | None) -> None:
        if self._answer.done():
            return
        if failed is not None:
            self._answer.set_exception(failed)
        else:
            self._answer.set_result(result)


class StoreThreads:
    """The threads of one store: `turns` for the decider, `rooms` for everything else."""

    def __init__(self, *, rooms: int = ROOMS_THREADS) -> None:
        """None is begun before there is work."""
        self.turns = Threads("turns")
        self.rooms = Threads("rooms", most=rooms)

    def close(self) -> None:
        """End them after the work that they have."""
        self.turns.close()
        self.rooms.close()


# --- saying things on the loop --------------------------------------------------------------------------------------


class Sayings(Protocol):
    """How a turn hands on what became true."""

    def say(self, saying: Callable[[], None]) -> None:
        """Have it said, behind what was to be said before."""
        ...

    def said(self) -> None:
        """Return when all of it was said."""
        ...


class AtOnce:
    """Says things where they are: for turns that are decided on the event loop."""

    def say(self, saying: Callable[[], None]) -> None:
        """Say it."""
        saying()

    def said(self) -> None:
        """It was."""


AT_ONCE: Final = AtOnce()


class OnLoop:
    """Says things on the event loop: for turns that are decided in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Made on the loop, used in the thread."""
        self._loop = loop

    def say(self, saying: Callable[[], None]) -> None:
        """Have it said at the loop's next turn."""
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens
            self._loop.call_soon_threadsafe(saying)

    def said(self) -> None:
        """Wait until the loop has come to it; raises StoreUnavailable where it never will."""
        told = threading.Event()
        self.say(told.set)
        while not told.wait(_LOOK_SECONDS):
            if not self._loop.is_running():
                raise StoreUnavailable("this process is ending; run it again")
