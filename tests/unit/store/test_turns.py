"""Turns: what is at hand goes together, each answer comes after its save, and nobody waits for nothing."""

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from functools import partial

import pytest

from domain.errors import StoreUnavailable, WorkflowUnknown
from domain.ports import Decided, Request
from domain.state import State
from domain.store.aside import AT_ONCE, Sayings, StoreThreads
from domain.store.turns import Turns
from domain.triggers import Wake

AT = datetime(2024, 5, 1, tzinfo=UTC)


def request(name: str) -> Request:
    return Request(name, Wake(), AT, "test", "ann")


def decided(asked: Request) -> Decided:
    unknown = WorkflowUnknown(asked.workflow_id) if asked.workflow_id.startswith("unknown") else None
    return Decided(asked, State(asked.workflow_id), error=unknown)


class Store:
    """Notes its turns; `trouble` is raised instead, once."""

    def __init__(self) -> None:
        self.turns: list[list[str]] = []
        self.trouble: BaseException | None = None
        self.said: list[tuple[str, str]] = []

    def decide_turn(self, requests: Sequence[Request], sayings: Sayings = AT_ONCE) -> list[Decided]:
        self.turns.append([asked.workflow_id for asked in requests])
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        for asked in requests:
            sayings.say(partial(self.hear, asked.workflow_id))
        return [decided(asked) for asked in requests]

    def hear(self, name: str) -> None:
        self.said.append((name, threading.current_thread().name))


@pytest.fixture
def store() -> Store:
    return Store()


async def test_a_request_is_answered_with_its_own_decision(store: Store) -> None:
    turns = Turns(store)
    first, second = await asyncio.gather(turns.decide(request("a")), turns.decide(request("b")))
    assert (first.request.workflow_id, second.request.workflow_id) == ("a", "b")


async def test_what_is_at_hand_goes_together_in_its_order(store: Store) -> None:
    turns = Turns(store)
    await asyncio.gather(*[turns.decide(request(name)) for name in "abcab"])
    assert store.turns == [["a", "b", "c", "a", "b"]]


async def test_who_is_about_to_ask_is_waited_for(store: Store) -> None:
    """Tasks that were resumed together do not all ask within the same step of the loop."""
    turns = Turns(store)

    async def ask_after(name: str, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        await turns.decide(request(name))

    await asyncio.gather(*[ask_after(f"{steps}", steps) for steps in range(4)])
    assert store.turns == [["0", "1", "2", "3"]]


async def test_what_comes_meanwhile_is_the_next_turn(store: Store) -> None:
    turns = Turns(store)
    answer = turns.decide(request("a"))
    following: list[Awaitable[Decided]] = []
    asyncio.ensure_future(answer).add_done_callback(lambda _: following.append(turns.decide(request("b"))))
    await answer
    await asyncio.sleep(0)
    await turns.drained()
    assert store.turns == [["a"], ["b"]]
    assert (await following[0]).request.workflow_id == "b"


async def test_a_turn_is_bounded(store: Store) -> None:
    turns = Turns(store, limit=4)
    await asyncio.gather(*[turns.decide(request(f"{number}")) for number in range(10)])
    assert [len(turn) for turn in store.turns] == [4, 4, 2]
    assert [name for turn in store.turns for name in turn] == [f"{number}" for number in range(10)]


async def test_an_error_of_one_request_is_raised_to_who_asked(store: Store) -> None:
    turns = Turns(store)
    answers = await asyncio.gather(
        *[turns.decide(request(name)) for name in ("a", "unknown", "b")], return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Decided, WorkflowUnknown, Decided]


async def test_trouble_with_the_store_is_raised_to_all(store: Store) -> None:
    turns = Turns(store)
    store.trouble = StoreUnavailable("the disk is full")
    answers = await asyncio.gather(*[turns.decide(request(name)) for name in "ab"], return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    assert (await turns.decide(request("c"))).request.workflow_id == "c"


async def test_who_no_longer_waits_holds_up_nobody(store: Store) -> None:
    turns = Turns(store)
    gone = asyncio.ensure_future(turns.decide(request("a")))
    kept = turns.decide(request("b"))
    gone.cancel()
    assert (await kept).request.workflow_id == "b"
    assert store.turns == [["a", "b"]]


class Crash(BaseException):
    """Stands for the end of the process."""


async def test_the_end_of_the_process_is_not_swallowed(store: Store) -> None:
    turns = Turns(store)
    store.trouble = Crash()
    with pytest.raises(Crash):
        await turns.decide(request("a"))
    assert (await turns.decide(request("b"))).request.workflow_id == "b"


async def test_those_in_the_queue_are_let_go_when_the_loop_ends(store: Store) -> None:
    turns = Turns(store)
    answers = [asyncio.ensure_future(turns.decide(request(name))) for name in "ab"]
    await asyncio.sleep(0)
    for task in asyncio.all_tasks():
        if task.get_name() == "turns":
            task.cancel()
    await turns.drained()
    assert [answer.cancelled() for answer in answers] == [True, True]


async def test_a_turn_may_run_in_a_thread_and_is_told_of_on_the_loop(store: Store) -> None:
    threads = StoreThreads()
    turns = Turns(store, runner=threads.turns)
    answers = [turns.decide(request(name)) for name in "ab"]
    assert (await answers[0]).request.workflow_id == "a"
    assert store.said == [("a", "MainThread"), ("b", "MainThread")], "before anybody had an answer"
    assert store.turns == [["a", "b"]]
    threads.close()


async def test_nothing_under_way_is_drained_at_once(store: Store) -> None:
    turns = Turns(store)
    await turns.drained()
    turns.decide(request("a"))
    await turns.drained()
    assert store.turns == [["a"]]


class Meter:
    def __init__(self) -> None:
        self.turns: list[int] = []

    def turned(self, decisions: int, seconds: float) -> None:
        assert seconds >= 0
        self.turns.append(decisions)


async def test_who_counts_turns_hears_of_those_that_are_in_the_store(store: Store) -> None:
    turns, meter = Turns(store), Meter()
    turns.meter = meter
    await asyncio.gather(
        turns.decide(request("a")), turns.decide(request("b")), turns.decide(request("unknown")), return_exceptions=True
    )
    store.trouble = StoreUnavailable("gone")
    for name in ("a", "unknown"):
        with pytest.raises((StoreUnavailable, WorkflowUnknown)):
            await turns.decide(request(name))
    assert (len(store.turns), meter.turns) == (3, [2])
