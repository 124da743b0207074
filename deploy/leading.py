"""One process at a time plays a role: elected by locks of the store on PostgreSQL, by the home's lock on one machine.

A process holds all its locks on one connection, which is watched. When that is lost, every role steps down at once,
whether or not another process has been elected yet; then it connects again, and stands for election.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from domain.errors import BrokerError, HandrailError, StoreError, StoreUnavailable
from domain.leadership import Locks, Role

_log: Final = logging.getLogger("handrail.deploy")

WATCH_SECONDS: Final = 2.0
"""How often a standby tries for what it does not hold."""
PING_SECONDS: Final = 10.0
"""How often the connection is pinged where nothing is tried for: that it was closed is seen at once all the same."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_AFTER_ROLE_SECONDS: Final = 1.0
_WATCHES_LEFT_TO_OTHERS: Final = 3
"""How many times others may try for what this process let go of because the broker keeps it from doing it."""

ELECTIONS: Final = "elections"

Trouble = Callable[[str, HandrailError], None]
"""Hears what a role fell over, by its name, or what keeps the ELECTIONS from being held."""


class Alone:
    """The port `Leadership` where nobody else can lead: the home's lock is held already."""

    async def lead(self, name: str, role: Role) -> None:
        """Run the role, and again where it ends."""
        while True:
            await _run(name, role)
            await asyncio.sleep(_AFTER_ROLE_SECONDS)


@dataclass(slots=True, eq=False)
class _Seat:
    """What one role needs to know: whether it is held."""

    name: str
    held: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    resting: bool = False
    """Whether it is not to be tried for just now."""
    others_first: bool = False
    """Whether the role fell over the broker: another process may be let in."""

    def take(self) -> None:
        """It is held from now on."""
        self.lost.clear()
        self.held.set()

    def lose(self) -> None:
        """It may be another's from now on."""
        self.held.clear()
        self.lost.set()


class Elections:
    """The port `Leadership` by locks. Made with `async with`; `trouble` hears what goes wrong, for health."""

    def __init__(
        self,
        locks: Locks,
        *,
        watch_seconds: float = WATCH_SECONDS,
        ping_seconds: float = PING_SECONDS,
        rest_seconds: float = _AFTER_ROLE_SECONDS,
        trouble: Trouble = lambda _, __: None,
    ) -> None:
        """Nothing is connected before it is entered."""
        self._locks = locks
        self._watch_seconds = watch_seconds
        self._ping_seconds = ping_seconds
        self._ping_at = 0.0
        self._rest_seconds = rest_seconds
        self._trouble = trouble
        self._seats: dict[str, _Seat] = {}
        self._task: asyncio.Task[None] | None = None
        self._dropped: set[str] = set()

    @property
    def led(self) -> frozenset[str]:
        """What this process leads now."""
        return frozenset(name for name, seat in self._seats.items() if seat.held.is_set())

    async def __aenter__(self) -> Self:
        """Begin to stand for election."""
        self._task = asyncio.create_task(self._stand(), name="leading")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._locks.close()

    async def lead(self, name: str, role: Role) -> None:
        """Run `role` whenever this process leads `name`, until cancelled. One role a name."""
        seat = self._seats.setdefault(name, _Seat(name))
        try:
            while True:
                seat.resting = seat.others_first = False
                await seat.held.wait()
                _log.info("this process leads %s", name)
                if not await self._play(seat, role):
                    _log.info("this process leads %s no longer", name)
                    continue
                # It ended by itself, or was overtaken: somebody else may try.
                seat.resting = True
                self._give_up(seat)
                others = _WATCHES_LEFT_TO_OTHERS * self._watch_seconds if seat.others_first else 0.0
                await asyncio.sleep(self._rest_seconds + others)
        finally:
            self._seats.pop(name, None)
            self._give_up(seat)

    def _give_up(self, seat: _Seat) -> None:
        if seat.held.is_set():
            seat.lose()
            self._dropped.add(seat.name)

    async def _play(self, seat: _Seat, role: Role) -> bool:
        """Run the role for as long as the seat is held; whether it ended by itself."""

        def hear(name: str, error: HandrailError) -> None:
            seat.others_first = isinstance(error, BrokerError)
            self._trouble(name, error)

        playing = asyncio.create_task(_run(seat.name, role, hear), name=seat.name)
        lost = asyncio.create_task(seat.lost.wait())
        try:
            await asyncio.wait([playing, lost], return_when=asyncio.FIRST_COMPLETED)
            return not seat.lost.is_set()
        finally:
            lost.cancel()
            playing.cancel()
            await asyncio.gather(playing, lost, return_exceptions=True)

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _stand(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._locks.connect()
                pause, self._ping_at = _FIRST_PAUSE_SECONDS, 0.0
                while True:
                    await self._elect()
                    await self._locks.watch(self._watch_seconds)
            except StoreError as error:
                _log.warning("this process leads nothing for now: %s", error)
                self._trouble(ELECTIONS, error)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the elections
                _log.exception("this process leads nothing for now")
                self._trouble(ELECTIONS, StoreUnavailable(f"{type(error).__name__}: {error}"))
            finally:
                # First of all, and whatever else goes wrong: another process may be elected from now on.
                for seat in self._seats.values():
                    seat.lose()
            self._dropped.clear()
            await self._locks.close()
            await asyncio.sleep(pause * random.random())  # noqa: S311 - that not all come back at once
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _elect(self) -> None:
        while self._dropped:
            await self._locks.release(self._dropped.pop())
        wanted = [name for name, seat in self._seats.items() if not seat.held.is_set() and not seat.resting]
        now = asyncio.get_running_loop().time()
        if not wanted and now < self._ping_at:
            return
        self._ping_at = now + self._ping_seconds
        for name in await self._locks.try_acquire(wanted):
            seat = self._seats.get(name)
            if seat is not None:
                seat.take()
            else:  # its role was ended meanwhile
                self._dropped.add(name)


async def _run(name: str, role: Role, trouble: Trouble = lambda _, __: None) -> None:
    """Run a role to its end, whatever that is."""
    try:
        await role()
    except HandrailError as error:
        _log.warning("%s stopped and begins again: %s", name, error)
        trouble(name, error)
    except Exception as error:  # noqa: BLE001 - a fault of one role must not end the others
        _log.exception("%s stopped and begins again", name)
        trouble(name, HandrailError(f"{type(error).__name__}: {error}"))
