"""Limits of an activity type over all processes, as an author declares them.

`concurrency` of an activity bounds its attempts within one process: what its machine can bear. `Limits` bound it over
all processes together: what the service that it calls can bear.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field, model_validator

from domain.ids import NAME_PATTERN
from domain.policies import Policy

MOST_STARTS: Final = 1_000_000
LONGEST: Final = timedelta(days=1)


class Rate(Policy):
    """In any span of `per`, at most `times` attempts begin."""

    times: int = Field(ge=1, le=MOST_STARTS)
    per: timedelta = Field(default=timedelta(seconds=1), gt=timedelta(0), le=LONGEST)


class Breaker(Policy):
    """Rests for `open_for` once `share` of `over` outcomes were failures that pass (transient, rate limited, timeout).

    Then one attempt at a time is made, until one shows whether the trouble is over.
    """

    share: float = Field(default=0.5, gt=0.0, le=1.0)
    over: int = Field(default=20, ge=1, le=10_000)
    open_for: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0), le=LONGEST)


class Limits(Policy):
    """What all processes together keep to: `at_once` attempts under way, a `rate` of beginnings, a `breaker`.

    Attempts that have to wait for it are deferred, not failed: they use up none of their retry policy's attempts.
    Activity types whose limits share a `name` share the limits; by default it is the activity's own.
    """

    name: str = Field(default="", pattern=f"^({NAME_PATTERN})?$")
    at_once: int | None = Field(default=None, ge=1, le=100_000)
    rate: Rate | None = None
    breaker: Breaker | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Limits:
        if self.at_once is None and self.rate is None and self.breaker is None:
            message = "limits nothing: give at_once, rate or breaker"
            raise ValueError(message)
        return self
