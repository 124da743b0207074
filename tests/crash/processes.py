"""Homes, and the real command line at work on them: started, armed, waited for with a limit, stopped by its id."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.crash.outside import Outside
from tests.crash.starting import FromNothing, Given, Started, Starter

MODULE = "tests.crash.workloads"
STRANGERS = "tests.crash.strangers"
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
    errors: str
    passed: Mapping[str, int]
    """How often it passed each fault point, in the order in which it came to them; nothing where it was killed."""
    fired: Hit | None
    """Where it killed itself."""

    def hits(self, *, every: bool) -> list[Hit]:
        """Every passage of every point, or the first of each."""
        return [Hit(point, n) for point, most in self.passed.items() for n in range(1, (most if every else 1) + 1)]

    def __str__(self) -> str:
        return f"handrail {' '.join(self.arguments)} → {self.code}\n{self.out}{self.errors}"


@dataclass(frozen=True)
class Running:
    """A process under way in a place."""

    place: Place
    arguments: tuple[str, ...]
    process: Started

    def kill(self) -> Ended:
        """End it as suddenly as can be."""
        self.process.kill()
        return self.wait()

    def wait(self) -> Ended:
        """Wait for its end; one that takes too long is killed, and the test fails."""
        code = self.process.wait()
        place = self.place
        passed = json.loads(place.count.read_text(encoding="ascii")) if place.count.exists() else {}
        fired = Hit.parsed(place.log.read_text(encoding="ascii").split()[0]) if place.log.exists() else None
        return Ended(self.arguments, code, said(place.out), said(place.errors), passed, fired)


class Place:
    """One home folder, the outside that its activities call, and how its commands are started."""

    def __init__(self, home: Path, outside: Outside, starter: Starter | None = None, *, modules: str = MODULE) -> None:
        self.home = home
        self.modules = modules
        self.outside = outside
        self.starter: Starter = starter or FromNothing()
        self.log, self.count, self.out, self.errors = (
            home.with_name(f"{home.name}.{what}") for what in ("fired", "passed", "out", "errors")
        )

    def arguments(self, *arguments: str) -> list[str]:
        """The arguments of a command on this home."""
        verb, *rest = arguments
        return [verb, "--home", str(self.home), *rest]

    def environment(self, armed: Hit | None = None) -> Mapping[str, str]:
        """What a command finds around it; `armed` is the fault point at which it kills itself."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        points = {"HANDRAIL_FAULT_COUNT": str(self.count), "HANDRAIL_FAULT_LOG": str(self.log)}
        if armed is not None:
            points["HANDRAIL_FAULT_POINT"] = str(armed)
        return {**kept, **self.outside.environment(), "HANDRAIL_MODULES": self.modules, **points}

    def run(self, *arguments: str, armed: Hit | None = None) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, armed=armed).wait()

    def start(self, *arguments: str, armed: Hit | None = None) -> Running:
        """Start a command and leave it running; the caller kills it or waits for its end."""
        for file in (self.log, self.count, self.out, self.errors):
            file.unlink(missing_ok=True)
        given = Given(self.arguments(*arguments), self.environment(armed), self.out, self.errors)
        return Running(self, arguments, self.starter.start(given))


def said(file: Path) -> str:
    """What a process has written so far."""
    return file.read_text(encoding="utf-8") if file.exists() else ""
