"""Publishing straight after the commit: whoever decided sends its commands itself, and the relay passes them over.

The row of such a command says in the scheduling transaction that this process promised to send it, which costs no
statement of its own. A promise that cannot be kept (no broker, a queue that is full or bound to nothing, the end of the
process) is given back, and the next sweep issues the command. One that dies with its process is found as any command
is that nobody claimed in time. Sent twice is harmless; not sent would be the same as lost by the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from domain.errors import HandrailError
from domain.ports import Command, CommandSender

_log: Final = logging.getLogger("handrail.producers")

MOST_HELD: Final = 2_000
"""Commands that wait for their confirms at most; what is scheduled beyond that is left to the relay."""
COMMANDS_A_BATCH: Final = 500
BATCHES_AT_ONCE: Final = 4
REST_SECONDS: Final = 1.0
"""How long nothing is promised after sending failed: the relay waits for the broker better."""

GiveBack = Callable[[Sequence[str]], Awaitable[None]]
"""Leaves commands to whoever issues what nobody sent."""


class StraightSender:
    """The inbox's `Straight`: takes commands whose rows promise it, and sends them in the background."""

    def __init__(self, sender: CommandSender, give_back: GiveBack, *, most: int = MOST_HELD) -> None:
        """Send by this sender. Nothing runs but while there is something to send."""
        self._sender = sender
        self._give_back = give_back
        self._most = most
        self._waiting: list[Command] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: list[str] = []
        self._resting = False
        self._closed = False
        self._stopped = False

    @property
    def room(self) -> int:
        """How many commands are taken now."""
        if self._closed or self._resting:
            return 0
        return max(0, self._most - len(self._waiting) - self._under_way)

    def put(self, commands: Sequence[Command]) -> None:
        """Send these, as soon as may be."""
        self._waiting += commands
        self._begin()

    async def close(self, *, within_seconds: float = 5.0) -> None:
        """Promise nothing more, and send what was promised, or give it back."""
        self._closed = True
        try:
            async with asyncio.timeout(within_seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            self._stopped = True
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        left = [*self._failed, *(command.message_id for command in self._waiting)]
        self._failed, self._waiting = [], []
        if left:
            await self._leave(left)

    def _begin(self) -> None:
        while self._waiting and len(self._tasks) < BATCHES_AT_ONCE:
            batch, self._waiting = self._waiting[:COMMANDS_A_BATCH], self._waiting[COMMANDS_A_BATCH:]
            self._under_way += len(batch)
            task = asyncio.get_running_loop().create_task(self._send(batch), name="straight")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._stopped:
            self._begin()

    async def _send(self, batch: Sequence[Command]) -> None:
        left = [command.message_id for command in batch]
        try:
            left = [one.message_id for one in await self._sender.send(batch)]
        except HandrailError as error:
            self._rest(error)
        except asyncio.CancelledError:
            self._failed += left  # closing gives them back
            raise
        finally:
            self._under_way -= len(batch)
        if left:
            await self._leave(left)

    async def _leave(self, message_ids: Sequence[str]) -> None:
        try:
            await self._give_back(message_ids)
        except HandrailError as error:
            _log.warning("%d commands wait to be issued as unclaimed: %s", len(message_ids), error)

    def _rest(self, error: HandrailError) -> None:
        if not self._resting:
            _log.warning("commands are left to the relay for now: %s", error)
            self._resting = True
            asyncio.get_running_loop().call_later(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self._resting = False
