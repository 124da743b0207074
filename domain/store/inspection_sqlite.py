"""A store's file as `handrail doctor` looks at it: read-only, in bounded time."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from domain.store.connection_sqlite import check_header, imported_in
from domain.store.imported import Imported
from domain.store.trouble import trouble

READ_SECONDS: Final = 10.0
"""How long the file is read through at most."""
_STEPS_BETWEEN_LOOKS: Final = 10_000


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is true of a file. `complete` is whether it was read to its end; `damage` is what SQLite found wrong."""

    version: int
    journal: str
    bytes: int
    damage: tuple[str, ...]
    complete: bool
    imported: Imported | None = None
    """What it was imported from, where it was."""


def inspect_file(path: Path, *, seconds: float = READ_SECONDS) -> FileFacts:
    """Look at a store's file. Raises StoreUnavailable where it cannot be read or is another program's, StoreNewer."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0)
    except sqlite3.Error as error:
        raise trouble(error, str(path)) from error
    try:
        check_header(connection, str(path))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        imported = imported_in(connection)
        until = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
        try:
            said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(10)")]
            complete = True
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            said, complete = [], False
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return FileFacts(0, "wal", path.stat().st_size, (str(error),), complete=True)
        raise trouble(error, str(path)) from error
    finally:
        connection.close()
    damage = tuple(line for line in said if line != "ok")
    return FileFacts(int(version), str(journal), path.stat().st_size, damage, complete, imported)
