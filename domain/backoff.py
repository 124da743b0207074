"""How long to wait after a failure, with full jitter: any time between nothing and a ceiling that doubles.

Full jitter, because many processes lose the same broker at the same instant and must not come back at the same
instant. Chance is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_MOST_DOUBLINGS = 62


def ceiling_seconds(failures: int, *, first_seconds: float, longest_seconds: float) -> float:
    """The longest wait after this many failures in a row, the first being 1: it doubles with each."""
    doublings = min(max(0, failures - 1), _MOST_DOUBLINGS)
    return min(longest_seconds, first_seconds * 2.0**doublings)


@dataclass(slots=True)
class Backoff:
    """Counts failures in a row and says how long to wait after each; `chance` gives numbers from 0 to 1."""

    chance: Callable[[], float]
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    failures: int = 0

    def failed(self) -> float:
        """One more failure: the seconds to wait before the next try."""
        self.failures += 1
        ceiling = ceiling_seconds(self.failures, first_seconds=self.first_seconds, longest_seconds=self.longest_seconds)
        return self.chance() * ceiling

    def succeeded(self) -> None:
        """It works again: the next failure is a first one."""
        self.failures = 0
