"""The real command line as processes of their own: started, armed, waited for with a limit, and stopped by their id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.crash.outside import Outside

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tests.crash.workloads"
LIMIT_SECONDS = 60.0
"""No command of a crash workflow takes longer: each needs a second at most."""

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Hit:
    """One passage of a fault point: the `number`th of this name in the life of a process; the first is 1."""

    point: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.point}:{self.number}"

    @classmethod
    def parsed(cls, text: str) -> Hit:
        """The hit that `str` gave."""
        point, _, number = text.rpartition(":")
        return cls(point, int(number))


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    passed: Mapping[str, int]
    """How often it passed each fault point, in the order in which it came to them; nothing where it was killed."""
    fired: Hit | None
    """Where it killed itself."""

    def hits(self, *, every: bool) -> list[Hit]:
        """Every passage of every point, or the first of each."""
        return [Hit(point, n) for point, most in self.passed.items() for n in range(1, (most if every else 1) + 1)]

    def __str__(self) -> str:
        return f"handrail {' '.join(self.arguments)} → {self.code}\n{self.out}{self.err}"


class Place:
    """One home folder and the outside that its activities call."""

    def __init__(self, home: Path, outside: Outside) -> None:
        self.home = home
        self.outside = outside
        self._log = home.with_suffix(".fired")
        self._count = home.with_suffix(".passed")

    def command(self, arguments: Sequence[str], later: timedelta | None = None) -> list[str]:
        """The command line of a process; the real one, or the same with its clock ahead."""
        verb, *rest = arguments
        program = ["deploy.cli.main"] if later is None else ["tests.crash.late", str(later.total_seconds())]
        return [sys.executable, "-m", *program, verb, "--home", str(self.home), *rest]

    def environment(self, armed: Hit | None = None) -> Mapping[str, str]:
        """What it finds around it; `armed` is the fault point at which it kills itself."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        points = {"HANDRAIL_FAULT_COUNT": str(self._count), "HANDRAIL_FAULT_LOG": str(self._log)}
        if armed is not None:
            points["HANDRAIL_FAULT_POINT"] = str(armed)
        return {**kept, **self.outside.environment(), "HANDRAIL_MODULES": MODULE, **points}

    def run(self, *arguments: str, armed: Hit | None = None, later: timedelta | None = None) -> Ended:
        """Run a command to its end; one that takes too long is killed, and the test fails."""
        for file in (self._log, self._count):
            file.unlink(missing_ok=True)
        ended = subprocess.run(
            self.command(arguments, later),
            cwd=ROOT,
            env=self.environment(armed),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        passed = json.loads(self._count.read_text(encoding="ascii")) if self._count.exists() else {}
        fired = Hit.parsed(self._log.read_text(encoding="ascii").split()[0]) if self._log.exists() else None
        return Ended(arguments, ended.returncode, ended.stdout, ended.stderr, passed, fired)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running; the caller stops it by its id."""
        return subprocess.Popen(
            self.command(arguments),
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
