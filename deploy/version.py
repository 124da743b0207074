"""Which versions of Handrail, and of what it stands on, are installed."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def version_of(distribution: str = "handrail") -> str:
    """As it was installed; `unknown` where it was not: run from its folder."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
