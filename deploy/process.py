"""A process that is Handrail's own: how its event loop is made, and how its memory is looked after.

An application that embeds a runtime decides on both by itself. One that does little else should do the same: a step
costs a fifth less, since every step makes a few hundred values that are gone by the next.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import uvloop

Result = TypeVar("Result")

_VALUES_BETWEEN_COLLECTIONS: Final = 250_000
"""Our own steps leave nothing for the collector, so this bounds what authors' activities may leave: some 30 MB."""
_YOUNG_COLLECTIONS: Final = 20
_MIDDLE_COLLECTIONS: Final = 100


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end, on uvloop. What is in memory by then is never looked at for garbage again.

    What the libraries write of a connection that goes, Handrail says itself; HANDRAIL_DEBUG shows theirs too.
    """
    if not os.environ.get("HANDRAIL_DEBUG"):
        for library in ("aiormq", "aio_pika"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(_VALUES_BETWEEN_COLLECTIONS, _YOUNG_COLLECTIONS, _MIDDLE_COLLECTIONS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
