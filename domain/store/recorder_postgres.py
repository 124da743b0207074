"""The recorder on PostgreSQL: the library's, with inserts that wait for one another and everything on few round trips.

Writers take turns by an advisory lock that lasts as long as their transaction, so positions rise in the order of
commits: whoever follows the log by position misses nothing. The library's `LOCK TABLE` would do the same, and wait for
every VACUUM besides. Its `@retry` is not used either: it would run a transaction again whose commit had succeeded.

Unlike on SQLite, positions may have gaps: what was rolled back leaves one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment, EnvType

from domain.errors import InputInvalid, StoreError, StoreUnavailable
from domain.ports import Along, Cursor
from domain.store.batches_postgres import several
from domain.store.connection_postgres import Statements, StoreServer
from domain.store.mapper import EventRow
from domain.store.migrations_postgres import check_migrated
from domain.store.recorder import EVENT_COLUMNS, EVENTS, SNAPSHOTS, StoreRecorder
from domain.store.schema import ARCHIVED_WORDS, SCHEMA_FACT, STORE_TABLES, schema_digest

STORE_URL: Final = "STORE_URL"
"""Name of the setting with the store's address."""
STORE_CREATE: Final = "STORE_CREATE"
"""Name of the setting that has the store create its tables itself; its value is `y`."""
STORE_VERSION: Final = "STORE_VERSION"
"""Name of the setting with the number of the last migration that this version of Handrail knows."""

CHANNEL: Final = "handrail_log"
"""What those listen on who want to know that something was added to the log."""

QUIET_SECONDS: Final = 1.0
"""When nobody else was heard to add to the log for so long, turns are decided without asking whether somebody has."""

INSERTS: Final = int.from_bytes(b"Handrail", "big")
"""The advisory lock of who adds to the log."""
SCHEMA: Final = INSERTS + 1
"""The advisory lock of who changes tables."""

EVENT_TABLES: Final[tuple[str, ...]] = (
    f"""CREATE TABLE IF NOT EXISTS {EVENTS} (
        id BIGSERIAL PRIMARY KEY, originator_id TEXT NOT NULL, originator_version BIGINT NOT NULL,
        topic TEXT NOT NULL, state BYTEA NOT NULL, UNIQUE (originator_id, originator_version))""",
    f"""CREATE TABLE IF NOT EXISTS {SNAPSHOTS} (
        originator_id TEXT, originator_version BIGINT, topic TEXT, state BYTEA,
        PRIMARY KEY (originator_id, originator_version))""",
)

GUARD: Final[tuple[str, ...]] = (
    f"""CREATE OR REPLACE FUNCTION {EVENTS}_guard() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN
        IF EXISTS (SELECT 1 FROM tombstones WHERE workflow_id = NEW.originator_id) THEN
        RAISE EXCEPTION ''{ARCHIVED_WORDS}'' USING ERRCODE = ''unique_violation''; END IF; RETURN NEW; END'""",
    # Not dropped and made anew: that would wait for everybody who reads.
    f"""DO 'BEGIN IF NOT EXISTS (
        SELECT 1 FROM pg_trigger WHERE tgname = ''{EVENTS}_guard'' AND tgrelid = ''{EVENTS}''::regclass)
        THEN CREATE TRIGGER {EVENTS}_guard BEFORE INSERT ON {EVENTS} FOR EACH ROW EXECUTE FUNCTION {EVENTS}_guard();
        END IF; END'""",
)
"""In the database, not here: a process of an older version, or one that was asleep, decides on what it saw before."""

_INSERT: Final = f"INSERT INTO {EVENTS} ({EVENT_COLUMNS}) VALUES (?, ?, ?, ?) RETURNING id"
_LOCK: Final = f"SELECT extract(epoch FROM clock_timestamp())::float8, pg_advisory_xact_lock({INSERTS})::text"
_LOCK_AND_TELL: Final = f"{_LOCK}, pg_notify('{CHANNEL}', '')::text"


class PostgresStoreRecorder(StoreRecorder, PostgresApplicationRecorder):
    """Events, snapshots and every table of the rooms in one PostgreSQL database."""

    datastore: StoreServer

    def __init__(
        self, datastore: PostgresDatastore, *, events_table_name: str = EVENTS, create: bool = True, version: int = 0
    ) -> None:
        """Made by the factory. With `create`, `prepare` makes what is missing; else it asks for that migration."""
        if not isinstance(datastore, StoreServer):
            raise StoreUnavailable("the store's recorder needs a store's server; take both from PostgresStoreFactory")
        super().__init__(datastore, events_table_name=events_table_name)
        self.place = datastore.place
        self._create = create
        self._version = version
        self._guard = threading.Lock()
        self._known = 0
        self._changes = 0
        self._others_heard_at: float | None = None
        self._asked_at = 0.0

    @property
    def commits_begun(self) -> int:
        """How many commits were asked for so far."""
        return self.datastore.commits_begun

    def hear_trouble(self, hear: Callable[[StoreError], None]) -> None:
        """Have every error told that a transaction or a statement ends in."""
        self.datastore.troubled = hear

    def create_table(self) -> None:
        """Create the store's own tables."""
        self.prepare(())

    def prepare(self, schema: Sequence[str]) -> None:
        """Create what is missing of the store's tables and of those handed in, or check that it was migrated.

        Raises StoreUnavailable, or StoreNewer, saying what to do.
        """
        if not self._create:
            with self.reading() as cursor:
                check_migrated(cursor, self._version, self.place)
            return
        statements = [*EVENT_TABLES, *STORE_TABLES, *GUARD, *schema]
        digest = schema_digest(statements)
        with self.reading() as cursor:
            there = cursor.query("SELECT to_regclass('store_facts')::text")[0][0] is not None
            if there and cursor.query("SELECT value FROM store_facts WHERE name = ?", (SCHEMA_FACT,)) == [(digest,)]:
                return
        with self.transaction("schema") as cursor:
            cursor.query(f"SELECT pg_advisory_xact_lock({SCHEMA})::text")
            for statement in statements:
                cursor.execute(statement)
            cursor.execute(
                "INSERT INTO store_facts (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (SCHEMA_FACT, digest),
            )

    # --- writing ----------------------------------------------------------------------------------------------------

    def insert_rows(self, rows: Sequence[EventRow], *, along: Sequence[Along] = (), **_: Any) -> Sequence[int]:
        """Insert events and run `along` in one transaction; the events' positions."""
        with self.datastore.writing() as wire:
            clock = wire.gather(_LOCK_AND_TELL if rows else _LOCK)
            inserted = [wire.gather(*each, typed=False) for each in several(_INSERT, rows)]
            statements = Statements(wire, self.datastore, clock)
            for each in along:
                each.run(statements)
            if clock.answer.rows:
                wire.see_clock(clock)
        positions = [row[0] for part in inserted for row in part.answer.rows]
        if positions:
            self._note(positions)
        return positions

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """The library's own way in, for what it saves itself."""
        rows = [EventRow(str(one.originator_id), one.originator_version, one.topic, one.state) for one in stored_events]
        return self.insert_rows(rows, **kwargs)

    @contextlib.contextmanager
    def transaction(self, point: str = "commit") -> Iterator[Cursor]:
        """A transaction for writing; `point` names the fault points around its commit."""
        with self.datastore.writing(point=point) as wire:
            yield Statements(wire, self.datastore)

    def change(
        self, statement: str, parameters: Callable[[float], Sequence[Any]], point: str = "commit"
    ) -> list[tuple[Any, ...]]:
        """As the port, without the round trips around a transaction."""
        return self.datastore.change(statement, parameters, point=point).rows

    def hold_up_inserts(self, cursor: Cursor) -> None:
        """As the port: by the lock that inserts wait for one another with."""
        cursor.query(f"SELECT pg_advisory_xact_lock({INSERTS})::text")

    def tell(self, cursor: Cursor) -> None:
        """As the port: those who listen hear it."""
        cursor.query(f"SELECT pg_notify('{CHANNEL}', '')::text")

    # --- reading ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self) -> Iterator[Cursor]:
        """A consistent view for reading."""
        with self.datastore.viewing() as wire:
            yield Statements(wire, self.datastore)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT, which needs no view of its own: one round trip."""
        return self.datastore.ask(statement, parameters).rows

    def data_version(self) -> int:
        """Changes whenever somebody else has added to the log."""
        newest = self.max_notification_id()
        with self._guard:
            if newest != self._known:
                self._known = newest
                self._changes += 1
            return self._changes

    def version_to_decide_on(self) -> int:
        """As the port; while others are listened to and say nothing, nobody is asked.

        What was heard is asked about once at least, however late the next turn comes: a stale workflow whose decision
        writes nothing would never be found out.
        """
        heard_at, now = self._others_heard_at, time.monotonic()
        if heard_at is None or now - heard_at < QUIET_SECONDS or self._asked_at <= heard_at:
            version = self.data_version()
            self._asked_at = now
            return version
        with self._guard:
            return self._changes

    def hear_others(self, *, listening: bool) -> None:
        """Others have just added to the log, or may have; `listening` says whether we shall hear when they do again."""
        self._others_heard_at = time.monotonic() if listening else None

    def _note(self, positions: Sequence[int]) -> None:
        """Take what this process added for known, where nobody else was in between."""
        with self._guard:
            if positions[0] == self._known + 1 and positions[-1] - positions[0] + 1 == len(positions):
                self._known = positions[-1]

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The library's way of reading one workflow's events."""
        conditions, parameters = ["originator_id = ?"], [originator_id]
        if gt is not None:
            conditions.append("originator_version > ?")
            parameters.append(gt)
        if lte is not None:
            conditions.append("originator_version <= ?")
            parameters.append(lte)
        bound = "LIMIT ?" if limit is not None else ""
        rows = self.query(
            f"SELECT {EVENT_COLUMNS} FROM {EVENTS} WHERE {' AND '.join(conditions)} "
            f"ORDER BY originator_version {'DESC' if desc else 'ASC'} {bound}",
            parameters if limit is None else [*parameters, limit],
        )
        return [StoredEvent(*row) for row in rows]

    # --- else -------------------------------------------------------------------------------------------------------

    def backup(self, target: Path) -> None:
        """Refuse: PostgreSQL brings what backs it up."""
        raise InputInvalid(
            f"store {self.place} is backed up with PostgreSQL's own tools, not to {target}: "
            "use pg_dump, or pg_basebackup with archived WAL; `handrail restore` after it was put back"
        )

    def close(self) -> None:
        """Close the connections."""
        self.datastore.close()


class PostgresStoreFactory(PostgresFactory):
    """The library's factory, handing out our recorder on our connections."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Take the place from STORE_URL, and whether to create tables from STORE_CREATE."""
        super().__init__(env)
        unused: PostgresDatastore = self.datastore
        unused.close()
        self.datastore = StoreServer(str(self.env.get(STORE_URL)))

    def application_recorder(self) -> PostgresStoreRecorder:
        """Our recorder."""
        return PostgresStoreRecorder(
            self.datastore,
            create=self.env.get(STORE_CREATE) == "y",
            version=int(self.env.get(STORE_VERSION) or 0),
        )
