"""A store that was imported: the fact in it that says so, and what is said to whoever would change it.

The fact is a row of the store itself, so that a copy of the file is as much an import as the file is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import EventCorrupt, ImportedReadOnly
from domain.ports import Cursor

IMPORTED: Final = "imported"
IMPORTED_FACT: Final = "SELECT value FROM store_facts WHERE name = 'imported'"

_SET: Final = "INSERT INTO store_facts (name, value) VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came of: the file's name, when it was imported, and how the file ends.

    `manifest` is its canonical JSON, `signature` the line behind it, or empty; `checked` is what became of checking
    that: `none`, `sound` or `not checked`. `latest` is when the last of its events was recorded.
    """

    file: str
    at: str
    latest: str
    manifest: str
    signature: str = ""
    checked: str = "none"

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules by which values were left out of the export."""
        return tuple(json.loads(self.manifest).get("redacted", ()))

    @property
    def withheld(self) -> int:
        """How many payloads were left out of the export."""
        return int(json.loads(self.manifest).get("withheld", 0))

    def run(self, cursor: Cursor) -> None:
        """Mark the store, along with whatever else a transaction writes."""
        fact = {name: getattr(self, name) for name in self.__dataclass_fields__}
        cursor.execute(_SET, (IMPORTED, json.dumps(fact, ensure_ascii=False)))

    def refusal(self, place: str) -> ImportedReadOnly:
        """What is said to whoever would change it."""
        told = f"tells of what was up to {self.latest[:16].replace('T', ' ')} UTC" if self.latest else "has no events"
        return ImportedReadOnly(
            f"{place} was imported from {self.file} on {self.at[:16].replace('T', ' ')} UTC, {told}, and is never "
            "changed: list, show, history, replay, compare, report, export and verify read it; to run workflows, name "
            "another home"
        )


def imported_of(rows: Sequence[tuple[Any, ...]]) -> Imported | None:
    """The fact, from the rows of `IMPORTED_FACT`; None where the store was not imported. Raises EventCorrupt."""
    if not rows:
        return None
    try:
        return Imported(**json.loads(rows[0][0]))
    except (ValueError, TypeError) as error:
        raise EventCorrupt(f"what the store says of its import cannot be read: {error}; import it once more") from error
