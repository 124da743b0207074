"""The arithmetic of the next attempt keeps its bounds for every policy and every failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.failures import RETRIED, FailureClass, make_failure
from domain.policies import RetryPolicy
from domain.retry import JITTER, delay_before, next_attempt

NOW = datetime(2030, 1, 1, tzinfo=UTC)

spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30))
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1_000),
    initial_delay=spans,
    maximum_delay=spans,
    multiplier=st.floats(1.0, 100.0),
    deadline=st.none() | st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30)),
)
tries = st.integers(1, 2_000)
seeds = st.text(max_size=40)


@given(policies, tries, seeds)
def test_a_delay_is_never_longer_than_the_maximum_nor_shorter_than_the_jitter_allows(
    policy: RetryPolicy, tried: int, seed: str
) -> None:
    delay = delay_before(policy, tried, seed)
    assert timedelta(0) <= delay <= policy.maximum_delay + timedelta(milliseconds=1)
    planned = policy.initial_delay.total_seconds() * policy.multiplier ** min(tried - 1, 64)
    shortest = min(planned, policy.maximum_delay.total_seconds()) * (1 - JITTER)
    assert delay.total_seconds() >= shortest - 0.001


@given(policies, tries, seeds)
def test_the_same_attempt_has_the_same_delay(policy: RetryPolicy, tried: int, seed: str) -> None:
    assert delay_before(policy, tried, seed) == delay_before(policy, tried, seed)


@given(
    policies,
    tries,
    seeds,
    st.sampled_from(sorted(FailureClass)),
    st.none() | st.floats(0, 1e300),
    spans,
)
def test_a_next_attempt_is_within_the_policy_and_no_earlier_than_told(
    policy: RetryPolicy, tried: int, seed: str, kind: FailureClass, told: float | None, since: timedelta
) -> None:
    failure = make_failure("any", kind, "no", retry_after_seconds=told)
    delay = next_attempt(policy, failure, tries=tried, at=NOW, first_scheduled_at=NOW - since, seed=seed)
    if delay is None:
        return
    assert kind in RETRIED
    assert tried < policy.max_attempts
    assert delay.total_seconds() >= min(told or 0.0, timedelta(days=366).total_seconds())
    assert policy.deadline is None or NOW + delay <= NOW - since + policy.deadline
