"""Python's garbage collector, tuned while a runtime is open.

A turn makes thousands of records that live for milliseconds and hold no cycles. By default the collector looks for
cycles after every 700 of them, which took a fifth of the time of a step; with these thresholds it takes a hundredth.
It is the whole process's, so it is put back when the runtime closes, unless somebody else has set it meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (10_000, 20, 20)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Have the collector run more seldom, where it runs as often as it does by default."""
    before = gc.get_threshold()
    if not 0 < before[0] < THRESHOLDS[0]:
        yield
        return
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        if gc.get_threshold() == THRESHOLDS:
            gc.set_threshold(*before)
