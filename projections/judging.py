"""The task that judges which workflows are stuck: looks at those that are due, every few seconds.

Who is due says an index, so a million workflows that are within their time cost nothing. What is found is written with
the tallies in one transaction, at the views' position: a second projector that writes at the same time loses, and one
that has nothing to write hears of it when it looks who is due the next time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar

from domain.errors import HandrailError, StoreError
from domain.ports import Aside
from domain.store.aside import inline
from projections.keeper import Keeper
from projections.rows import WorkflowRow
from projections.stuck import Facts, judge
from projections.thresholds import Thresholds

JUDGE_SECONDS: Final = 5.0
"""How often the workflows that are due are judged."""
JUDGED_AT_ONCE: Final = 500
"""Workflows judged in one transaction at most; between two of them the views are kept."""
ROUND_SECONDS: Final = 4.0
"""How long a round goes on at most; who is left is judged in the next one, the longest due first."""

_logger = logging.getLogger("handrail.projections")

Result = TypeVar("Result")


class FactsOf(Protocol):
    """Where the facts beside the views come from."""

    async def __call__(self, rows: Sequence[WorkflowRow]) -> Facts:
        """What is known of these workflows. Raises StoreError."""
        ...


class Between(Protocol):
    """Runs work on the keeper while nobody else uses it."""

    async def __call__(self, work: Callable[[], Awaitable[Result]], /) -> Result:
        """The result of the work."""
        ...


class Judging:
    """Judges what is due. One beside each projector."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        between: Between,
        facts_of: FactsOf,
        thresholds: Thresholds,
        now: Callable[[], datetime],
        aside: Aside = inline,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`between` keeps the keeper's other user out, `now` is the engine's clock, `seconds` goes only forward."""
        self._keeper = keeper
        self._between = between
        self._facts_of = facts_of
        self._thresholds = thresholds
        self._now = now
        self._aside = aside
        self._pause = pause
        self._seconds = seconds
        self._looked: str | None = ""
        """Up to which workflow all are looked at by these thresholds; None: all are."""
        self.judged_at: datetime | None = None
        """When it was last looked, by the engine's clock."""

    async def run(self) -> None:
        """Judge until cancelled. Trouble with the store is waited out."""
        while True:
            await self._pause(JUDGE_SECONDS)
            try:
                await self.look_sooner()
                await self.round()
                self.judged_at = self._now()
            except StoreError as error:
                _logger.warning("what is stuck is not looked at for now: %s", error)
            except HandrailError as error:
                _logger.warning("what is stuck could not be judged: %s", error)

    async def round(self) -> int:
        """Judge what is due now, within bounds; how many workflows."""
        if not self._keeper.beginnings:
            return 0
        done, until = 0, self._seconds() + ROUND_SECONDS
        while True:
            judged = await self._between(self._some)
            done += judged
            if judged < JUDGED_AT_ONCE or self._seconds() >= until:
                return done
            await self._pause(0)

    async def look_sooner(self) -> None:
        """Where the thresholds are not those of the last time, have open workflows looked at by these, within bounds.

        When to look at them was written by others, and may be days away.
        """
        if self._looked is None or not self._keeper.beginnings:
            return
        digest = self._thresholds.digest
        if not self._looked and await self._between(lambda: self._aside(self._keeper.judged_by)) == digest:
            self._looked = None
            return
        until = self._seconds() + ROUND_SECONDS
        while self._looked is not None and self._seconds() < until:
            self._looked = await self._between(self._some_sooner)
            await self._pause(0)
        if self._looked is None:
            await self._between(lambda: self._aside(lambda: self._keeper.note_judged_by(digest)))

    async def _some_sooner(self) -> str | None:
        after, now = self._looked or "", self._now()
        return await self._aside(lambda: self._keeper.look_sooner(after, now, JUDGED_AT_ONCE))

    async def _some(self) -> int:
        now = self._now()
        rows = await self._aside(lambda: self._keeper.to_judge(now, JUDGED_AT_ONCE))
        if not rows:
            return 0
        facts = await self._facts_of(rows)
        judgements = [(row, judge(row, facts, now, self._thresholds)) for row in rows]
        await self._aside(lambda: self._keeper.judged(judgements))
        return len(rows)
