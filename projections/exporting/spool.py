"""Lines that stand behind others in a file, kept on the disk until their turn comes: each once, in the order they came.

The disk's share is a database of SQLite's without a name, which goes with whoever opened it; memory holds little of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

REMEMBERED: Final = 10_000
"""So many ids are known without asking the disk."""


class Spool:
    """Lines by id, and the ids that lines refer to."""

    def __init__(self) -> None:
        """Nothing is in it."""
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("CREATE TABLE lines (number INTEGER PRIMARY KEY, id TEXT UNIQUE, line BLOB)")
        self._connection.execute("CREATE TABLE referred (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._connection.execute("BEGIN")
        self._recent: set[str] = set()

    def __enter__(self) -> Self:
        """To be closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the disk."""
        self._connection.close()

    def add(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Keep lines, each with its id; of an id the first counts."""
        self._connection.executemany("INSERT OR IGNORE INTO lines (id, line) VALUES (?, ?)", lines)

    def add_once(self, name: str, line: bytes) -> None:
        """Keep a line of which the same may come again and again."""
        if name in self._recent:
            return
        if len(self._recent) >= REMEMBERED:
            self._recent.clear()
        self._recent.add(name)
        self.add([(name, line)])

    def refer(self, name: str) -> None:
        """Note that a line refers to this id."""
        self._connection.execute("INSERT OR IGNORE INTO referred (id) VALUES (?)", (name,))

    def lines(self) -> Iterator[bytes]:
        """The lines, in the order in which they came."""
        return (line for (line,) in self._connection.execute("SELECT line FROM lines ORDER BY number"))

    def missing(self) -> Iterator[str]:
        """The ids that were referred to and have no line, in order."""
        statement = "SELECT id FROM referred WHERE id NOT IN (SELECT id FROM lines) ORDER BY id"
        return (name for (name,) in self._connection.execute(statement))
