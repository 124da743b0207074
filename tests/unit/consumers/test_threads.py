"""A pool of daemon threads: what functions return and raise comes back to the loop, whatever it is."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from consumers.threads import Raised, ThreadPool


async def test_values_come_back_and_threads_are_used_again() -> None:
    pool = ThreadPool(2)
    names = {await pool.run(lambda: threading.current_thread().name) for _ in range(5)}
    assert names == {"handrail-activity-1"}
    assert pool.free == 2
    pool.close()


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(1), StopIteration(3), asyncio.CancelledError()], ids=repr
)
async def test_whatever_is_raised_comes_back_as_a_value(error: BaseException) -> None:
    def fail() -> None:
        raise error

    pool = ThreadPool(1)
    value = await pool.run(fail)
    assert isinstance(value, Raised)
    assert value.error is error
    pool.close()


async def test_calls_run_side_by_side_as_daemons_and_are_counted() -> None:
    pool, both = ThreadPool(2), threading.Barrier(3, timeout=10)
    calls: list[asyncio.Future[Any]] = [
        pool.run(lambda: (both.wait(), threading.current_thread().daemon)[1]) for _ in range(2)
    ]
    assert pool.free == 0
    await asyncio.to_thread(both.wait)
    assert await asyncio.gather(*calls) == [True, True]
    assert pool.free == 2
    pool.close()


async def test_a_call_nobody_waits_for_any_more_keeps_its_thread_until_it_returns() -> None:
    pool, go_on = ThreadPool(1), threading.Event()
    call = pool.run(lambda: go_on.wait(10))
    call.cancel()
    await asyncio.sleep(0)
    assert pool.free == 0
    go_on.set()
    async with asyncio.timeout(10):
        while pool.free == 0:  # noqa: ASYNC110 - the pool tells nobody that a thread is free
            await asyncio.sleep(0)
    assert await pool.run(lambda: 7) == 7
    pool.close()


async def test_context_variables_go_along() -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    word.set("said here")
    pool = ThreadPool(1)
    assert await pool.run(word.get) == "said here"
    pool.close()


def test_a_thread_survives_the_loop_that_asked() -> None:
    pool, go_on, before = ThreadPool(1), threading.Event(), set(threading.enumerate())

    async def leave() -> None:
        pool.run(lambda: go_on.wait(10))

    asyncio.run(leave())
    (thread,) = [one for one in threading.enumerate() if one not in before and one.name.startswith("handrail")]
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
