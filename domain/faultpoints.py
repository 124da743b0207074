"""Named fault points: places where a crash must lose nothing. Inert unless a test arms one.

Production code calls `reached("commit.before")` at every commit, publish, acknowledge and effect. `NAMES` lists all of
them; a house test finds the call sites and fails for one that is not listed, or not called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

NAMES: Final[tuple[str, ...]] = (
    "schema.before",
    "schema.after",
    "commit.before",
    "commit.after",
    "claim.before",
    "claim.after",
    "publish.before",
    "publish.after",
    "position.before",
    "position.after",
    "effect.before",
    "effect.after",
    "artifact.before",
    "artifact.after",
    "acknowledge.before",
    "acknowledge.after",
    "sweep.before",
    "sweep.after",
    "project.before",
    "project.after",
)


def _inert(name: str) -> None:
    """Do nothing: no test armed a point."""


_armed: list[Callable[[str], None]] = [_inert]


def reached(name: str) -> None:
    """Say that the point of this name was reached."""
    _armed[0](name)


def arm(action: Callable[[str], None] | None) -> None:
    """Call `action` at every point from now on; None disarms."""
    _armed[0] = action or _inert
