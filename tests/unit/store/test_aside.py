"""Threads of the store: work goes on beside the loop, and what a turn has to say is said on the loop, in order."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from domain.errors import StoreUnavailable
from domain.store.aside import AT_ONCE, OnLoop, StoreThreads, Threads, inline


def name_of_thread() -> str:
    return threading.current_thread().name


def fail() -> None:
    raise LookupError("no")


@pytest.fixture
def threads() -> Iterator[StoreThreads]:
    threads = StoreThreads(rooms=2)
    yield threads
    threads.close()


async def test_inline_runs_here_and_now() -> None:
    running = inline(name_of_thread)
    with pytest.raises(StopIteration, match="MainThread"):
        running.send(None)


async def test_turns_have_a_thread_of_their_own(threads: StoreThreads) -> None:
    assert {await threads.turns(name_of_thread) for _ in range(3)} == {"turns-0"}
    assert await threads.rooms(name_of_thread) == "rooms-0"


async def test_what_is_raised_is_raised_where_it_is_awaited(threads: StoreThreads) -> None:
    with pytest.raises(LookupError):
        await threads.rooms(fail)
    assert await threads.rooms(lambda: 7) == 7


async def test_work_that_hangs_holds_up_neither_the_loop_nor_other_rooms(threads: StoreThreads) -> None:
    go_on = threading.Event()
    hanging = asyncio.ensure_future(threads.rooms(go_on.wait))
    assert await threads.rooms(name_of_thread) in {"rooms-0", "rooms-1"}
    assert not hanging.done()
    go_on.set()
    assert await hanging


async def test_there_are_no_more_threads_than_said() -> None:
    threads = Threads("few", most=2)
    go_on = threading.Event()
    hanging = [asyncio.ensure_future(threads(go_on.wait)) for _ in range(5)]
    await asyncio.sleep(0)
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("few")]
    assert sorted(names) == ["few-0", "few-1"]
    go_on.set()
    assert all(await asyncio.gather(*hanging))
    threads.close()


async def test_who_no_longer_waits_leaves_the_work_to_its_end(threads: StoreThreads) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()
        done.set()

    waiting = asyncio.ensure_future(threads.turns(work))
    await threads.rooms(begun.wait)
    waiting.cancel()
    go_on.set()
    assert await threads.turns(done.is_set)


async def test_closed_threads_take_nothing() -> None:
    threads = Threads("closed")
    await threads(name_of_thread)
    threads.close()
    with pytest.raises(StoreUnavailable, match="is ending"):
        await threads(name_of_thread)


async def test_what_is_said_in_a_thread_is_said_on_the_loop_in_order(threads: StoreThreads) -> None:
    heard: list[tuple[int, str]] = []
    sayings = OnLoop(asyncio.get_running_loop())

    def hear(number: int) -> None:
        heard.append((number, name_of_thread()))

    def turn() -> list[tuple[int, str]]:
        for number in range(3):
            sayings.say(partial(hear, number))
        sayings.said()
        return list(heard)

    assert await threads.turns(turn) == [(number, "MainThread") for number in range(3)]


def test_nobody_waits_for_a_loop_that_has_ended() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    sayings = OnLoop(loop)
    sayings.say(fail)
    with pytest.raises(StoreUnavailable, match="is ending"):
        sayings.said()


def test_without_threads_it_is_said_at_once() -> None:
    heard: list[str] = []
    AT_ONCE.say(lambda: heard.append(name_of_thread()))
    AT_ONCE.said()
    assert heard == ["MainThread"]
