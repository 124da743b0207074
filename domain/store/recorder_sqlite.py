"""The recorder on SQLite: the library's, with an id of our own for the log and everything on one connection.

Positions in the log are an AUTOINCREMENT id: the library's rowid would give the position of a deleted newest event to
the next one. Writers take turns (BEGIN IMMEDIATE), so positions rise in the order of commits and without gaps: whoever
follows the log by position misses nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore, SQLiteFactory
from eventsourcing.utils import Environment, EnvType

from domain.errors import StoreAway, StoreError, StoreUnavailable
from domain.ports import Along, Cursor
from domain.store import backup_sqlite
from domain.store.columns_sqlite import lacking_columns
from domain.store.connection_sqlite import APPLICATION_ID, Statements, StoreFile, check_header
from domain.store.mapper import EventRow
from domain.store.recorder import EVENT_COLUMNS, EVENTS, SNAPSHOTS, StoreRecorder
from domain.store.schema import ARCHIVED_WORDS, SCHEMA_FACT, SCHEMA_VERSION, STORE_TABLES, schema_digest

STORE_READ_ONLY: Final = "STORE_READ_ONLY"
"""Name of the setting that opens a store for reading only; its value is `y`."""


_GUARD: Final = (
    f"CREATE TRIGGER IF NOT EXISTS {EVENTS}_guard BEFORE INSERT ON {EVENTS} "
    "WHEN EXISTS (SELECT 1 FROM tombstones WHERE workflow_id = NEW.originator_id) "
    f"BEGIN SELECT RAISE(ABORT, '{ARCHIVED_WORDS}'); END"
)
"""In the database, not here: a process of an older version, or one that was asleep, decides on what it saw before."""

_ROWS_A_STATEMENT: Final = 16
"""Rows that one statement inserts where there are many: a third cheaper a row than one at a time."""


class SQLiteStoreRecorder(StoreRecorder, SQLiteApplicationRecorder):
    """Events, snapshots and every table of the rooms in one SQLite file."""

    datastore: StoreFile

    def __init__(self, datastore: SQLiteDatastore, events_table_name: str = EVENTS) -> None:
        """Made by the factory."""
        if not isinstance(datastore, StoreFile):
            raise StoreUnavailable("the store's recorder needs a store's file; take both from SQLiteStoreFactory")
        super().__init__(datastore, events_table_name)
        into = f"INSERT INTO {events_table_name} ({EVENT_COLUMNS}) VALUES "
        self.insert_events_statement = f"{into}(?, ?, ?, ?)"
        self._insert_many_statement = into + ", ".join(["(?, ?, ?, ?)"] * _ROWS_A_STATEMENT)
        self.place = datastore.path

    @property
    def commits_begun(self) -> int:
        """How many commits were asked for so far."""
        return self.datastore.commits_begun

    def hear_trouble(self, hear: Callable[[StoreError], None]) -> None:
        """Have every error told that a transaction ends in."""
        self.datastore.troubled = hear

    def construct_create_table_statements(self) -> list[str]:
        """Tables of events and of snapshots, the latter as the library makes it."""
        events = (
            f"CREATE TABLE IF NOT EXISTS {self.events_table_name} ("
            "id INTEGER PRIMARY KEY AUTOINCREMENT, originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL, "
            "topic TEXT NOT NULL, state BLOB NOT NULL, UNIQUE (originator_id, originator_version))"
        )
        snapshots = (
            f"CREATE TABLE IF NOT EXISTS {SNAPSHOTS} ("
            "originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB, "
            "PRIMARY KEY (originator_id, originator_version)) WITHOUT ROWID"
        )
        return [events, snapshots]

    def create_table(self) -> None:
        """Create the store's own tables."""
        self.prepare(())

    def prepare(self, schema: Sequence[str]) -> None:
        """Create what is missing of the store's tables and of those handed in; writes nothing where all is there."""
        statements = [*self.create_table_statements, *STORE_TABLES, _GUARD, *schema]
        digest = schema_digest(statements)
        with self.reading() as cursor:
            tables = {name for (name,) in cursor.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
            known = cursor.query("SELECT value FROM store_facts WHERE name = ?", (SCHEMA_FACT,)) if tables else []
        if known == [(digest,)]:
            return
        if self.datastore.read_only:
            if tables:
                return
            raise StoreUnavailable(f"store {self.place} is empty; start a workflow first")
        with self.transaction("schema") as cursor:
            check_header(self.datastore.connection, self.place)
            for statement in [*lacking_columns(self.datastore.connection, statements), *statements]:
                cursor.execute(statement)
            cursor.execute(f"PRAGMA application_id={APPLICATION_ID}")
            cursor.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            cursor.execute(
                "INSERT INTO store_facts (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (SCHEMA_FACT, digest),
            )

    def insert_rows(self, rows: Sequence[EventRow], *, along: Sequence[Along] = (), **_: Any) -> Sequence[int]:
        """Insert events and run `along` in one transaction; the events' positions."""
        with self.datastore.transaction(commit=True) as cursor:
            return self._insert_rows(cursor.sqlite_cursor, rows, along)

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], *, along: Sequence[Along] = (), **_: Any
    ) -> Sequence[int]:
        """The library's own way in, for what it saves itself."""
        rows = [EventRow(str(one.originator_id), one.originator_version, one.topic, one.state) for one in stored_events]
        return self._insert_rows(c.sqlite_cursor, rows, along)

    def _insert_rows(self, cursor: sqlite3.Cursor, rows: Sequence[EventRow], along: Sequence[Along]) -> Sequence[int]:
        positions: Sequence[int] = ()
        if rows:
            whole = len(rows) - len(rows) % _ROWS_A_STATEMENT
            for begin in range(0, whole, _ROWS_A_STATEMENT):
                chunk = rows[begin : begin + _ROWS_A_STATEMENT]
                cursor.execute(self._insert_many_statement, list(chain.from_iterable(chunk)))
            cursor.executemany(self.insert_events_statement, rows[whole:])
            # This connection holds the write lock, so the positions given are consecutive.
            (last,) = cursor.execute("SELECT last_insert_rowid()").fetchone()
            positions = range(last - len(rows) + 1, last + 1)
        if along:
            statements = Statements(cursor, self.datastore.clock)
            for each in along:
                each.run(statements)
        return positions

    @contextlib.contextmanager
    def transaction(self, point: str = "commit") -> Iterator[Cursor]:
        """A transaction for writing; `point` names the fault points around its commit."""
        with self.datastore.transaction(commit=True, point=point) as cursor:
            yield Statements(cursor.sqlite_cursor, self.datastore.clock)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Cursor]:
        """A consistent view for reading."""
        with self.datastore.transaction(commit=False) as cursor:
            yield Statements(cursor.sqlite_cursor, self.datastore.clock)

    def data_version(self) -> int:
        """Changes whenever another connection has committed."""
        return self.datastore.data_version()

    def backup(self, target: Path) -> None:
        """Write a consistent copy while others write."""
        backup_sqlite.backup(self.place, target)

    def overwrite_deleted(self) -> None:
        """Have what this connection deletes from now on overwritten with zeros."""
        self.datastore.pragma("secure_delete=ON")

    def empty_log_file(self) -> None:
        """Merge the log file into the database, and empty it. Raises StoreAway while others read what is in it."""
        if self.datastore.pragma("wal_checkpoint(TRUNCATE)") not in ([(0, 0, 0)], [(0, -1, -1)]):
            raise StoreAway(
                f"store {self.place} is being read: what was erased may stay in its log file until the next that ends "
                "alone; stop the others, or run it again later"
            )

    def close(self) -> None:
        """Close the connection."""
        self.datastore.close()


class SQLiteStoreFactory(SQLiteFactory):
    """The library's factory, handing out our recorder on our one connection."""

    application_recorder_class = SQLiteStoreRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Take the place from SQLITE_DBNAME, and whether to write from STORE_READ_ONLY."""
        super().__init__(env)
        unused: SQLiteDatastore = self.datastore
        unused.close()
        path = str(self.env.get(self.SQLITE_DBNAME))
        self.datastore = StoreFile(path, read_only=self.env.get(STORE_READ_ONLY) == "y")
