"""How a serving process is asked to end: by SIGTERM, or Ctrl-C; a second one hurries it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


class Ending:
    """What the process was asked for. Made on the event loop that it is for."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()

    def ask(self) -> None:
        """Ask the process to end; a second time, to hurry."""
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()

    @contextlib.contextmanager
    def by_signals(self) -> Iterator[None]:
        """Have SIGTERM and SIGINT ask."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self.ask)
        try:
            yield
        finally:
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(one)
