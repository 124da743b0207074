"""Work of a library that may hang, within a time limit that holds in any case.

It stands in producers/bounded.py too: these rooms do not import one another, and the domain below them knows no
asyncio. tests/house/test_twice.py holds the two the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_log: Final = logging.getLogger("handrail.consumers")
_aside: Final[set[asyncio.Future[Any]]] = set()

Value = TypeVar("Value")


def aside(work: Coroutine[Any, Any, Value]) -> asyncio.Task[Value]:
    """Run something whose end nobody needs to wait for."""
    task = asyncio.ensure_future(work)
    _aside.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Future[Any]) -> None:
    _aside.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.debug("left to itself: %s", task.exception())


async def within(seconds: float, work: Coroutine[Any, Any, Value]) -> Value:
    """The result of the work, or TimeoutError. Neither a timeout nor a cancellation waits for its clean-up.

    The AMQP library writes to the broker while it is cancelled, and that hangs where the connection does.
    """
    task = aside(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return task.result()


async def closed(seconds: float, work: Coroutine[Any, Any, object], cut: Callable[[], None]) -> None:
    """Close politely, then cut, and wait as long again for the end. The work is not cancelled, and may fail.

    The AMQP library, cancelled while it closes, waits for an end that nobody tells it of; an event loop that is to end
    then waits with it, for ever.
    """
    task = aside(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        cut()
    await asyncio.wait({task}, timeout=seconds)
