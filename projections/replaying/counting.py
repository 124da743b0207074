"""Which of its kind an attempt is: a step's runs, its probes and its undoings share one row of numbers.

The number is what commands, logs and the outside world have; a reader counts how often a step ran, and how often its
undoing was tried, each for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from domain import events as e
from domain.ids import attempts_made
from domain.recorded import RecordedEvent

Key = tuple[str, str, int]
"""Step, kind and number of an attempt."""

Counts = Mapping[Key, int]
"""Which of its kind each attempt is whose number says otherwise."""

AS_NUMBERED: Final[Counts] = MappingProxyType({})

ASIDE: Final = ("compensate", "probe")
"""The kinds that take numbers of a step which it does not run under."""


def counts_of(events: Iterable[RecordedEvent]) -> Counts:
    """Which of its kind the attempts of a history are, those included that a retry is yet to make."""
    aside: Counter[tuple[str, str]] = Counter()
    counts: dict[Key, int] = {}
    for recorded in events:
        event = recorded.event
        if not isinstance(event, e.StepScheduled | e.RetryScheduled):
            continue
        scheduled = isinstance(event, e.StepScheduled)
        if event.kind in ASIDE:
            count = aside[event.step, event.kind] + 1
            if scheduled:
                aside[event.step, event.kind] = count
        else:
            # Not counted one by one: a fork begins with the numbers of its source.
            count = attempts_made(event.attempt) - sum(aside[event.step, kind] for kind in ASIDE)
        if count != attempts_made(event.attempt):
            counts[event.step, event.kind, event.attempt] = count
    return counts


def aside_of(events: Iterable[RecordedEvent]) -> Counter[tuple[str, str]]:
    """How often each step was probed, and its undoing tried, by step and kind."""
    scheduled = (one.event for one in events if isinstance(one.event, e.StepScheduled))
    return Counter((event.step, event.kind) for event in scheduled if event.kind in ASIDE)


def count_of(counts: Counts, step: str, kind: str, attempt: int) -> int:
    """Which of its kind the attempt of this number is."""
    return counts.get((step, kind, attempt), attempts_made(attempt))
