"""Golden histories as files: a first line about the history, then an event a line, with its stored bytes as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from domain.recorded import RecordedEvent, from_state, to_state

FOLDER: Final = Path(__file__).with_name("histories")
BROKEN_FOLDER: Final = FOLDER / "broken"


@dataclass(frozen=True)
class Golden:
    """One history: whose it is, what is known of it, and its rows as a store would give them."""

    about: dict[str, Any]
    rows: tuple[tuple[str, int, str, bytes], ...]

    def events(self) -> list[RecordedEvent]:
        """The events; raises EventCorrupt or EventUnknown."""
        return [from_state(*row) for row in self.rows]


def read(path: Path) -> Golden:
    """Read a file."""
    about, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return Golden(about, tuple((row["workflow"], row["version"], row["topic"], row["state"].encode()) for row in rows))


def write(path: Path, about: dict[str, Any], events: Sequence[RecordedEvent]) -> None:
    """Write a new file; one that is there is never written again."""
    lines = [json.dumps(about)]
    for one in events:
        row = {
            "workflow": one.originator_id,
            "version": one.originator_version,
            "topic": one.name,
            "state": to_state(one).decode(),
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    with path.open("x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
