"""Where delivered step commands wait for room, are claimed together, and begin: the same for every transport.

Each activity has a line of its own, so that one that is full holds up no other. All deliveries that can begin are
claimed with one statement, each is then started at once. What a limit over all processes defers is let go, its row
saying when it is issued again; only what may begin in a moment is kept here, a few of each line, so that a place that
becomes free is taken at once.

Holds at most `most` commands. What comes on top is dropped, and that is harmless: its row of the inbox stays open, and
is issued again as soon as there is room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from consumers.activities import ActivityRunner
from consumers.attempts import Prepared
from consumers.claims import Claims, Taken
from consumers.inbox import command_digest
from consumers.limits import Limited
from consumers.settlement import Delivered, Settlement, of_row, settle
from domain.errors import StoreError
from domain.faultpoints import reached
from domain.ids import epoch_of
from domain.limits import Limits
from domain.ports import Aside, Command
from domain.store.aside import inline
from domain.tracing import Traces

_log: Final = logging.getLogger("handrail.consumers")

CLAIMS_A_TURN: Final = 256
DELIVERIES_HELD: Final = 4_096

DEFERRED_HELD: Final = 64
"""Deferred commands that a line keeps here."""
DEFERRED_SECONDS: Final = 2.0
"""How far away the instant of a deferred command may be that is kept here."""

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0

Line = tuple[str, str, str]
"""Definition, version and activity: what waits in one line."""

Rows = Mapping[str, tuple[str, str | None]]


class WaitingRoom:
    """Takes step commands in, claims their rows, has their attempts run. `drained` hears when there is room again.

    `missing` hears of commands, by their ids, that nobody here can run, since their definition is not loaded. `claimed`
    hears of commands whose claim is durable, `settled` what became of each command; both are for the transport that
    holds their deliveries. With `digests`, only what is as it was scheduled is claimed.
    """

    def __init__(
        self,
        claims: Claims,
        runner: ActivityRunner,
        *,
        aside: Aside = inline,
        most: int = DELIVERIES_HELD,
        digests: bool = False,
    ) -> None:
        """Hold nothing yet. `aside` runs what is asked of the store."""
        self.counts: Counter[Delivered] = Counter()
        self.drained: Callable[[], None] = _nothing
        self.missing: Callable[[Collection[str]], None] = _nobody
        self.claimed: Callable[[Sequence[Command]], None] = _nobody
        self.settled: Callable[[Command, Delivered], None] = _forgotten
        self.traces: Traces | None = None
        self._claims = claims
        self._runner = runner
        self._aside = aside
        self._most = most
        self._digests = digests
        self._lines: dict[Line, deque[Command]] = {}
        self._resting: dict[Line, asyncio.TimerHandle] = {}
        self._held: set[str] = set()
        self._unsure: set[str] = set()
        """Commands whose claim was asked for and not answered: it may have been made."""
        self._waiting = 0
        self._dropped = False
        self._closed = False
        self._woken = asyncio.Event()
        self._claiming = asyncio.Lock()
        runner.ended = self.ended

    @property
    def waiting(self) -> int:
        """How many commands wait here that are not claimed."""
        return self._waiting

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken in."""
        return self._closed

    @property
    def full(self) -> bool:
        """Whether no further attempt could begin."""
        return self._runner.rooms().left <= 0

    def holds(self, message_id: str) -> bool:
        """Whether a command waits or runs here."""
        return message_id in self._held

    def put(self, commands: Sequence[Command]) -> int:
        """Take commands in, as many as there is room for; how many of them, from the first on."""
        for number, command in enumerate(commands):
            if command.message_id in self._held:
                self.counts[Delivered.RUNNING_HERE] += 1
                # Issued again: the instant that it was promised has come.
                self._wake(_line(command))
                continue
            if self._closed:
                return number
            if self._waiting >= self._most:
                self._dropped = True
                return number
            self._held.add(command.message_id)
            self._waiting += 1
            self._lines.setdefault(_line(command), deque()).append(command)
        self._woken.set()
        return len(commands)

    async def say_waiting(self, message_ids: Collection[str]) -> None:
        """Have the store know that these wait here: the broker tells nobody what a consumer has. Raises StoreError."""
        await self._aside(lambda: self._claims.wait_in_line(message_ids))

    async def close(self) -> None:
        """Take nothing more in, and have what waits here unclaimed go elsewhere: this process ends.

        A turn that is under way is waited for: what it claims begins.
        """
        self._closed = True
        async with self._claiming:
            for line in list(self._lines):
                self._wake(line)
                for command in self._lines.pop(line):
                    self._waiting -= 1
                    self._settle(command, Delivered.ENDING)

    def let_go(self, message_ids: Collection[str]) -> None:
        """Forget these of those that wait unclaimed: their rows stay open, and are issued again."""
        for line in list(self._lines):
            kept: deque[Command] = deque()
            for command in self._lines[line]:
                if command.message_id in message_ids:
                    self._waiting -= 1
                    self._settle(command, Delivered.LET_GO)
                else:
                    kept.append(command)
            self._lines[line] = kept

    def ended(self, command: Command) -> None:
        """An attempt is over: its delivery, where it came by one, is settled, and there is room for another."""
        if command.message_id in self._held:
            self._settle(command, Delivered.OUTCOME_RECORDED)
        if self._waiting:
            self._wake(_line(command))
            self._woken.set()

    async def run(self) -> None:
        """Claim and start whatever can begin, until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                if await self.turn():
                    self._woken.set()
                    await asyncio.sleep(0)
                pause = _FIRST_PAUSE_SECONDS
            except StoreError as error:
                _log.warning("commands could not be claimed: %s", error)
                self._woken.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def turn(self) -> bool:
        """Claim and start what can begin now; whether a full turn was at hand, so that there may be more.

        Raises StoreError where the store cannot be asked; then all is held as before.
        """
        async with self._claiming:
            batch = self._pick()
            if not batch:
                return False
            limited = self._limited(batch)
            digests = {name: command_digest(command) for name, command in batch.items()} if self._digests else None
            began = None if self.traces is None else self.traces.instant()
            try:
                taken, rows, epoch = await self._aside(lambda: self._take(list(batch), digests, limited))
            except BaseException:
                # The claims may have been made all the same: the next turn asks whose they are.
                self._unsure.update(batch)
                self._put_back(list(batch.values()))
                raise
            self._unsure.difference_update(batch)
            claimed = [command for name, command in batch.items() if name in taken.claimed]
            if self.traces is not None and began is not None:
                self.traces.claimed(began, claimed)
            self._runner.start(claimed)
            self.claimed(claimed)
            self._settle_others(batch, taken, rows, epoch)
            if self._dropped and self._waiting < self._most // 2:
                self._dropped = False
                self.drained()
            return len(batch) == CLAIMS_A_TURN

    def _take(
        self, message_ids: Sequence[str], digests: Mapping[str, str] | None, limited: Sequence[Limited]
    ) -> tuple[Taken, Rows, int]:
        taken = self._claims.take(message_ids, digests=digests, limited=limited)
        if unsure := self._unsure.intersection(message_ids) - taken.claimed:
            # Claimed by us, and never begun: nobody else would run them before their leases end.
            taken.claimed |= self._claims.renew(unsure).held
        known = taken.claimed | taken.differing | taken.deferred.keys()
        others = [message_id for message_id in message_ids if message_id not in known]
        return (taken, self._claims.known(others), self._claims.epoch()) if others else (taken, {}, 0)

    def _settle_others(self, batch: Mapping[str, Command], taken: Taken, rows: Rows, epoch: int) -> None:
        """Settle what was not claimed; what a limit defers for a moment goes back into its line."""
        again: list[Command] = []
        rest: dict[Line, float] = {}
        kept: Counter[Line] = Counter()
        for message_id, command in batch.items():
            if message_id in taken.claimed:
                continue
            if message_id in taken.differing:
                self._settle(command, Delivered.DIFFERING)
            elif (deferral := taken.deferred.get(message_id)) is not None:
                line = _line(command)
                if deferral.seconds > DEFERRED_SECONDS or kept[line] >= DEFERRED_HELD:
                    self._settle(command, Delivered.DEFERRED)
                    continue
                kept[line] += 1
                again.append(command)
                rest[line] = min(rest.get(line, DEFERRED_SECONDS), deferral.seconds)
            elif epoch_of(command.attempt) < epoch:
                self._settle(command, Delivered.EPOCH_PASSED)
            else:
                state, owner = rows.get(message_id, (None, None))
                here = message_id in self._runner.running and owner == self._claims.owner
                self._settle(command, Delivered.RUNNING_HERE if here else of_row(state))
        self._put_back(again)
        for line, seconds in rest.items():
            self._wake(line)
            self._resting[line] = asyncio.get_running_loop().call_later(max(0.0, seconds), self._rested, line)

    def _pick(self) -> dict[str, Command]:
        """The commands that can begin now, the first of every line first."""
        rooms = self._runner.rooms()
        batch: dict[str, Command] = {}
        for line in list(self._lines):
            if line in self._resting:
                continue
            waiting = self._lines[line]
            prepared = self._runner.activities.find(*line)
            if prepared is None or prepared.declared.foreign:
                self._refuse(line, prepared)
            while waiting and len(batch) < CLAIMS_A_TURN and rooms.take(*line):
                command = waiting.popleft()
                self._waiting -= 1
                batch[command.message_id] = command
            if not waiting:
                del self._lines[line]
        return batch

    def _refuse(self, line: Line, prepared: Prepared | None) -> None:
        """Settle a whole line that cannot be run here."""
        waiting = self._lines[line]
        commands = list(waiting)
        self._waiting -= len(waiting)
        waiting.clear()
        for command in commands:
            self._settle(command, Delivered.DEFINITION_MISSING if prepared is None else Delivered.FOREIGN)
        if prepared is None:
            self.missing([command.message_id for command in commands])
        else:
            _log.warning(
                "activity %s is foreign: a consumer in another language has to serve queue %s",
                line[2],
                commands[0].queue,
            )

    def _limited(self, batch: Mapping[str, Command]) -> list[Limited]:
        """The commands of a batch that run under limits over all processes."""
        found: dict[str, tuple[Limits, list[str]]] = {}
        for message_id, command in batch.items():
            prepared = self._runner.activities.find(*_line(command))
            limits = prepared.declared.limits if prepared is not None else None
            if limits is not None:
                found.setdefault(limits.name, (limits, []))[1].append(message_id)
        return [Limited(limits, message_ids) for limits, message_ids in found.values()]

    def _put_back(self, commands: Sequence[Command]) -> None:
        for command in reversed(commands):
            self._lines.setdefault(_line(command), deque()).appendleft(command)
        self._waiting += len(commands)

    def _rested(self, line: Line) -> None:
        self._wake(line)
        self._woken.set()

    def _wake(self, line: Line) -> None:
        timer = self._resting.pop(line, None)
        if timer is not None:
            timer.cancel()

    def _settle(self, command: Command, delivered: Delivered) -> None:
        """Carry out what is decided about a delivery. In memory, to acknowledge is to forget."""
        self.counts[delivered] += 1
        if settle(delivered) is Settlement.KEEP:
            return
        reached("acknowledge.before")
        self._held.discard(command.message_id)
        self._unsure.discard(command.message_id)
        self.settled(command, delivered)
        reached("acknowledge.after")


def _line(command: Command) -> Line:
    return command.definition, command.definition_version, command.activity


def _nothing() -> None:
    """Do nothing: nobody waits for room."""


def _nobody(_: Collection[str] | Sequence[Command]) -> None:
    """Hear of it, and do nothing."""


def _forgotten(_: Command, __: Delivered) -> None:
    """Nothing more is held for a command than the command."""
