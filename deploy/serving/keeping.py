"""Keeping a role's loop running for as long as its process lives, whatever happens to it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from domain.backoff import Backoff
from domain.errors import StoreUnavailable

_log: Final = logging.getLogger("handrail.deploy")

RESTART_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Less than health remembers what somebody fell over: a loop that falls each time is never told to be well."""


async def kept_up(
    name: str,
    loop: Callable[[], Awaitable[None]],
    note: Callable[[str], None],
    *,
    chance: Callable[[], float] = random.random,
) -> None:
    """Run `loop` again whenever it ends, until cancelled; `note` hears what it fell over.

    A store that is away is told once, without a trace, and tried ever more seldom; anything else is a fault, and has
    its trace in the log each time.
    """
    pauses = Backoff(chance, first_seconds=RESTART_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
    said = ""
    now = asyncio.get_running_loop().time
    while True:
        began = now()
        pause = RESTART_SECONDS
        try:
            await loop()
        except StoreUnavailable as error:
            if now() - began > LONGEST_PAUSE_SECONDS:  # it had worked again
                said = ""
                pauses.succeeded()
            note(f"{name}: {error}")
            if str(error) != said:
                said = str(error)
                _log.warning(
                    "%s stopped, and begins again when the store is there: %s", name, said, extra={"role": name}
                )
            pause = pauses.failed()
        except Exception as error:  # noqa: BLE001 - a fault of one loop must not end the others
            _log.exception("%s stopped and begins again", name, extra={"role": name})
            note(f"{name}: {type(error).__name__}: {error}")
        await asyncio.sleep(pause)
