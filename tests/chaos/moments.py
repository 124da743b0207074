"""Waiting for what comes next: an end that may be called at any time, or the moment."""

from __future__ import annotations

import asyncio
import contextlib


async def called_within(called: asyncio.Event, seconds: float) -> bool:
    """Whether the end was called before this time was over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await called.wait()
    return called.is_set()
