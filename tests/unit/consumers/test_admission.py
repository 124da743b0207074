"""The arithmetic of limits: never more than the rate, never more at once, a breaker that opens and closes."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumers.admission import (
    FIRST_GUESS_SECONDS,
    SHORTEST_SPACING_SECONDS,
    UNLIMITED,
    Standing,
    decoded_starts,
    ended,
    promises,
    room,
    started,
)
from domain.limits import Breaker, Limits, Rate

BEGINNING = 1_900_000_000.0

rates = st.builds(
    Rate,
    times=st.integers(1, 200),
    per=st.floats(0.01, 3_600).map(lambda seconds: timedelta(seconds=seconds)),
)


def limits_of(rate: Rate) -> Limits:
    return Limits(name="service", rate=rate)


# --- the rate -------------------------------------------------------------------------------------------------------


@given(
    rate=rates,
    turns=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 300), st.floats(0, 0.5)), min_size=1, max_size=60),
)
@example(rate=Rate(times=2), turns=[(0.0, 2, 0.0), (1.0, 1, 0.0), (0.0, 1, 0.5)])
def test_in_no_span_of_the_rate_do_more_attempts_begin(rate: Rate, turns: list[tuple[float, int, float]]) -> None:
    """Time goes on by shares of the span, and now and then back by a little, as after a failover."""
    limits, standing, now = limits_of(rate), Standing(), BEGINNING
    per = rate.per.total_seconds()
    begun: list[tuple[float, int]] = []
    for share, wanted, back in turns:
        now += share * per
        stamp = now - back * per
        admitted = min(wanted, room(limits, standing, stamp, running=0))
        standing = started(limits, standing, stamp, admitted)
        begun.append((stamp, admitted))
    for first, _ in begun:
        # A rounding error of the clock's own numbers is no second start.
        within = [count for at, count in begun if first <= at < first + per - 1e-6]
        assert sum(within) <= rate.times


@given(rates)
def test_a_rate_is_used_almost_whole(rate: Rate) -> None:
    limits, standing = limits_of(rate), Standing()
    per, looks = rate.per.total_seconds(), 400
    begun = 0
    for number in range(looks * 5):
        now = BEGINNING + number * per / looks
        admitted = room(limits, standing, now, running=0)
        standing = started(limits, standing, now, admitted)
        begun += admitted
    assert begun >= 4.8 * rate.times


def test_a_clock_that_is_set_back_far_does_not_stop_everything() -> None:
    limits = limits_of(Rate(times=2))
    standing = started(limits, Standing(), BEGINNING, 2)
    assert room(limits, standing, BEGINNING - 0.5, running=0) == 0
    assert room(limits, standing, BEGINNING - 3_600, running=0) == 2


def test_what_has_begun_is_written_and_read_back() -> None:
    limits = limits_of(Rate(times=7))
    standing = started(limits, started(limits, Standing(), BEGINNING, 2), BEGINNING + 0.3, 3)
    assert decoded_starts(standing.encoded_starts()) == standing.starts
    assert room(limits, standing, BEGINNING + 0.9, running=0) == 2
    assert room(limits, standing, BEGINNING + 1.1, running=0) == 4


# --- at once --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 100), st.integers(0, 200))
def test_never_more_at_once(at_once: int, running: int) -> None:
    left = room(Limits(at_once=at_once), Standing(), BEGINNING, running=running)
    assert left == max(0, at_once - running)


def test_the_tightest_limit_counts() -> None:
    limits = Limits(at_once=5, rate=Rate(times=3))
    assert room(limits, Standing(), BEGINNING, running=0) == 3
    assert room(limits, Standing(), BEGINNING, running=4) == 1
    assert room(Limits(breaker=Breaker()), Standing(), BEGINNING, running=99) == UNLIMITED


# --- the breaker ----------------------------------------------------------------------------------------------------

BREAKING = Limits(breaker=Breaker(share=0.5, over=10, open_for=timedelta(seconds=20)))


def test_it_opens_on_the_share_of_failures_and_admits_nothing_for_its_time() -> None:
    standing = ended(BREAKING, Standing(), BEGINNING, outcomes=9, failures=9)
    assert standing.open_until is None
    standing = ended(BREAKING, standing, BEGINNING, outcomes=1, failures=0)
    assert standing.open_until == BEGINNING + 20
    assert room(BREAKING, standing, BEGINNING + 19.9, running=0) == 0


def test_it_stays_closed_below_the_share_and_looks_again_at_the_next_ones() -> None:
    standing = ended(BREAKING, Standing(), BEGINNING, outcomes=10, failures=4)
    assert (standing.open_until, standing.outcomes, standing.failures) == (None, 0, 0)
    assert ended(BREAKING, standing, BEGINNING, outcomes=10, failures=5).open_until is not None


def test_after_its_time_one_attempt_at_a_time_shows_whether_it_is_over() -> None:
    opened = Standing(open_until=BEGINNING)
    assert room(BREAKING, opened, BEGINNING, running=0) == 1
    assert room(BREAKING, opened, BEGINNING, running=1) == 0
    closed = ended(BREAKING, opened, BEGINNING + 1, outcomes=1, failures=0)
    assert room(BREAKING, closed, BEGINNING + 1, running=0) == UNLIMITED
    again = ended(BREAKING, opened, BEGINNING + 1, outcomes=1, failures=1)
    assert room(BREAKING, again, BEGINNING + 20.9, running=0) == 0
    assert room(BREAKING, again, BEGINNING + 21, running=0) == 1


def test_attempts_that_began_before_it_opened_say_nothing_new() -> None:
    opened = ended(BREAKING, Standing(), BEGINNING, outcomes=10, failures=10)
    assert ended(BREAKING, opened, BEGINNING + 5, outcomes=8, failures=8) == opened
    assert ended(BREAKING, opened, BEGINNING + 5, outcomes=8, failures=0) == opened


def test_a_clock_that_is_set_back_does_not_keep_it_open() -> None:
    opened = Standing(open_until=BEGINNING + 3_600)
    assert promises(BREAKING, opened, BEGINNING, after=None, count=1)[0] < BEGINNING + 21


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1), st.floats(0, 30)), max_size=50))
def test_it_always_closes_once_the_trouble_is_over(turns: list[tuple[int, float, float]]) -> None:
    standing, now = Standing(), BEGINNING
    for outcomes, share, seconds in turns:
        now += seconds
        standing = ended(BREAKING, standing, now, outcomes=outcomes, failures=int(outcomes * share))
    for _ in range(22):
        now += 20
        assert room(BREAKING, standing, now, running=0) >= 1
        standing = ended(BREAKING, standing, now, outcomes=1, failures=0)
    assert standing.open_until is None


# --- promises -------------------------------------------------------------------------------------------------------


@given(
    st.builds(
        Limits,
        at_once=st.none() | st.integers(1, 50),
        rate=rates,
        breaker=st.none() | st.just(Breaker(open_for=timedelta(seconds=30))),
    ),
    st.none() | st.floats(-100, 1_000),
    st.none() | st.floats(-100, 100),
    st.integers(1, 300),
)
def test_those_who_wait_come_back_one_after_the_other(
    limits: Limits, after: float | None, open_for: float | None, count: int
) -> None:
    standing = Standing(open_until=None if open_for is None else BEGINNING + open_for)
    last = None if after is None else BEGINNING + after
    instants = promises(limits, standing, BEGINNING, after=last, count=count)
    rate = limits.rate or Rate(times=1)
    spacing = max(SHORTEST_SPACING_SECONDS, rate.per.total_seconds() / rate.times)
    first = max(BEGINNING, BEGINNING if last is None else last)
    assert instants[0] >= first + spacing - 1e-3
    assert all(later - earlier >= spacing - 1e-3 for earlier, later in itertools.pairwise(instants))
    if limits.breaker is not None and open_for is not None:
        assert instants[0] > BEGINNING + min(open_for, 30)


def test_promises_follow_what_attempts_last() -> None:
    limits = Limits(at_once=4)
    standing = Standing()
    for _ in range(100):
        standing = ended(limits, standing, BEGINNING, outcomes=1, failures=0, seconds=0.4)
    first, second = promises(limits, standing, BEGINNING, after=None, count=2)
    assert second - first == pytest.approx(0.08, rel=0.01)
    (only,) = promises(limits, Standing(), BEGINNING, after=None, count=1)
    assert only - BEGINNING == pytest.approx(0.8 * FIRST_GUESS_SECONDS / 4)


def test_limits_that_limit_nothing_are_a_mistake() -> None:
    with pytest.raises(ValidationError, match="limits nothing"):
        Limits(name="service")
