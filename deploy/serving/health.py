"""Whether a serving process lives, and whether it is ready: what `/healthz` and `/readyz` answer.

Alive is a process whose event loop answers: nothing else, since what a restart cannot mend must not cause one. Ready is
one whose store, broker and roles can all do their work now; each part says what is wrong with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

Check = Callable[[], Awaitable[str]]
"""Says what is wrong, in words; nothing where all is well."""

CHECK_SECONDS: Final = 2.0
"""How long a check may take: one that hangs says that it does."""
LATELY_SECONDS: Final = 10.0
"""How long a role that fell over counts as not well: longer than it takes to begin again, and fall again."""


@dataclass(slots=True)
class Health:
    """The checks of one process, by the name of the part that each is about."""

    checks: dict[str, Check] = field(default_factory=dict)
    draining: bool = False

    async def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Whether all is well, and what each part says: `ok`, or what is wrong."""
        if self.draining:
            return False, {"process": "is ending: it finishes what is under way and takes nothing new"}
        said = await asyncio.gather(*(_ask(check) for check in self.checks.values()))
        parts = {name: words or "ok" for name, words in zip(self.checks, said, strict=True)}
        return all(words == "ok" for words in parts.values()), parts


class Lately:
    """A check that says what somebody fell over last, until it has been well for LATELY_SECONDS since."""

    def __init__(self, time: Callable[[], float] = time.monotonic) -> None:
        """Nothing has happened yet. `time` gives seconds; only their difference counts."""
        self._time = time
        self._words = ""
        self._at = 0.0

    def note(self, trouble: str) -> None:
        """Somebody has fallen over this."""
        self._words = trouble
        self._at = self._time()

    async def __call__(self) -> str:
        """What it was, as long as that is not long ago."""
        return self._words if self._words and self._time() - self._at < LATELY_SECONDS else ""


async def _ask(check: Check) -> str:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"gave no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises is what is wrong
        return str(error) or type(error).__name__
