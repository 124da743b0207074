"""Two ways to start the same command: as a process from nothing, or as a fork of one that has imported it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 60.0
"""No command of a crash workflow takes longer: each needs a second at most."""


@dataclass(frozen=True)
class Given:
    """What a process is started with. What it writes to stdout and stderr goes to files."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    out: Path
    errors: Path


class Started(Protocol):
    """A process under way."""

    def end(self) -> None:
        """Ask it to end, as a supervisor would; `wait` tells when it has."""
        ...

    def kill(self) -> None:
        """End it as nothing can be ended more suddenly."""
        ...

    def wait(self) -> int:
        """Its exit code; negative is the signal that ended it. Raises TimeoutError, having killed it."""
        ...


class Starter(Protocol):
    """Starts commands."""

    def start(self, given: Given) -> Started:
        """Start one, and leave it running."""
        ...


class FromNothing:
    """`python -m deploy.cli.main`, or another program in its place, as anybody would start it."""

    def __init__(self, *program: str) -> None:
        self._program = program or ("deploy.cli.main",)

    def start(self, given: Given) -> Started:
        with given.out.open("wb") as out, given.errors.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *self._program, *given.arguments],
                cwd=ROOT,
                env=dict(given.environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )
        return _FromNothing(process)


class _FromNothing:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def end(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        try:
            return self._process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise TimeoutError(" ".join(map(str, self._process.args))) from error  # type: ignore[arg-type]


class Nursery:
    """Forks commands off a process that has imported them; see `nursery.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, given: Given) -> Started:
        process_id = self.ask(
            do="start",
            arguments=list(given.arguments),
            environment=dict(given.environment),
            out=str(given.out),
            errors=str(given.errors),
        )
        return _Forked(self, process_id, given)

    def ask(self, **request: Any) -> Any:
        """Send a request; its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the nursery was started without pipes")
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it with its input, or by its id."""
        try:
            self._process.communicate(timeout=LIMIT_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()


class _Forked:
    def __init__(self, nursery: Nursery, process_id: int, given: Given) -> None:
        self._nursery = nursery
        self._process_id = process_id
        self._given = given

    def end(self) -> None:
        os.kill(self._process_id, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self._process_id, signal.SIGKILL)

    def wait(self) -> int:
        code = self._nursery.ask(do="wait", process_id=self._process_id, limit_seconds=LIMIT_SECONDS)
        if code is None:
            raise TimeoutError(" ".join(self._given.arguments))
        return int(code)
