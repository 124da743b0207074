"""The serving processes, under a supervisor: whoever ends is started again, whether it was killed or not."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.moments import called_within
from tests.crash.starting import ROOT
from tests.servers.processes import last_words

AGAIN_SECONDS: Final = 0.2
"""How long a supervisor waits before it starts a process again."""
GRACE_SECONDS: Final = 40.0
"""How long a process may take to end when it is asked to."""
SHORT_LIFE_SECONDS: Final = 3.0
MOST_SHORT_LIVES: Final = 50
"""A process that ends so often soon after its start, by itself, does not serve."""
UNAVAILABLE: Final = 4
UNREACHED: Final = "cannot be reached"
"""A process that finds no store when it starts says so and ends: its supervisor tries again."""


@dataclass(frozen=True)
class Role:
    """What a process is started as; a worker is one that runs activities."""

    name: str
    arguments: tuple[str, ...]
    worker: bool
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Member:
    """One process and its lives."""

    role: Role
    words: Path
    """Where everything goes that it says, over all its lives."""
    process: Process | None = None
    lives: int = 0
    kills: int = 0
    fell: list[str] = field(default_factory=list)
    """How it ended when nobody had killed it."""
    waited: int = 0
    """How often it could not start because its store was away."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _to_die: bool = False

    @property
    def process_id(self) -> int | None:
        """The id of its process, while it is alive."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    def kill(self) -> int | None:
        """Kill it as suddenly as can be; the id that it had, None where it was not alive."""
        process_id = self.process_id
        if process_id is not None and self.process is not None:
            self._to_die = True
            self.kills += 1
            self.process.kill()
        return process_id

    def stop(self) -> int | None:
        """Stop its clock until `go_on`; its id, None where it was not alive."""
        process_id = self.process_id
        if process_id is not None and self.process is not None:
            self.process.send_signal(signal.SIGSTOP)
        return process_id

    def go_on(self) -> None:
        """Let its clock run."""
        if self.process_id is not None and self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    async def live(self, program: Sequence[str], environment: Mapping[str, str], over: asyncio.Event) -> None:
        """One life after the other, until it is over; then ask it to end."""
        short_lives = 0
        while not over.is_set():
            born = time.monotonic()
            code = await self._life(program, environment, over)
            if over.is_set():
                return
            if not self._to_die:
                short_lives += time.monotonic() - born < SHORT_LIFE_SECONDS
                words = last_words([self.words], 1_500)
                if code == UNAVAILABLE and UNREACHED in words:
                    self.waited += 1
                else:
                    self.fell.append(f"{self.role.name} ended by itself with {code}:\n{words}")
                if short_lives > MOST_SHORT_LIVES:
                    self.fell.append(f"{self.role.name} cannot be started:\n{words}")
                    return
            self._to_die = False
            await called_within(over, AGAIN_SECONDS)

    async def _life(self, program: Sequence[str], environment: Mapping[str, str], over: asyncio.Event) -> int | None:
        with self.words.open("ab") as words:
            self.process = await asyncio.create_subprocess_exec(
                *program,
                *self.role.arguments,
                cwd=ROOT,
                env={**environment, **self.role.environment},
                stdin=DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        self.lives += 1
        ended, asked = asyncio.ensure_future(self.process.wait()), asyncio.ensure_future(over.wait())
        try:
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(ended)
        finally:
            asked.cancel()
            if self.process.returncode is None:
                self.process.kill()
                await ended
        return self.process.returncode

    async def _end(self, ended: asyncio.Future[int]) -> None:
        if self.process is None:
            return
        self.go_on()
        self.process.terminate()
        await asyncio.wait({ended}, timeout=GRACE_SECONDS)
        if not ended.done():
            words = last_words([self.words], 1_500)
            self.fell.append(f"{self.role.name} did not end within {GRACE_SECONDS:g} s of SIGTERM:\n{words}")
        elif ended.result() != 0:
            words = last_words([self.words], 1_500)
            self.fell.append(f"{self.role.name} ended with {ended.result()} on SIGTERM:\n{words}")


class Crew:
    """All processes of a run."""

    def __init__(
        self,
        roles: Sequence[Role],
        environment: Mapping[str, str],
        folder: Path,
        program: Sequence[str] = (sys.executable, "-m", "deploy.cli.main", "serve"),
    ) -> None:
        """Of these roles; what they say goes to files in the folder."""
        self._program = program
        self._environment = environment
        self._over = asyncio.Event()
        self.members = [Member(role, folder / f"{number}-{role.name}.log") for number, role in enumerate(roles)]
        self._lives: list[asyncio.Task[None]] = []

    @property
    def workers(self) -> list[Member]:
        """Those that run activities."""
        return [member for member in self.members if member.role.worker]

    @property
    def others(self) -> list[Member]:
        """Those that run none; where everybody does, everybody."""
        return [member for member in self.members if not member.role.worker] or self.members

    @property
    def fell(self) -> list[str]:
        """Who ended by itself, and how."""
        return [words for member in self.members for words in member.fell]

    def start(self) -> None:
        """Start everybody."""
        self._lives = [
            asyncio.ensure_future(member.live(self._program, self._environment, self._over)) for member in self.members
        ]

    async def end(self) -> None:
        """Ask everybody to end, and wait until they have."""
        self._over.set()
        await asyncio.gather(*self._lives)
