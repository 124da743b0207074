"""What is said about seals on a schedule: whether they can be written here, and when the last one was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.doctor.findings import Finding, Level
from deploy.sealing import Schedule, Sealed
from deploy.signing import signing_key
from domain.errors import HandrailError

ABOUT: Final = "seals"


def seals(
    schedule: Schedule, sealed: Callable[[], Sealed | None], now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[Finding]:
    """All about seals; `sealed` asks the store."""
    yield _folder(schedule)
    yield _key(schedule.key)
    yield _last(schedule, sealed(), now())


def _folder(schedule: Schedule) -> Finding:
    folder = schedule.folder
    if not folder.is_dir():
        return Finding(ABOUT, Level.MEND, f"the folder {folder} does not exist: make it, or name another in [seal]")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(ABOUT, Level.MEND, f"the folder {folder} cannot be written to: let the projector's user do so")
    return Finding(ABOUT, Level.OK, f"every {schedule.every} in {folder}, of which {schedule.keep} are kept")


def _key(key: Path | None) -> Finding:
    if key is None:
        words = "are not signed: whoever can write to store and folder could make others; set `key` in [seal]"
        return Finding(ABOUT, Level.NOTE, words)
    try:
        signing_key(key)
    except HandrailError as error:
        return Finding(ABOUT, Level.MEND, f"[seal] key: {error}")
    return Finding(ABOUT, Level.OK, f"signed with {key}")


def _last(schedule: Schedule, sealed: Sealed | None, now: datetime) -> Finding:
    if sealed is None:
        words = "none was written yet: the process that leads the projector writes them, with the same settings"
        return Finding(ABOUT, Level.NOTE, words)
    last = "none was written yet" if sealed.last is None else f"the last was written at {_shown(sealed.last)}"
    due = sealed.due_by(schedule.every)
    if due < now:
        words = f"{last}, and one is due since {_shown(due)}: the log of the process that leads the projector says why"
        return Finding(ABOUT, Level.WARN, words)
    return Finding(ABOUT, Level.OK, f"{last}; the next is due at {_shown(due)}")


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
