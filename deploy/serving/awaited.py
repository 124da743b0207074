"""Definitions that workflows wait for: a process that lacks one has them say so, one that has it has them go on.

Several versions of a definition run side by side, and not every process has every one. A step command that came to a
process without its definition is acknowledged, and soon issued again for the others, a few times. Where nobody has
claimed it after a while, its workflow is to say what it waits for. That is no mark against those who have the
definition and were busy: they look for such workflows all the time, wake them, and have their commands issued at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Final

from consumers.claims import Claims
from deploy.loading import LoadedDefinitions
from domain.ports import Aside
from domain.store.aside import inline
from producers.timers import Timer

_log: Final = logging.getLogger("handrail.deploy")

LOOK_SECONDS: Final = 5.0
"""How often a process looks for workflows that wait for what it has."""
OFFERS_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0)
"""When a command that came to a process without its definition is issued again, each time that it comes."""
MOST_REMEMBERED: Final = 20_000
"""Workflows whose commands it could not run that a process remembers; others speak up when those come again."""
_LONGEST_PATIENCE_SECONDS: Final = 3_600.0


@dataclass(slots=True)
class _Lacking:
    """What is known of a workflow whose commands this process cannot run; instants are of the monotonic clock."""

    patience_seconds: float
    say_at: float = inf
    offer_at: float = inf
    offers: int = 0


class AwaitedDefinitions:
    """One process's part in it. `missing` hears of workflows whose commands it cannot run; `run` runs beside it."""

    def __init__(
        self,
        *,
        claims: Claims,
        timer: Timer,
        definitions: LoadedDefinitions,
        patience_seconds: float,
        time: Callable[[], float] = monotonic,
        aside: Aside = inline,
    ) -> None:
        """`patience_seconds` is how long others may take to claim what this process cannot run."""
        self._claims = claims
        self._timer = timer
        self._known = [f"{one.name} {one.version}" for one in definitions]
        self._patience_seconds = patience_seconds
        self._time = time
        self._aside = aside
        self._lacking: dict[str, _Lacking] = {}
        self._heard = asyncio.Event()

    def missing(self, workflow_ids: Collection[str]) -> None:
        """Commands of these came here, and their definition is not loaded here."""
        now = self._time()
        for workflow_id in workflow_ids:
            known = self._lacking.pop(workflow_id, None) or _Lacking(self._patience_seconds)
            known.say_at = min(known.say_at, now + known.patience_seconds)
            if known.offers < len(OFFERS_SECONDS):
                known.offer_at = min(known.offer_at, now + OFFERS_SECONDS[known.offers])
            self._lacking[workflow_id] = known
            if len(self._lacking) > MOST_REMEMBERED:
                del self._lacking[next(iter(self._lacking))]
        self._heard.set()

    async def run(self) -> None:
        """Look for both kinds, until cancelled. Raises StoreUnavailable."""
        look_at = self._time()
        while True:
            if look_at <= self._time():
                await self.go_on()
                look_at = self._time() + LOOK_SECONDS
            await self.offer()
            await self.say_so()
            await self._rest(look_at)

    async def go_on(self) -> int:
        """Wake the workflows that wait for a definition which is loaded here; how many. Raises StoreUnavailable."""
        found = await self._timer.wake_definitions(self._known)
        if found:
            _log.info("%s workflows waited for a definition that is loaded here", len(found))
            await self._aside(lambda: self._claims.make_due(found))
        return len(found)

    async def offer(self) -> int:
        """Have commands that came here issued again, for others to claim; of how many workflows."""
        now = self._time()
        over = [workflow_id for workflow_id, known in self._lacking.items() if known.offer_at <= now]
        for workflow_id in over:
            known = self._lacking[workflow_id]
            known.offer_at = inf
            known.offers += 1
        if over:
            await self._aside(lambda: self._claims.offer(over))
        return len(over)

    async def say_so(self) -> int:
        """Have workflows say what they wait for whose commands nobody came to claim; how many.

        Each further time takes twice as long: where others have the definition and are merely busy, the histories of
        their workflows are not to fill with it. Raises StoreUnavailable.
        """
        now = self._time()
        over = [workflow_id for workflow_id, known in self._lacking.items() if known.say_at <= now]
        if not over:
            return 0
        waiting = await self._aside(lambda: self._claims.with_open(over))
        await self._timer.wake(sorted(waiting), "definition missing")
        for workflow_id in over:
            known = self._lacking.pop(workflow_id)
            if workflow_id in waiting:
                patience = min(2 * known.patience_seconds, _LONGEST_PATIENCE_SECONDS)
                self._lacking[workflow_id] = _Lacking(patience)
        return len(waiting)

    async def _rest(self, look_at: float) -> None:
        """Until something falls due, something new is heard of, or it is time to look again."""
        self._heard.clear()
        earliest = min((min(known.say_at, known.offer_at) for known in self._lacking.values()), default=inf)
        seconds = max(0.0, min(look_at, earliest) - self._time())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), seconds)
