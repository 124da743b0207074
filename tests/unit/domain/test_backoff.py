"""Backoff with full jitter: a ceiling that doubles up to the longest, and any wait below it."""

import random

from domain.backoff import Backoff, ceiling_seconds


def test_the_ceiling_doubles_and_stops_at_the_longest() -> None:
    ceilings = [ceiling_seconds(number, first_seconds=0.5, longest_seconds=30.0) for number in range(1, 10)]
    assert ceilings == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert ceiling_seconds(10**6, first_seconds=0.5, longest_seconds=30.0) == 30.0


def test_a_wait_is_the_ceilings_share_that_chance_says_and_begins_anew_after_success() -> None:
    shares = iter([1.0, 0.0, 0.5, 1.0])
    backoff = Backoff(lambda: next(shares), 0.5, 30.0)
    assert [backoff.failed() for _ in range(3)] == [0.5, 0.0, 1.0]
    backoff.succeeded()
    assert backoff.failed() == 0.5


def test_many_that_fail_together_do_not_come_back_together() -> None:
    waits = [Backoff(random.Random(seed).random).failed() for seed in range(200)]
    assert len(set(waits)) == 200
    assert min(waits) < 0.05
    assert max(waits) > 0.45
