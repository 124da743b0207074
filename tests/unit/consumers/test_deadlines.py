"""Time-outs: near ones have a timer at once, others as soon as their attempt has lasted; each passes when it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from consumers.attempts import Stop
from consumers.deadlines import NEAR_SECONDS, Deadlines


class Loop:
    """As much of an event loop as timers need, with a clock that is set."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> object:
        self.timers.append((when, callback, arguments))
        return self.timers[-1]

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> object:
        return self.call_at(self.now + seconds, callback, *arguments)

    def pass_until(self, now: float) -> None:
        while due := sorted((timer for timer in self.timers if timer[0] <= now), key=lambda timer: timer[0])[:1]:
            self.timers.remove(due[0])
            self.now, callback, arguments = due[0]
            callback(*arguments)
        self.now = now


class Attempt:
    """The part of an attempt that time-outs look at."""

    def __init__(self) -> None:
        self.timer: object = None
        self.stop: Stop | None = None
        self.holds_room = True


def deadlines() -> tuple[Deadlines, Loop, list[Any]]:
    loop = Loop()
    passed: list[Any] = []
    return Deadlines(loop, passed.append), loop, passed  # type: ignore[arg-type]


def test_a_near_one_has_its_timer_at_once() -> None:
    timeouts, loop, passed = deadlines()
    attempt: Any = Attempt()
    timeouts.set(attempt, NEAR_SECONDS)
    assert attempt.timer is not None
    loop.pass_until(1_000 + NEAR_SECONDS)
    assert passed == [attempt]


def test_a_far_one_passes_when_it_should() -> None:
    timeouts, loop, passed = deadlines()
    attempt: Any = Attempt()
    timeouts.set(attempt, 60.0)
    assert attempt.timer is None
    loop.pass_until(1_059.99)
    assert attempt.timer is not None
    assert passed == []
    loop.pass_until(1_060.0)
    assert passed == [attempt]


def test_attempts_that_have_ended_or_were_told_to_stop_get_none() -> None:
    timeouts, loop, passed = deadlines()
    ended, stopped, lasting = (Attempt() for _ in range(3))
    for attempt in (ended, stopped, lasting):
        timeouts.set(attempt, 60.0)  # type: ignore[arg-type]
    assert len(loop.timers) == 1, "one timer looks for all of them"
    ended.holds_room = False
    stopped.stop = Stop.LOST
    loop.pass_until(2_000.0)
    assert passed == [lasting]
    assert ended.timer is None
    assert stopped.timer is None


def test_each_look_is_for_those_that_came_before_it() -> None:
    timeouts, loop, passed = deadlines()
    first, second = Attempt(), Attempt()
    timeouts.set(first, 60.0)  # type: ignore[arg-type]
    loop.pass_until(1_030.0)
    timeouts.set(second, 60.0)  # type: ignore[arg-type]
    loop.pass_until(1_060.0)
    assert passed == [first]
    loop.pass_until(1_090.0)
    assert passed == [first, second]
