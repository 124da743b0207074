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
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Final

from consumers.claims import Claims
from deploy.loading import LoadedDefinitions
from deploy.serving.health import Waits
from domain.backoff import Backoff
from domain.errors import StoreError, StoreUnavailable
from domain.ids import parse_message_id
from domain.ports import Aside
from domain.store.aside import inline
from producers.timers import Timer

_log: Final = logging.getLogger("handrail.deploy")

LOOK_SECONDS: Final = 10.0
"""How often a process looks for workflows that wait for what it has."""
OFFERS_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0)
"""When a command that came to a process without its definition is issued again, each time that it comes."""
MOST_REMEMBERED: Final = 20_000
"""Commands that it could not run that a process remembers; others it hears of when those come again."""
_LONGEST_PATIENCE_SECONDS: Final = 3_600.0
ROLE: Final = "awaited definitions"
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 5.0
"""How long after the store is back this may still wait for it."""
_DOING: Final = "look for workflows that wait for a definition"


@dataclass(slots=True)
class _Lacking:
    """What is known of a workflow whose commands this process cannot run; instants are of the monotonic clock.

    The store is asked about the commands by their ids: by their workflow it would look at all that are open.
    """

    patience_seconds: float
    message_ids: set[str] = field(default_factory=set)
    say_at: float = inf
    offer_at: float = inf
    offers: int = 0


class AwaitedDefinitions:
    """One process's part in it. `missing` hears of commands that it cannot run; `run` runs beside it."""

    def __init__(
        self,
        *,
        claims: Claims,
        timer: Timer,
        definitions: LoadedDefinitions,
        patience_seconds: float,
        waits: Waits,
        time: Callable[[], float] = monotonic,
        chance: Callable[[], float] = random.random,
        aside: Aside = inline,
    ) -> None:
        """`patience_seconds` is how long others may take to claim what this process cannot run.

        `waits` hears when the store is waited for.
        """
        self._claims = claims
        self._timer = timer
        self._known = [f"{one.name} {one.version}" for one in definitions]
        self._patience_seconds = patience_seconds
        self._waits = waits
        self._time = time
        self._pauses = Backoff(chance, first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        self._aside = aside
        self._lacking: dict[str, _Lacking] = {}
        self._remembered = 0
        self._heard = asyncio.Event()

    def missing(self, message_ids: Iterable[str]) -> None:
        """These commands came here, and their workflows' definitions are not loaded here."""
        now = self._time()
        for message_id in message_ids:
            workflow_id = parse_message_id(message_id).workflow_id
            known = self._forget(workflow_id) or _Lacking(self._patience_seconds)
            known.say_at = min(known.say_at, now + known.patience_seconds)
            if known.offers < len(OFFERS_SECONDS):
                known.offer_at = min(known.offer_at, now + OFFERS_SECONDS[known.offers])
            known.message_ids.add(message_id)
            self._lacking[workflow_id] = known
            self._remembered += len(known.message_ids)
            while max(self._remembered, len(self._lacking)) > MOST_REMEMBERED:
                self._forget(next(iter(self._lacking)))
        self._heard.set()

    def _forget(self, workflow_id: str) -> _Lacking | None:
        """Take out what is known of a workflow; None where nothing is."""
        known = self._lacking.pop(workflow_id, None)
        if known is not None:
            self._remembered -= len(known.message_ids)
        return known

    async def run(self) -> None:
        """Look for both kinds, until cancelled; a store that is away is waited for."""
        look_at = self._time()
        said = ""
        with self._waits.of(ROLE) as waiting:
            while True:
                try:
                    if look_at <= self._time():
                        await self.go_on()
                        look_at = self._time() + LOOK_SECONDS
                    await self.offer()
                    await self.say_so()
                except StoreUnavailable as error:
                    waiting(_DOING, error)
                    if str(error) != said:  # once for each kind of trouble: a server may be down, then starting
                        said = str(error)
                        _log.warning("%s wait for the store: %s", ROLE, said, extra={"role": ROLE})
                    await asyncio.sleep(self._pauses.failed())
                    continue
                if said:
                    said = ""
                    waiting(_DOING, None)
                    self._pauses.succeeded()
                    _log.info("%s: the store is there", ROLE, extra={"role": ROLE})
                await self._rest(look_at)

    async def go_on(self) -> int:
        """Wake the workflows that wait for a definition which is loaded here; how many. Raises StoreUnavailable."""
        found = await self._timer.wake_definitions(self._known)
        if found:
            _log.info("%s workflows waited for a definition that is loaded here", len(found))
            await self._aside(lambda: self._claims.make_due(found))
        return len(found)

    async def offer(self) -> int:
        """Have commands that came here issued again, for others to claim; of how many workflows. Raises StoreError."""
        now = self._time()
        over = [known for known in self._lacking.values() if known.offer_at <= now]
        for known in over:
            known.offer_at = inf
            known.offers += 1
        if over:
            try:
                await self._aside(lambda: self._claims.give_back(_commands_of(over)))
            except StoreError:
                for known in over:
                    known.offer_at = now
                    known.offers -= 1
                raise
        return len(over)

    async def say_so(self) -> int:
        """Have workflows say what they wait for whose commands nobody came to claim; how many.

        Each further time takes twice as long: where others have the definition and are merely busy, the histories of
        their workflows are not to fill with it. Raises StoreUnavailable.
        """
        now = self._time()
        over = {workflow_id: known for workflow_id, known in self._lacking.items() if known.say_at <= now}
        if not over:
            return 0
        unclaimed = await self._aside(lambda: self._claims.open_among(_commands_of(over.values())))
        waiting = {parse_message_id(message_id).workflow_id for message_id in unclaimed}
        await self._timer.wake(sorted(waiting), "definition missing")
        for workflow_id, known in over.items():
            self._forget(workflow_id)
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


def _commands_of(known: Iterable[_Lacking]) -> list[str]:
    return [message_id for one in known for message_id in one.message_ids]
