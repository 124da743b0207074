"""One SQLite file on one connection: opened, checked, and used in transactions whose errors are ours.

Every commit of this process passes through `StoreFile.transaction`, so this is where the fault points around a commit
are, and where a failed transaction is rolled back. Transactions begin IMMEDIATE: a writer waits for its turn at the
start, and never finds out in the middle that it cannot have it.

A commit is on the disk when it returns (`synchronous=FULL`). SQLite's log file is merged into the database every 1,000
pages, as SQLite does by itself: measured with 500 to 16,000, more pages made no step cheaper and the pauses longer, and
a young store, whose log file still grows, slower.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from domain.errors import HandrailError, StoreError, StoreNewer, StoreUnavailable
from domain.faultpoints import reached
from domain.store.imported import IMPORTED_FACT, Imported, imported_of
from domain.store.schema import SCHEMA_VERSION
from domain.store.trouble import LOCK_TIMEOUT_SECONDS, trouble

APPLICATION_ID: Final = int.from_bytes(b"Hdrl", "big")
"""Stands in the file's header: what `file` and SQLite know a store of Handrail by."""

_CACHE_KIBIBYTES: Final = 16_384
_STATEMENTS_CACHED: Final = 512
_PAUSE_SECONDS: Final = 0.01


class Statements:
    """The cursor of the ports, over one of SQLite's."""

    __slots__ = ("_clock", "_cursor")

    def __init__(self, cursor: sqlite3.Cursor, clock: Callable[[], float]) -> None:
        """Rows come as plain tuples; `clock` stands for the database's."""
        cursor.row_factory = None
        self._cursor = cursor
        self._clock = clock

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        return self._cursor.execute(statement, parameters).rowcount

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        self._cursor.executemany(statement, rows)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SELECT (or … RETURNING); its rows."""
        return self._cursor.execute(statement, parameters).fetchall()

    def now(self) -> float:
        """Seconds since 1970 in UTC. SQLite's clock is that of the machine it runs on, which is this one."""
        return self._clock()


_WITHIN: Final = "a transaction was begun within a transaction; use the cursor that it gave"


class StoreFile(SQLiteDatastore):
    """The library's datastore, on one connection that is opened when first used.

    Threads take turns. Reading while a transaction of the same thread is open sees what that one has written.
    """

    def __init__(self, path: str, *, lock_timeout_seconds: int = LOCK_TIMEOUT_SECONDS, read_only: bool = False) -> None:
        """Remember where; nothing is opened yet. `:memory:` is a store that ends with its process."""
        super().__init__(path, lock_timeout=lock_timeout_seconds, originator_id_type="text")
        self.path = path
        self.read_only = read_only
        self.clock: Callable[[], float] = time.time
        self.commits_begun = 0
        self.troubled: Callable[[StoreError], None] = _nobody
        """Hears of every error that a transaction ends in."""
        self._lock_timeout_seconds = lock_timeout_seconds
        self._guard = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened and checked; raises StoreUnavailable or StoreNewer."""
        return self._connection or self._open()

    @contextlib.contextmanager
    def transaction(self, *, commit: bool, point: str = "commit") -> Iterator[SQLiteCursor]:
        """A cursor within a transaction; `point` is the family of fault points reached before and after its commit.

        Whatever is raised inside rolls everything back. Without `commit` it is a consistent view for reading.
        """
        with self._guard:
            try:
                connection = self.connection
                if connection.in_transaction:
                    if commit:
                        raise StoreError(_WITHIN)  # noqa: TRY301 - whoever counts errors counts this one
                    yield SQLiteCursor(connection.cursor())
                    return
                connection.execute("BEGIN IMMEDIATE" if commit else "BEGIN")
                try:
                    yield SQLiteCursor(connection.cursor())
                    if commit:
                        reached(f"{point}.before")
                        self.commits_begun += 1
                    connection.execute("COMMIT" if commit else "ROLLBACK")
                except BaseException:
                    self._roll_back(connection)
                    raise
            except sqlite3.Error as error:
                found = trouble(error, self.path)
                self.troubled(found)
                raise found from error
            except StoreError as error:
                self.troubled(error)
                raise
            if commit:
                reached(f"{point}.after")

    def data_version(self) -> int:
        """Changes whenever another connection, of whatever process, has committed to the file."""
        with self._guard:
            try:
                (version,) = self.connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error as error:
                raise trouble(error, self.path) from error
            return int(version)

    def pragma(self, words: str) -> list[tuple[Any, ...]]:
        """Run a PRAGMA outside of transactions; its rows."""
        with self._guard:
            try:
                return [tuple(row) for row in self.connection.execute(f"PRAGMA {words}")]
            except sqlite3.Error as error:
                raise trouble(error, self.path) from error

    def close(self) -> None:
        """Close the connection for good."""
        super().close()
        if getattr(self, "_guard", None) is None:  # __del__ of one whose making failed
            return
        with self._guard:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Undo the open transaction; a connection that cannot even do that is dropped, and opened anew when needed."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None
            connection.close()

    def _location(self) -> str:
        """What SQLite opens. Without a folder to share memory in, it reads a database only if told that it rests."""
        if not self.read_only:
            return self.path
        return f"file:{quote(self.path)}?{'immutable=1' if _nobody_can_write(self.path) else 'mode=ro'}"

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"store {self.path} was closed; open it again")
        location = self._location()
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                location,
                uri=self.read_only,
                isolation_level=None,  # BEGIN and COMMIT are ours
                check_same_thread=False,  # threads take turns, by the guard
                cached_statements=_STATEMENTS_CACHED,
                timeout=self._lock_timeout_seconds,
            )
            connection.row_factory = sqlite3.Row  # the library's own queries read columns by name
            check_header(connection, self.path)
            if not self.read_only:
                imported = imported_in(connection)
                if imported is not None:
                    raise imported.refusal(self.path)
                _use_log_file(connection, self._lock_timeout_seconds)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
            connection.execute("PRAGMA temp_store=MEMORY")
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise trouble(error, self.path) from error
        except HandrailError:
            if connection is not None:
                connection.close()
            raise
        self._connection = connection
        return connection


def _nobody(_: StoreError) -> None:
    """Nobody counts them."""


def _nobody_can_write(path: str) -> bool:
    """Whether the store's folder is closed to us and no log file is left in it: then what is there stays as it is."""
    return not os.access(Path(path).parent, os.W_OK) and not Path(f"{path}-wal").exists()


def imported_in(connection: sqlite3.Connection) -> Imported | None:
    """What the store was imported from; None where it was not. Nothing in the file is touched."""
    tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'store_facts'"
    if tuple(connection.execute(tables).fetchone()) == (0,):
        return None
    return imported_of([tuple(row) for row in connection.execute(IMPORTED_FACT)])


def _use_log_file(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Have SQLite write ahead to a log file, so that readers and the writer do not wait for one another.

    Processes that open a new file at the same moment all want to switch it; here SQLite's own patience does not help.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode == "delete":
                connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def check_header(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file that is another program's (StoreUnavailable) or a newer Handrail's (StoreNewer)."""
    # One statement, so one view: another process may be making the store at this moment.
    ((application, version, tables),) = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_application_id, pragma_user_version"
    )
    if application != APPLICATION_ID and (tables or application):
        raise StoreUnavailable(
            f"store {path} is a SQLite database of another program; name another file, or use another --home"
        )
    if version > SCHEMA_VERSION:
        raise StoreNewer(
            f"store {path} was written by a newer Handrail (store version {version}, this one knows {SCHEMA_VERSION}); "
            "use that version, or another --home"
        )
