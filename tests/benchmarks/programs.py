"""Real processes, run and watched from outside: what they print, how long they take, what they hold and burn."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS: Final = 30.0


class ProgramFailed(Exception):
    """A measured program did not do its work; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended: its code, output, wall time, and the most memory it held."""

    code: int
    output: str
    errors: str
    wall_seconds: float
    peak_mebibytes: float


def json_of(*command: str | Path, limit_seconds: float = 900.0) -> dict[str, Any]:
    """Run a Python program of ours or a peer's, and read the JSON of the last line that it prints."""
    ended = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=limit_seconds,
        check=False,
    )
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode != 0 or not lines:
        said = (ended.stderr or ended.stdout).strip()[-2_000:]
        raise ProgramFailed(f"{' '.join(map(str, command))} ended with {ended.returncode}: {said}")
    read: dict[str, Any] = json.loads(lines[-1])
    return read


def watched(command: Sequence[str | Path], limit_seconds: float = 120.0) -> Finished:
    """Run a program to its end from a cold start: a process of its own, with nothing imported yet."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command)], cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        limit = threading.Timer(limit_seconds, process.kill)
        limit.start()
        # Waited for here, and not by the library, which would not say what the process used.
        _, status, used = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - began
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        return Finished(process.returncode, output.read(), errors.read(), wall_seconds, used.ru_maxrss / 1024)


@contextlib.contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python program of ours that says `ready` when it is, and goes on until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise ProgramFailed(f"{' '.join(map(str, command))} did not become ready")
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=_STOP_SECONDS)


def cpu_share(process: subprocess.Popen[str], seconds: float) -> float:
    """What a process that goes on burns, as a share of one core, over so many seconds."""
    before, began = _cpu_seconds(process.pid), time.perf_counter()
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = process.wait(timeout=seconds)
        raise ProgramFailed(f"the process ended with {code} while it was watched")
    return (_cpu_seconds(process.pid) - before) / (time.perf_counter() - began)


def _cpu_seconds(process_id: int) -> float:
    """User and system time of a process, all threads."""
    # The name, in parentheses, may hold blanks; fields 14 and 15 are counted from behind it.
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def _environment() -> dict[str, str]:
    """The environment without settings of Handrail's, which would change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
