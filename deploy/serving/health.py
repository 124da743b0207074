"""Whether a serving process lives, and whether it is ready: what `/healthz` and `/readyz` answer.

Alive is a process whose event loop answers: nothing else, since what a restart cannot mend must not cause one. Ready is
one whose store, broker and roles can all do their work now; each part says what is wrong with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from domain.errors import HandrailError
from domain.ports import Clock, Waiting

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
        checks = dict(self.checks)  # while they are asked, a process that begins may add further ones
        said = await asyncio.gather(*(_ask(check) for check in checks.values()))
        parts = {name: words or "ok" for name, words in zip(checks, said, strict=True)}
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


class Waits:
    """A check that says which role waits, since when, to do what, and what keeps it from it."""

    def __init__(self, clock: Clock) -> None:
        """Nobody waits."""
        self._clock = clock
        self._waits: dict[tuple[str, str], tuple[datetime, str]] = {}

    @contextlib.contextmanager
    def of(self, role: str) -> Iterator[Waiting]:
        """Where a role tells of its waits. One that ends, or is another process's now, waits for nothing any more."""

        def hear(doing: str, trouble: HandrailError | None, /) -> None:
            if trouble is None:
                self._waits.pop((role, doing), None)
            else:
                since, _ = self._waits.get((role, doing)) or (self._clock(), "")
                self._waits[role, doing] = since, str(trouble)

        try:
            yield hear
        finally:
            for key in [key for key in self._waits if key[0] == role]:
                del self._waits[key]

    async def __call__(self) -> str:
        """All who wait; nothing where nobody does."""
        return "; ".join(
            f"{role} waits since {since:%Y-%m-%dT%H:%M:%SZ} to {doing}: {trouble}"
            for (role, doing), (since, trouble) in self._waits.items()
        )


async def _ask(check: Check) -> str:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"gave no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises is what is wrong
        return str(error) or type(error).__name__
