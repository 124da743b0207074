"""What goes out of a store that many processes share: the relay on the broker, and what is issued again.

The relay here sends only commands that are still open and that nobody else has promised to send; whoever claimed one as
it was scheduled runs it. Attempts in other processes hear of a stopping workflow by their heartbeats.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from consumers.backlogs import Backlogs, Sorted
from consumers.claims import Claims, OpenRow
from consumers.inbox import InboxCompanion
from consumers.sweep import Reissued
from deploy.following import PatientFollower
from deploy.loading import LoadedDefinitions
from deploy.relaying import RelaySurroundings
from deploy.serving.reconciling import Outstanding
from domain.definitions import Definition
from domain.errors import BrokerError, StoreError
from domain.events import StoppingBegan
from domain.ports import Aside, Clock, Command, Decider, Waiting, unheard
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.positions import position_of
from domain.transport import Publisher
from producers.announcing import BrokerAnnouncer
from producers.commands import BrokerSender
from producers.parked import Parked
from producers.relay import RELAY, Relay
from producers.signals import Signals
from producers.straight import StraightSender

_log: Final = logging.getLogger("handrail.deploy")

REISSUED_A_SECOND: Final = 500.0
"""Commands issued again by itself at most: what comes by the relay goes before."""


class Outbound:
    """Puts the relay of a remote process together, and what the timer issues again.

    `relay` is the role of the one process that relays; `reissue` is the port `Reissue` of the sweep; `straight` is for
    the inbox of a process that decides, so that its commands need not wait for the relay; `outstanding` reconciles, and
    asks again for approvals: `outstanding.remind` is part of the timer's role. `missing` hears of commands,
    by their ids, that nobody claims in a queue which no definition loaded here declares.
    """

    def __init__(  # noqa: PLR0913 - what a process has of its store, and its way out
        self,
        *,
        store: WorkflowStore,
        decider: Decider,
        signals: Signals,
        claims: Claims,
        inbox: InboxCompanion,
        definitions: LoadedDefinitions,
        publisher: Publisher,
        clock: Clock,
        aside: Aside = inline,
    ) -> None:
        """Nothing is sent before `relay` or `reissue`; starting and closing the publisher is the caller's."""
        self._store = store
        self._decider = decider
        self._signals = signals
        self._claims = claims
        self._inbox = inbox
        self._clock = clock
        self._aside = aside
        self._parked = Parked(store)
        self._backlogs = Backlogs(store, claims)
        self._budget = Budget(REISSUED_A_SECOND)
        self._foreign = foreign_queues(definitions)
        self._queues = {one.queue for definition in definitions for one in definition.activities.values()}
        self.missing: Callable[[Collection[str]], None] = _nobody
        self.sender = BrokerSender(publisher, foreign=self._is_foreign, handed_over=self._hand_over)
        self.announcer = BrokerAnnouncer(publisher)
        self.straight = StraightSender(self.sender, self._give_back)
        self.outside = RelaySurroundings(
            store=store, definitions=definitions, wanted=self._wanted, stopping=_told_by_heartbeats, aside=aside
        )
        self.outstanding = Outstanding(
            store, claims=claims, outside=self.outside, sender=self.sender, announcer=self.announcer, aside=aside
        )

    async def relay(self, waiting: Waiting = unheard) -> None:
        """Relay until cancelled, and have `waiting` hear of waits; raises FenceMissed where another process relays."""
        await self.outside.try_all()
        follower = PatientFollower(self._store, await self._aside(self._position), waiting=waiting)
        relay = Relay(
            follower=follower,
            sender=self.sender,
            decider=self._decider,
            signals=self._signals,
            known=self.outside.known,
            outside=self.outside,
            clock=self._clock,
            announcer=self.announcer,
            waiting=waiting,
        )
        self._inbox.to_send = {}
        try:
            await relay.run()
        finally:
            self._inbox.to_send = None
            follower.close()
            try:
                await relay.write_position()
            except StoreError as error:
                _log.info("the relay's position stays behind: %s", error)

    async def reissue(self, rows: Sequence[OpenRow]) -> Reissued:
        """Send open commands again, except those that merely wait in a queue; none where there is no broker."""
        if strange := [row.message_id for row in rows if row.queue not in self._queues]:
            self.missing(strange)
        found = await self._aside(lambda: self._sorted(rows))
        issue = found.issue[: self._budget.take(len(found.issue))]
        issued = await self.issue(issue) if issue else []
        return Reissued(issued, [*found.hold, *found.ask_soon])

    async def issue(self, rows: Sequence[OpenRow]) -> list[str]:
        """Send these commands; those that need no look for a while: none where there is no broker."""
        commands, settled = await self.outside.commands_of(rows)
        try:
            not_sent = await self.sender.send(commands)
        except BrokerError as error:
            _log.warning("what nobody claimed is not issued again for now: %s", error)
            return settled
        if not_sent:
            rows_of = {row.message_id: row for row in rows}
            failed = [(rows_of[one.message_id], one.reason) for one in not_sent]
            await self._aside(
                lambda: self._parked.keep([(row.workflow_id, row.version, reason) for row, reason in failed])
            )
        # The relay tries what is parked; here it waits as long as the rest before it is looked at once more.
        return [*settled, *(command.message_id for command in commands)]

    def _sorted(self, rows: Sequence[OpenRow]) -> Sorted:
        found = self._backlogs.sort(rows)
        self._backlogs.hold(found)
        return found

    def _position(self) -> int:
        with self._store.reading() as cursor:
            return position_of(cursor, RELAY)

    async def _wanted(self, message_ids: Sequence[str]) -> Collection[str]:
        """What this process has scheduled itself it knows; the store is asked about the rest."""
        here = self._inbox.to_send or {}
        known = {message_id: here.pop(message_id) for message_id in message_ids if message_id in here}
        wanted = {message_id for message_id, to_send in known.items() if to_send}
        if strange := [message_id for message_id in message_ids if message_id not in known]:
            wanted.update(await self._aside(lambda: self._unsent_among(strange)))
        return wanted

    def _unsent_among(self, message_ids: Sequence[str]) -> Collection[str]:
        return self._inbox.unsent_among(self._store, message_ids)

    def _is_foreign(self, command: Command) -> bool:
        return command.queue in self._foreign

    async def _give_back(self, message_ids: Sequence[str]) -> None:
        await self._aside(lambda: self._claims.give_back(message_ids))

    async def _hand_over(self, message_ids: Sequence[str]) -> None:
        await self._aside(lambda: self._claims.hand_over(message_ids))


class Budget:
    """So many a second on the whole, and as many at once."""

    def __init__(self, a_second: float) -> None:
        """Full."""
        self._a_second = a_second
        self._left = a_second
        self._at: float | None = None

    def take(self, wanted: int) -> int:
        """How many of those wanted are granted now."""
        now = asyncio.get_running_loop().time()
        if self._at is not None:
            self._left = min(self._a_second, self._left + (now - self._at) * self._a_second)
        self._at = now
        granted = min(wanted, int(self._left))
        self._left -= granted
        return granted


def foreign_queues(definitions: Iterable[Definition]) -> frozenset[str]:
    """The queues that consumers in other languages serve: those of `foreign` activity types, and of no others."""
    return frozenset(
        declared.queue for definition in definitions for declared in definition.activities.values() if declared.foreign
    )


def _nobody(_: Collection[str]) -> None:
    """Nobody asks which definitions are missing."""


def _told_by_heartbeats(_workflow_id: str, _event: StoppingBegan) -> None:
    """Attempts in other processes find in their claims' rows that they are to stop."""
