"""How long what a workflow is held by may take before it is called stuck: by definition, by activity type, by default.

An activity type that says how long its attempts and retries may take need not be told here as well: what is learnt from
it is the default for its steps, where nothing is set. What is set for an activity type goes before what is set for a
definition, and that before what is set for all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Final, Literal

from domain.activity_types import ActivityType

_DIGEST_BYTES: Final = 7


Name = Literal["consumer", "start", "lease", "retrying", "parked", "timer", "approval", "definition"]
_OF_ATTEMPTS: Final[tuple[Name, ...]] = ("consumer", "start", "lease", "parked")


@dataclass(frozen=True, slots=True)
class Limits:
    """One set of thresholds; None is said elsewhere."""

    consumer: timedelta | None = None
    """How long a command may lie in a queue that nobody consumes."""
    start: timedelta | None = None
    """How long a command may wait for its claim, where its queue is consumed."""
    lease: timedelta | None = None
    """How long a claim may stay past its lease before somebody lapses it."""
    retrying: timedelta | None = None
    """How long a step may fail and be tried again."""
    parked: timedelta | None = None
    """How long a command may stay with the relay because its queue takes none."""
    timer: timedelta | None = None
    """How long what has fallen due may stay undecided."""
    approval: timedelta | None = None
    """How long an approval without a deadline may wait."""
    definition: timedelta | None = None
    """How long a workflow may wait for a definition that nobody has loaded."""


SHIPPED: Final[Mapping[Name, timedelta]] = {
    "consumer": timedelta(seconds=30),
    "start": timedelta(minutes=5),
    "lease": timedelta(seconds=30),
    "retrying": timedelta(minutes=15),
    "parked": timedelta(seconds=30),
    "timer": timedelta(minutes=1),
    "approval": timedelta(hours=24),
    "definition": timedelta(minutes=1),
}
"""The shipped thresholds."""

LEARNT: Final[Mapping[Name, tuple[timedelta, timedelta]]] = {
    "start": (timedelta(minutes=1), timedelta(hours=1)),
    "retrying": (timedelta(minutes=5), timedelta(hours=24)),
}
"""The thresholds that every activity type says of itself, from the shortest to the longest that is believed."""

LAG: Final = timedelta(seconds=30)
"""How far the views may be behind the log before everything that they say is old."""


@dataclass(frozen=True)
class Thresholds:
    """All that was set, and what was learnt from activity types."""

    default: Limits = Limits()
    definitions: Mapping[str, Limits] = field(default_factory=dict)
    activities: Mapping[str, Limits] = field(default_factory=dict)
    learnt: Mapping[str, Limits] = field(default_factory=dict)

    @cached_property
    def _known(self) -> dict[tuple[Name, str, str], timedelta]:
        return {}

    def of(self, name: Name, definition: str, activity: str = "") -> timedelta:
        """The threshold of this name for a step of this activity type in this definition."""
        key = name, definition, activity
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    @property
    def digest(self) -> int:
        """One number for all of them, which is another one where any differs; as large as a column takes."""
        limits = {"default": {"": self.default}, "definitions": self.definitions, "activities": self.activities}
        limits["learnt"] = self.learnt
        said = {
            kind: {name: {one: str(getattr(found, one)) for one in SHIPPED} for name, found in group.items()}
            for kind, group in limits.items()
        }
        told = json.dumps([said, {name: str(limit) for name, limit in SHIPPED.items()}], sort_keys=True)
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:_DIGEST_BYTES])

    @cached_property
    def _first_known(self) -> dict[tuple[str, str], timedelta]:
        return {}

    def first_of_attempt(self, definition: str, activity: str) -> timedelta:
        """The shortest threshold that an attempt under way may meet."""
        key = definition, activity
        if key not in self._first_known:
            self._first_known[key] = min(self.of(name, definition, activity) for name in _OF_ATTEMPTS)
        return self._first_known[key]

    def _find(self, name: Name, definition: str, activity: str) -> timedelta:
        for limits in (
            self.activities.get(activity),
            self.definitions.get(definition),
            self.default,
            self.learnt.get(activity),
        ):
            found: timedelta | None = getattr(limits, name) if limits is not None else None
            if found is not None:
                return found
        return SHIPPED[name]


AT_ONCE: Final = Thresholds(default=Limits(**dict.fromkeys(SHIPPED, timedelta(0))))
"""For whoever folds rows and judges none: they are looked at as soon as somebody judges, who has thresholds of his own
and says by these when to look again."""


def learn(activity: ActivityType) -> Limits:
    """What an activity type says of itself.

    A command may wait for a tenth of the time that the step has in all. A step may be tried again for as long as the
    delays between half of its attempts last, and these attempts themselves.
    """
    retry = activity.retry
    (shortest_start, longest_start), (shortest, longest) = LEARNT["start"], LEARNT["retrying"]
    half = max(1, retry.max_attempts // 2)
    delay, waited = retry.initial_delay, timedelta(0)
    for _ in range(half):
        waited += min(delay, retry.maximum_delay)
        if waited > longest:
            break
        delay = min(delay * retry.multiplier, retry.maximum_delay)
    retrying = min(waited + half * activity.start_to_finish, longest)
    if retry.deadline is not None:
        retrying = min(retrying, retry.deadline / 2)
    return Limits(
        start=min(max(activity.schedule_to_finish / 10, shortest_start), longest_start),
        retrying=max(retrying, shortest),
    )
