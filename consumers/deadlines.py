"""Time-outs of attempts, most of which end long before: the event loop gets a timer only for those that last.

A timer of the event loop costs as much to make and cancel as a fiftieth of a short step. So a time-out that is not
near is kept in a list first, and one timer for all of them looks, a moment later, which attempts are still under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from consumers.attempts import Attempt

NEAR_SECONDS: Final = 0.2
"""A time-out this near gets its timer at once."""
_LOOK_AFTER_SECONDS: Final = NEAR_SECONDS / 2


class Deadlines:
    """The time-outs of one process's attempts: `passed` is called with each that is under way when its time is up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[Attempt], None]) -> None:
        """Begin with none."""
        self._loop = loop
        self._passed = passed
        self._young: list[tuple[Attempt, float]] = []

    def set(self, attempt: Attempt, seconds: float) -> None:
        """Time an attempt out so many seconds from now; cancelling its timer, if it has one, takes that back."""
        at = self._loop.time() + seconds
        if seconds <= NEAR_SECONDS:
            attempt.timer = self._loop.call_at(at, self._passed, attempt)
            return
        if not self._young:
            self._loop.call_later(_LOOK_AFTER_SECONDS, self._look)
        self._young.append((attempt, at))

    def _look(self) -> None:
        """Give a timer to each attempt that is still under way, and has not been told to stop."""
        young, self._young = self._young, []
        for attempt, at in young:
            if attempt.holds_room and attempt.stop is None:
                attempt.timer = self._loop.call_at(at, self._passed, attempt)
