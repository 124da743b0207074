"""Waiting for a store that is away when the process starts: it may be restarting, or be switched over.

Only what passes by itself is waited for (StoreAway). What somebody has to change, a password, a setting, a migration,
ends the process at once: it would say so for ever, and nobody would look.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from deploy.serving.ending import Ending
from domain.backoff import Backoff
from domain.errors import StoreAway
from domain.ports import Waiting

_log: Final = logging.getLogger("handrail.deploy")

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
"""How long after the store is back a process may still wait: all processes of a deployment share one store."""

Opened = TypeVar("Opened")


async def opened(open_it: Callable[[], Awaitable[Opened]], ending: Ending, waiting: Waiting) -> Opened | None:
    """What `open_it` gives as soon as the store is there; None where the process was asked to end before that.

    Raises whatever else than StoreAway `open_it` raises.
    """
    opening = asyncio.create_task(_patiently(open_it, waiting), name="opening the store")
    asked = asyncio.create_task(ending.asked.wait())
    try:
        await asyncio.wait([opening, asked], return_when=asyncio.FIRST_COMPLETED)
        return opening.result() if opening.done() else None
    finally:
        for task in (opening, asked):
            task.cancel()
        await asyncio.gather(opening, asked, return_exceptions=True)


async def _patiently(open_it: Callable[[], Awaitable[Opened]], waiting: Waiting) -> Opened:
    pauses = Backoff(random.random, first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
    said = ""
    while True:
        try:
            found = await open_it()
        except StoreAway as error:
            waiting("begin", error)
            if str(error) != said:  # once for each kind of trouble: a server may be down, then starting
                said = str(error)
                _log.warning("waiting for the store: %s", said)
            await asyncio.sleep(pauses.failed())
        else:
            if said:
                waiting("begin", None)
                _log.info("the store is there")
            return found
