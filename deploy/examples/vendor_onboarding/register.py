"""The vendor register: a small SQLite file that stands for the ERP system.

It keeps the promises that an idempotent outside must keep. The same idempotency key always gets the same number, a
vendor holds at most one number at a time, a number is never given twice, and releasing what was never reserved is
recorded, so that a reservation arriving after its own release is refused instead of leaking a number.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

SCHEMA_VERSION = 1
FIRST_NUMBER = 100_001
BUSY_TIMEOUT_SECONDS = 5.0

_SCHEMA = f"""
CREATE TABLE reservations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    idempotency_key TEXT NOT NULL UNIQUE,
    vendor_key TEXT NOT NULL,
    legal_name TEXT NOT NULL,
    reserved_at TEXT NOT NULL,
    released_at TEXT
) STRICT;
CREATE UNIQUE INDEX one_number_a_vendor ON reservations (vendor_key) WHERE released_at IS NULL;
CREATE TABLE releases (
    idempotency_key TEXT PRIMARY KEY,
    found INTEGER NOT NULL,
    released_at TEXT NOT NULL
) STRICT;
CREATE TABLE rehearsed_failures (
    idempotency_key TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;
PRAGMA user_version = {SCHEMA_VERSION};
"""

ReleaseResult = Literal["released", "already_released", "never_reserved"]

# What SQLite says when waiting may help; everything else needs a person.
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})


class RegisterError(Exception):
    """The register cannot do what it was asked; the message names the file and the way out."""


class RegisterBusy(RegisterError):
    """The register cannot answer just now; asking again may help."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """One number taken. `fresh` is False where the key had it already."""

    vendor_number: str
    fresh: bool


class VendorRegister:
    """The register in one file, made on first use. Every method is one transaction on a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def number_of(self, vendor_key: str) -> str | None:
        """Return the number that a vendor holds, if any; makes no file.

        Raises:
            RegisterBusy: another process holds the file.
            RegisterError: the file cannot be used.
        """
        if not self._path.exists():
            return None
        with self._transaction() as cursor:
            row = cursor.execute(
                "SELECT id FROM reservations WHERE vendor_key = ? AND released_at IS NULL", (vendor_key,)
            ).fetchone()
        return None if row is None else _number(row[0])

    def reserve(self, key: str, *, vendor_key: str, legal_name: str, at: datetime) -> Reservation:
        """Take a number for a vendor; the same key gets the same number, however often it asks.

        Raises:
            RegisterBusy: another process holds the file.
            RegisterError: the key's number was released, the vendor holds one by another key, or the file is unusable.
        """
        with self._transaction() as cursor:
            if cursor.execute("SELECT 1 FROM releases WHERE idempotency_key = ?", (key,)).fetchone():
                raise RegisterError(
                    f"{self._path}: the reservation {key} was released and cannot be taken again; start a new review"
                )
            own = cursor.execute("SELECT id, vendor_key FROM reservations WHERE idempotency_key = ?", (key,)).fetchone()
            if own is not None:
                if own[1] != vendor_key:
                    raise RegisterError(f"{self._path}: the key {key} is {own[1]}'s; use a new key for {vendor_key}")
                return Reservation(_number(own[0]), fresh=False)
            other = cursor.execute(
                "SELECT id FROM reservations WHERE vendor_key = ? AND released_at IS NULL", (vendor_key,)
            ).fetchone()
            if other is not None:
                raise RegisterError(
                    f"{self._path}: {vendor_key} already holds {_number(other[0])} by another review; review it again"
                )
            cursor.execute(
                "INSERT INTO reservations (idempotency_key, vendor_key, legal_name, reserved_at) VALUES (?, ?, ?, ?)",
                (key, vendor_key, legal_name, at.isoformat()),
            )
            return Reservation(_number(cursor.lastrowid or 0), fresh=True)

    def release(self, key: str, *, at: datetime) -> tuple[ReleaseResult, str | None]:
        """Give back what the key took and return what that came to, with the number if there was one.

        Raises:
            RegisterBusy: another process holds the file.
            RegisterError: the file cannot be used.
        """
        with self._transaction() as cursor:
            row = cursor.execute("SELECT id FROM reservations WHERE idempotency_key = ?", (key,)).fetchone()
            number = None if row is None else _number(row[0])
            if cursor.execute("SELECT 1 FROM releases WHERE idempotency_key = ?", (key,)).fetchone():
                return "already_released", number
            cursor.execute("INSERT INTO releases VALUES (?, ?, ?)", (key, row is not None, at.isoformat()))
            cursor.execute("UPDATE reservations SET released_at = ? WHERE idempotency_key = ?", (at.isoformat(), key))
            return ("released" if row is not None else "never_reserved"), number

    def rehearse_failure(self, key: str, times: int) -> None:
        """Fail as a busy register would, the first `times` times a key asks; the count outlives the process.

        Raises:
            RegisterBusy: on each of the first `times` calls.
            RegisterError: the file cannot be used.
        """
        if times == 0:
            return
        with self._transaction() as cursor:
            row = cursor.execute("SELECT count FROM rehearsed_failures WHERE idempotency_key = ?", (key,)).fetchone()
            count = 0 if row is None else int(row[0])
            if count < times:
                cursor.execute("INSERT OR REPLACE INTO rehearsed_failures VALUES (?, ?)", (key, count + 1))
        if count < times:
            raise RegisterBusy(f"{self._path}: the register is busy (rehearsed, {count + 1} of {times})")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)) as connection:
                # Before the first change: another program's database stays as it is.
                # One transaction, else another process may make the tables between the two questions.
                connection.execute("BEGIN")
                self._version(connection)
                connection.execute("COMMIT")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                cursor = connection.cursor()
                # Writes first: a deferred transaction that reads before it writes may fail at once under contention.
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    self._prepare(cursor)
                    yield cursor
                except BaseException:
                    # SQLite itself rolls back on some errors, a full disk among them.
                    if connection.in_transaction:
                        cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise self._explained(error) from error

    def _prepare(self, cursor: sqlite3.Cursor) -> None:
        if self._version(cursor.connection) == 0:
            for statement in _SCHEMA.split(";"):
                cursor.execute(statement)

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's tables, 0 for a new file; refuse what is not ours."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in {0, SCHEMA_VERSION}:
            raise RegisterError(
                f"{self._path}: a vendor register of version {version}, this program knows {SCHEMA_VERSION}; "
                "name another file with --input register_file=PATH"
            )
        if version == 0 and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            raise RegisterError(
                f"{self._path}: not a vendor register; name another file with --input register_file=PATH"
            )
        return version

    def _explained(self, error: sqlite3.Error | OSError) -> RegisterError:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _PASSING:
            return RegisterBusy(f"{self._path}: the register is busy ({error})")
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return RegisterError(
            f"{self._path}: the register cannot be used ({reason}); name another file with --input register_file=PATH"
        )


def _number(row_id: int) -> str:
    return f"V-{FIRST_NUMBER - 1 + row_id}"
