"""Lines that stand behind others in a file, kept on the disk until their turn comes: each once, in the order they came.

The disk's share is a database of SQLite's without a name, which goes with whoever opened it; memory holds little of it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from domain.errors import StoreUnavailable

REMEMBERED: Final = 10_000
"""So many ids are known without asking the disk."""


class Spool:
    """Lines by id, and the ids that lines refer to. Raises StoreUnavailable where the disk has no room for them."""

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
        with _disk():
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
        with _disk():
            self._connection.execute("INSERT OR IGNORE INTO referred (id) VALUES (?)", (name,))

    def lines(self) -> Iterator[bytes]:
        """The lines, in the order in which they came."""
        return self._read("SELECT line FROM lines ORDER BY number")

    def missing(self) -> Iterator[str]:
        """The ids that were referred to and have no line, in order."""
        return self._read("SELECT id FROM referred WHERE id NOT IN (SELECT id FROM lines) ORDER BY id")

    def _read(self, statement: str) -> Iterator[Any]:
        with _disk():
            for (found,) in self._connection.execute(statement):
                yield found


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Say it in words where the disk says no."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"what is known of objects cannot be kept in a temporary file ({error}); set TMPDIR to a folder with room"
        ) from error
