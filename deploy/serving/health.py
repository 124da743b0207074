"""Whether a serving process lives, and whether it is ready: what `/healthz` and `/readyz` answer.

Alive is a process whose event loop answers: nothing else, since what a restart cannot mend must not cause one. Ready is
one whose store, broker and roles can all do their work now; each part says what is wrong with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

Check = Callable[[], Awaitable[str]]
"""Says what is wrong, in words; nothing where all is well."""

CHECK_SECONDS: Final = 2.0
"""How long a check may take: one that hangs says that it does."""


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


async def _ask(check: Check) -> str:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"gave no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises is what is wrong
        return str(error) or type(error).__name__
