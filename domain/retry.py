"""The arithmetic of the next attempt: bounded exponential backoff, with jitter derived from ids instead of chance."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from domain.errors import LONGEST_PATIENCE_SECONDS
from domain.failures import RETRIED, Failure
from domain.policies import RetryPolicy

JITTER: Final = 0.2
"""The delay is shortened by up to this share, so that steps that failed together do not come back together."""

LAPSES: Final = 10
"""How often a step's attempts may end without telling (a crash, a lost lease) before a person is asked."""

_LONGEST_EXPONENT: Final = 64


def delay_before(policy: RetryPolicy, tries: int, seed: str) -> timedelta:
    """How long to wait after the `tries`th attempt (1, 2 …) failed; `seed` names step and attempt.

    The same arguments give the same delay. Never longer than the policy's maximum.
    """
    exponent = min(max(tries, 1) - 1, _LONGEST_EXPONENT)
    seconds = policy.initial_delay.total_seconds() * policy.multiplier**exponent
    seconds = min(seconds, policy.maximum_delay.total_seconds())
    fraction = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]) / 2**32
    return timedelta(seconds=round(seconds * (1 - JITTER * fraction), 3))


def next_attempt(
    policy: RetryPolicy,
    failure: Failure,
    *,
    tries: int,
    at: datetime,
    first_scheduled_at: datetime,
    seed: str,
) -> timedelta | None:
    """The delay before the next attempt, or None where the policy allows no further one.

    Only failures of a class in RETRIED are tried again; `retry_after_seconds` is a lower bound; an attempt that would
    begin after the policy's deadline is not made.
    """
    if failure.kind not in RETRIED:
        return None
    if tries >= policy.max_attempts:
        return None
    delay = delay_before(policy, tries, seed)
    if failure.retry_after_seconds is not None:
        delay = max(delay, timedelta(seconds=min(failure.retry_after_seconds, LONGEST_PATIENCE_SECONDS)))
    if policy.deadline is not None and at + delay > first_scheduled_at + policy.deadline:
        return None
    return delay
