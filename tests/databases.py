"""The database under the rooms' tests: a SQLite file, unless a test of `tests/contracts/rooms` says PostgreSQL.

There each path is a schema of its own within one database: making databases takes long.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from domain.store.application import WorkflowStore
from domain.store.connection_postgres import StoreServer
from domain.store.connection_sqlite import StoreFile
from domain.store.opening import open_postgres_store, open_sqlite_store
from domain.store.recorder import StoreRecorder
from domain.store.recorder_postgres import PostgresStoreRecorder
from domain.store.recorder_sqlite import SQLiteStoreRecorder

# The address of the database that stores are opened in; the fixture `on_postgres` sets it for one test.
address: list[str] = []


def open_store(path: Path, **options: Any) -> WorkflowStore:
    """A store that is the path's own, whatever the database."""
    return open_postgres_store(_schema(path), create=True, **options) if address else open_sqlite_store(path, **options)


def open_recorder(path: Path) -> StoreRecorder:
    """The same, for who needs no workflows."""
    return PostgresStoreRecorder(StoreServer(_schema(path))) if address else SQLiteStoreRecorder(StoreFile(str(path)))


def _schema(path: Path) -> str:
    """The address of the path's schema, made where it is missing."""
    name = f"path_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    with psycopg.connect(address[0], autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
    return f"{address[0]}?options=-csearch_path%3D{name}"


def set_clock(store: WorkflowStore, clock: Callable[[], float]) -> None:
    """Have this be the database's clock."""
    store.recorder.datastore.clock = clock  # type: ignore[attr-defined]  # both backends have one


def plan_of(store: WorkflowStore, question: str) -> str:
    """How PostgreSQL would answer a question."""
    return "\n".join(row[0] for row in store.query(f"EXPLAIN (COSTS OFF) {question}"))


def by_index(store: WorkflowStore, question: str) -> str:
    """The index that PostgreSQL answers a question by alone, reading no table through and sorting nothing."""
    plan = plan_of(store, question)
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    return plan
