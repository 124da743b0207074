"""Where blocking work of the store runs: inline, because calls of SQLite are shorter than handing them to a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def inline(work: Callable[[], Result], /) -> Result:
    """The port `Aside` on the event loop itself: the result of the work, or what it raised."""
    return work()
