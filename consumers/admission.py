"""How many attempts a limit over all processes admits, and when the others may come: pure arithmetic.

Of the limit's row, the database's time and the counts of a turn. Promises:

- in any span of a rate's `per`, no more attempts begin than its `times`. What began is counted in slices of a fiftieth
  of `per`, and a slice counts until all of it is past, so that the rate is kept exactly and used to 98 % at least;
- never more under way than `at_once`;
- a breaker that is open admits nothing; once its time is over it admits one attempt at a time, whose outcome closes it
  or opens it anew;
- those who must wait are promised instants one after the other, as far apart as the limit can serve them, so that they
  never come back all together. A promise is no claim: whoever comes back is looked at again, before those that are new.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.limits import Limits

SLICES: Final = 50
UNLIMITED: Final = 2**31
FIRST_GUESS_SECONDS: Final = 1.0
"""How long an attempt is taken to last as long as none has ended."""
SHORTEST_SPACING_SECONDS: Final = 0.01
_HURRY: Final = 0.8
"""Promises under `at_once` come a little too early rather than too late: a free place costs more than a second look."""
_NEWEST_WEIGHS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit's row. `starts`: the end of a slice, as an instant, and how many attempts began in it.

    `outcomes` and `failures` are those since the breaker last looked; `open_until` is None while it is closed;
    `mean_seconds` is what an attempt lasts.
    """

    starts: tuple[tuple[float, int], ...] = ()
    outcomes: int = 0
    failures: int = 0
    open_until: float | None = None
    mean_seconds: float = FIRST_GUESS_SECONDS

    def encoded_starts(self) -> str:
        """The starts, as text for the row."""
        return json.dumps(self.starts)


def decoded_starts(text: str) -> tuple[tuple[float, int], ...]:
    """The starts from a row's text."""
    return tuple((float(end), int(count)) for end, count in json.loads(text))


def room(limits: Limits, standing: Standing, now: float, *, running: int) -> int:
    """How many attempts may begin now; `running` are under way."""
    left = UNLIMITED
    if limits.rate is not None:
        left = min(left, limits.rate.times - sum(count for _, count in _counting(limits, standing, now)))
    if limits.at_once is not None:
        left = min(left, limits.at_once - running)
    open_until = _open_until(limits, standing, now)
    if open_until is not None:
        left = min(left, 1 - running if now >= open_until else 0)
    return max(0, left)


def started(limits: Limits, standing: Standing, now: float, count: int) -> Standing:
    """The row after so many attempts have begun."""
    if limits.rate is None or not count:
        return standing
    width = limits.rate.per.total_seconds() / SLICES
    end = (now // width + 1) * width
    # Kept for longer than they count: the clock may step back.
    slices = {slice_end: begun for slice_end, begun in standing.starts if slice_end > now - 2 * SLICES * width}
    slices[end] = slices.get(end, 0) + count
    return replace(standing, starts=tuple(sorted(slices.items())))


def ended(
    limits: Limits, standing: Standing, now: float, *, outcomes: int, failures: int, seconds: float | None = None
) -> Standing:
    """The row after so many outcomes, `failures` of them such as pass; `seconds` is what the attempts lasted."""
    if seconds is not None:
        mean = standing.mean_seconds + _NEWEST_WEIGHS * (max(0.0, seconds) - standing.mean_seconds)
        standing = replace(standing, mean_seconds=mean)
    breaker = limits.breaker
    if breaker is None or not outcomes:
        return standing
    reopened = now + breaker.open_for.total_seconds()
    open_until = _open_until(limits, standing, now)
    if open_until is not None:
        if now < open_until:
            return standing  # begun before it opened: they say nothing new
        return replace(standing, outcomes=0, failures=0, open_until=reopened if failures else None)
    outcomes, failures = standing.outcomes + outcomes, standing.failures + failures
    if outcomes < breaker.over:
        return replace(standing, outcomes=outcomes, failures=failures)
    is_bad = failures >= breaker.share * outcomes
    return replace(standing, outcomes=0, failures=0, open_until=reopened if is_bad else None)


def promises(limits: Limits, standing: Standing, now: float, *, after: float | None, count: int) -> Sequence[float]:
    """Instants for those who must wait, behind the last one that was promised so far (`after`)."""
    spacing = SHORTEST_SPACING_SECONDS
    if limits.rate is not None:
        spacing = max(spacing, limits.rate.per.total_seconds() / limits.rate.times)
    if limits.at_once is not None:
        spacing = max(spacing, _HURRY * standing.mean_seconds / limits.at_once)
    first = max(now, after or now, _open_until(limits, standing, now) or now)
    return [first + spacing * number for number in range(1, count + 1)]


def _counting(limits: Limits, standing: Standing, now: float) -> list[tuple[float, int]]:
    """The slices that count now. What lies further ahead than a clock steps back was written by one that was wrong."""
    if limits.rate is None:
        return []
    per = limits.rate.per.total_seconds()
    return [(end, count) for end, count in standing.starts if now - per < end <= now + per + per / SLICES]


def _open_until(limits: Limits, standing: Standing, now: float) -> float | None:
    if limits.breaker is None or standing.open_until is None:
        return None
    return min(standing.open_until, now + limits.breaker.open_for.total_seconds())
