"""Keeps this process's claims alive, and stops its attempts before a claim that it cannot renew runs out.

The claims of the attempts under way are renewed, and no others: a claim that nobody runs (its attempt was stopped, or
its answer was lost) is to lapse, whatever else the process does. A claim that is no longer among the renewed ones has
been lapsed by somebody: its attempt is stopped. When no renewal came through for a whole lease, less a margin, every
attempt is stopped: from then on another process may run the same steps.

The renewal also says which workflows have begun to stop, in whatever process that was decided: so an attempt hears of
it within a third of a lease.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from consumers.activities import ActivityRunner
from consumers.attempts import Stop
from consumers.claims import Claims, Renewed
from domain.errors import StoreError
from domain.ports import Aside
from domain.store.aside import inline

_log: Final = logging.getLogger("handrail.consumers")

MARGIN: Final = 0.2
"""Share of the lease that is kept as a margin between the stop of the attempts and the lease's end."""


class LeaseKeeper:
    """Renews at every third of a lease, as long as attempts are under way."""

    def __init__(self, claims: Claims, runner: ActivityRunner, *, aside: Aside = inline) -> None:
        """Nothing is renewed before `run`. `aside` asks the store."""
        self._claims = claims
        self._aside = aside
        self._runner = runner
        self._time = asyncio.get_running_loop().time
        self._renewed_at = self._time()
        self._told: set[tuple[str, bool]] = set()

    async def run(self) -> None:
        """Renew until cancelled; where that fails, try ten times as often."""
        every = self._claims.lease_seconds / 3
        while True:
            renewed = self._time() - self._renewed_at < every
            await asyncio.sleep(every if renewed else every / 10)
            await self.renew()

    async def renew(self) -> None:
        """Renew once; stop what is lost, or what soon might be."""
        # Taken before the statement: the lease that it grants runs from then at the earliest.
        now = self._time()
        running = {name for name, attempt in self._runner.running.items() if attempt.stop is not Stop.LOST}
        if not running:
            self._renewed_at = now
            return
        patience = self._renewed_at + self._claims.lease_seconds * (1 - MARGIN) - now
        # A store that hangs says nothing, and the leases end all the same.
        alarm = asyncio.get_running_loop().call_later(max(self._claims.lease_seconds / 30, patience), self._give_up)
        try:
            renewed = await self._aside(lambda: self._claims.renew(running))
        except StoreError as error:
            _log.warning("claims could not be renewed: %s", error)
            if patience <= 0:
                self._give_up()
            return
        finally:
            alarm.cancel()
        self._renewed_at = now
        self._tell_stopping(renewed)
        lost = {message_id for message_id in running - renewed.held if self._holds(message_id)}
        if lost:
            _log.warning("%s claims were lapsed by another process", len(lost))
            self._runner.lose(lost)

    def _give_up(self) -> None:
        """Stop every attempt: soon its claim may be another process's."""
        under_way = set(self._runner.running)
        if under_way:
            _log.warning("%s attempts are stopped: their claims could not be renewed in time", len(under_way))
        self._runner.lose(under_way)

    def _tell_stopping(self, renewed: Renewed) -> None:
        """Tell attempts, once, that their workflows are stopping: whoever decided that may be another process."""
        new = renewed.stopping.items() - self._told
        self._told = set(renewed.stopping.items())
        for message_id, forced in new:
            attempt = self._runner.running.get(message_id)
            if attempt is not None:
                self._runner.request_cancel(attempt.command.workflow_id, force=forced)

    def _holds(self, message_id: str) -> bool:
        """Whether an attempt still depends on its claim: one that was recorded does not."""
        attempt = self._runner.running.get(message_id)
        return attempt is not None and attempt.holds_room and not attempt.reported
