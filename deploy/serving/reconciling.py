"""Issuing again all that is outstanding: for a broker that has lost its queues, or may have.

The timer does the same by itself, slowly: here it is done at once, for an operator who knows. Whatever is still in a
queue is then there twice, which is harmless: the second one finds its row claimed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consumers.claims import Claims, OpenRow
from deploy.relaying import RelaySurroundings
from domain.errors import BrokerError, StoreError, StoreUnavailable
from domain.ports import Aside, CommandSender, Transactions
from domain.recorded import RecordedEvent
from domain.store.aside import inline
from producers.parked import Failed, Parked
from producers.relay import Announcer
from producers.reminders import PendingApproval, PendingApprovals

_log: Final = logging.getLogger("handrail.deploy")

PAGE: Final = 500
MOST_OUTSTANDING: Final = 1_000_000
"""Commands that one call issues at most; a further call goes on."""
LOOK_SECONDS: Final = 60.0
"""How often it is looked which approvals are to be asked for again."""
_FOREVER_SECONDS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How much was outstanding, and how much of it the broker has now."""

    commands: int
    commands_sent: int
    approvals: int
    approvals_sent: int
    parked: int
    """Events that wait to be carried on; the relay was told to try them at once."""


class Outstanding:
    """What is outstanding in a store: open commands, pending approvals, parked events."""

    def __init__(
        self,
        store: Transactions,
        *,
        claims: Claims,
        outside: RelaySurroundings,
        sender: CommandSender,
        announcer: Announcer,
        aside: Aside = inline,
    ) -> None:
        """Nothing is sent yet."""
        self._claims = claims
        self._outside = outside
        self._sender = sender
        self._announcer = announcer
        self._aside = aside
        self._approvals = PendingApprovals(store)
        self._parked = Parked(store)

    async def reconcile(self, *, dry_run: bool = False) -> Reconciled:
        """Issue every outstanding command and ask for every pending approval again; with `dry_run`, only count them.

        Raises BrokerError where there is no broker, and StoreUnavailable: then some have been sent.
        """
        open_rows, handed_over = await self._aside(self._outstanding)
        sent = 0
        if not dry_run:
            await self._outside.try_all()
            for rows in _pages(open_rows):
                sent += await self._send(rows, noted=True)
            for rows in _pages(handed_over):
                sent += await self._send(rows, noted=False)
        approvals, told = await self._ask_for_all(dry_run=dry_run)
        parked = len(await self._aside(lambda: self._parked.all(MOST_OUTSTANDING)))
        return Reconciled(len(open_rows) + len(handed_over), sent, approvals, told, parked)

    async def remind(self) -> None:
        """Ask again for approvals that have been waited for long, until cancelled: part of the timer's role."""
        while True:
            try:
                while due := await self._aside(lambda: self._approvals.due(PAGE)):
                    await self._tell(due)
            except (StoreUnavailable, BrokerError) as error:
                _log.warning("approvals are asked for again later: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    def _outstanding(self) -> tuple[list[OpenRow], list[OpenRow]]:
        return (
            self._claims.not_claimed(MOST_OUTSTANDING, horizon_seconds=_FOREVER_SECONDS),
            self._claims.handed_over(MOST_OUTSTANDING),
        )

    async def _send(self, rows: Sequence[OpenRow], *, noted: bool) -> int:
        commands, _ = await self._outside.commands_of(rows)
        not_sent = {one.message_id: one.reason for one in await self._sender.send(commands)}
        failed: list[Failed] = [
            (row.workflow_id, row.version, not_sent[row.message_id]) for row in rows if row.message_id in not_sent
        ]
        sent = [command.message_id for command in commands if command.message_id not in not_sent]
        await self._aside(lambda: self._note(sent if noted else (), failed))
        return len(sent)

    def _note(self, sent: Sequence[str], failed: Sequence[Failed]) -> None:
        if sent:
            self._claims.note_issued(sent)
        if failed:
            self._parked.keep(failed)

    async def _ask_for_all(self, *, dry_run: bool) -> tuple[int, int]:
        found = told = 0
        last = ("", "")
        while page := await self._page(last):
            found += len(page)
            last = (page[-1].workflow_id, page[-1].step)
            if not dry_run:
                told += await self._tell(page)
        return found, told

    async def _page(self, after: tuple[str, str]) -> list[PendingApproval]:
        return await self._aside(lambda: self._approvals.page(after, PAGE))

    async def _tell(self, approvals: Sequence[PendingApproval]) -> int:
        """Ask for these once more; how many could be told. Raises BrokerError."""
        events = await self._aside(lambda: self._events_of(approvals))
        unreadable = await self._outside.learn(self._outside.known.unknown(one.originator_id for one in events))
        for workflow_id, why in unreadable.items():
            _log.warning("approvals of %s cannot be asked for: %s", workflow_id, why)
        events = [one for one in events if one.originator_id not in unreadable]
        refused = await self._announcer.announce(
            [(recorded, self._outside.known.of(recorded.originator_id)) for recorded in events]
        )
        await self._aside(lambda: self._approvals.note_told(approvals))
        return len(events) - len(refused)

    def _events_of(self, approvals: Sequence[PendingApproval]) -> list[RecordedEvent]:
        events: list[RecordedEvent] = []
        for one in approvals:
            try:
                events.append(self._outside.event(one.workflow_id, one.version))
            except StoreUnavailable:
                raise
            except StoreError as error:
                _log.warning("approval of %s, step %s, cannot be asked for: %s", one.workflow_id, one.step, error)
        return events


def _pages(rows: Sequence[OpenRow]) -> list[Sequence[OpenRow]]:
    return [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)]
