"""The task that shows what the views come to: a few seconds after something has changed, and never else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from domain.errors import StoreError
from domain.ports import Aside
from domain.store.aside import inline
from projections.judging import Between
from projections.sql import Query
from projections.totals import Totals, ViewsNow, with_oldest

SHOW_SECONDS: Final = 5.0
"""How often what changed is shown at most."""
FIRST_LOOK_SECONDS: Final = 0.1
"""How soon it is looked again whether there is anything to show yet."""

_logger = logging.getLogger("handrail.projections")


class Showing:
    """Shows what the views come to, a few seconds after it has changed. One beside each projector."""

    def __init__(
        self,
        totals: Totals,
        query: Query,
        show: Callable[[ViewsNow], None],
        *,
        between: Between,
        aside: Aside = inline,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is shown before the keeper has begun; `between` keeps its other user out."""
        self._totals = totals
        self._query = query
        self._show = show
        self._between = between
        self._aside = aside
        self._pause = pause
        self._shown = 0

    async def run(self) -> None:
        """Show until cancelled. Trouble with the store is waited out; what was shown stays."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                _logger.warning("what the views come to is not shown for now: %s", error)
            await self._pause(SHOW_SECONDS if self._shown else FIRST_LOOK_SECONDS)

    async def look(self) -> bool:
        """Show what has changed; whether anything had. Raises StoreError."""
        if self._totals.changes == self._shown:
            return False
        changes, now = await self._between(self._copied)
        self._show(await self._aside(lambda: with_oldest(now, self._query)))
        self._shown = changes
        return True

    async def _copied(self) -> tuple[int, ViewsNow]:
        return self._totals.changes, self._totals.now()
