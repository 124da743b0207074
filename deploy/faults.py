"""Arms a fault point in the real process, by environment variables; inert where they are not set.

`HANDRAIL_FAULT_POINT=commit.after:3` has the process kill itself, as `kill -9` would, when it reaches the point
`commit.after` for the third time; before that it appends a line to the file that `HANDRAIL_FAULT_LOG` names, so that a
test can tell that the point fired. `HANDRAIL_FAULT_COUNT` names a file that is told, at exit, how often each point was
reached.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from domain.errors import InputInvalid
from domain.faultpoints import NAMES, arm

POINT_VARIABLE: Final = "HANDRAIL_FAULT_POINT"
LOG_VARIABLE: Final = "HANDRAIL_FAULT_LOG"
COUNT_VARIABLE: Final = "HANDRAIL_FAULT_COUNT"

_lock: Final = threading.Lock()
_armed: dict[str, Counter[str]] = {}


def arm_from_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Arm the point that the environment names, once a process. Raises InputInvalid for one that does not exist."""
    given, count_file = environment.get(POINT_VARIABLE), environment.get(COUNT_VARIABLE)
    if (not given and not count_file) or _armed:
        return
    name, hit = parse(given) if given else ("", 0)
    hits = _armed["hits"] = Counter()

    def reached(point: str) -> None:
        with _lock:
            hits[point] += 1
            fires = point == name and hits[point] == hit
        if fires:
            _die(point, hit, environment.get(LOG_VARIABLE))

    arm(reached)
    if count_file:
        atexit.register(lambda: Path(count_file).write_text(json.dumps(hits), encoding="ascii"))


def parse(given: str) -> tuple[str, int]:
    """Name and hit of `name:hit`; the hit is 1 where it is left out."""
    name, _, hit = given.partition(":")
    if name not in NAMES or not (hit or "1").isdigit() or int(hit or "1") < 1:
        raise InputInvalid(f"{POINT_VARIABLE}={given[:80]} is not NAME:HIT; names are {', '.join(NAMES)}")
    return name, int(hit or "1")


def _die(point: str, hit: int, log: str | None) -> None:
    if log:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(descriptor, f"{point}:{hit} {os.getpid()}\n".encode())
        os.close(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)
