"""The in-memory transport's receiving end: deliveries held until there is room, claimed together, then run.

Holds at most `most` commands. What comes on top is dropped, and that is harmless: its row of the inbox stays open, and
is issued again as soon as there is room. Each activity has a line of its own, so that one that is full holds up no
other. All deliveries that can begin are claimed with one statement, each is then started at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from consumers.activities import ActivityRunner
from consumers.claims import Claims
from consumers.settlement import Delivered, Settlement, of_row, settle
from domain.errors import StoreError
from domain.faultpoints import reached
from domain.ports import Command

_log: Final = logging.getLogger("handrail.consumers")

CLAIMS_A_TURN: Final = 256
DELIVERIES_HELD: Final = 4_096

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0

Line = tuple[str, str, str]
"""Definition, version and activity: what waits in one line."""


class MemoryConsumer:
    """Takes step commands in, claims their rows, has their attempts run. `drained` hears when there is room again.

    `missing` hears of workflows whose commands nobody here can run, since their definition is not loaded.
    """

    def __init__(self, claims: Claims, runner: ActivityRunner, *, most: int = DELIVERIES_HELD) -> None:
        """Hold nothing yet."""
        self.counts: Counter[Delivered] = Counter()
        self.drained: Callable[[], None] = _nothing
        self.missing: Callable[[Collection[str]], None] = _nobody
        self._claims = claims
        self._runner = runner
        self._most = most
        self._lines: dict[Line, deque[Command]] = {}
        self._held: set[str] = set()
        self._waiting = 0
        self._dropped = False
        self._woken = asyncio.Event()
        runner.ended = self.ended

    def put(self, commands: Sequence[Command]) -> int:
        """Take commands in, as many as there is room for; how many of them, from the first on."""
        for number, command in enumerate(commands):
            if command.message_id in self._held:
                self.counts[Delivered.RUNNING_HERE] += 1
                continue
            if self._waiting >= self._most:
                self._dropped = True
                return number
            self._held.add(command.message_id)
            self._waiting += 1
            line = command.definition, command.definition_version, command.activity
            self._lines.setdefault(line, deque()).append(command)
        self._woken.set()
        return len(commands)

    def ended(self, command: Command) -> None:
        """An attempt is over: its delivery, where it came by one, is settled, and there is room for another."""
        if command.message_id in self._held:
            self._settle(command, Delivered.OUTCOME_RECORDED)
        if self._waiting:
            self._woken.set()

    async def run(self) -> None:
        """Claim and start whatever can begin, until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                if self.turn():
                    self._woken.set()
                    await asyncio.sleep(0)
                pause = _FIRST_PAUSE_SECONDS
            except StoreError as error:
                _log.warning("commands could not be claimed: %s", error)
                self._woken.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def turn(self) -> bool:
        """Claim and start what can begin now; whether a full turn was at hand, so that there may be more."""
        batch = self._pick()
        if not batch:
            return False
        try:
            claimed = self._claims.claim(list(batch))
            others = [message_id for message_id in batch if message_id not in claimed]
            rows = self._claims.known(others) if others else {}
        except StoreError:
            for command in reversed(batch.values()):
                self._put_back(command)
            raise
        self._runner.start([command for message_id, command in batch.items() if message_id in claimed])
        for message_id in others:
            state, owner = rows.get(message_id, (None, None))
            here = message_id in self._runner.running and owner == self._claims.owner
            self._settle(batch[message_id], Delivered.RUNNING_HERE if here else of_row(state))
        if self._dropped and self._waiting < self._most // 2:
            self._dropped = False
            self.drained()
        return len(batch) == CLAIMS_A_TURN

    def _pick(self) -> dict[str, Command]:
        """The commands that can begin now, the first of every line first."""
        rooms = self._runner.rooms()
        batch: dict[str, Command] = {}
        for line in list(self._lines):
            waiting = self._lines[line]
            if self._runner.activities.find(*line) is None:
                for command in waiting:
                    self._settle(command, Delivered.DEFINITION_MISSING)
                self.missing({command.workflow_id for command in waiting})
                self._waiting -= len(waiting)
                waiting.clear()
            while waiting and len(batch) < CLAIMS_A_TURN and rooms.take(*line):
                command = waiting.popleft()
                self._waiting -= 1
                batch[command.message_id] = command
            if not waiting:
                del self._lines[line]
        return batch

    def _put_back(self, command: Command) -> None:
        line = command.definition, command.definition_version, command.activity
        self._lines.setdefault(line, deque()).appendleft(command)
        self._waiting += 1

    def _settle(self, command: Command, delivered: Delivered) -> None:
        """Carry out what is decided about a delivery. In memory, to acknowledge is to forget."""
        self.counts[delivered] += 1
        if settle(delivered) is Settlement.KEEP:
            return
        reached("acknowledge.before")
        self._held.discard(command.message_id)
        reached("acknowledge.after")


def _nothing() -> None:
    """Do nothing: nobody waits for room."""


def _nobody(_: Collection[str]) -> None:
    """Hear of it, and do nothing."""
