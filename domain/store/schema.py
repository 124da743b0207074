"""The store's own tables, as data; those of the other rooms are handed in and created with them.

Types are those that SQLite and PostgreSQL both read as meant: TEXT, BIGINT, DOUBLE PRECISION. The tables of events and
snapshots are the recorders' affair, being shaped by the library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

SCHEMA_VERSION: Final = 1
"""Raised when an older Handrail could no longer read or write a store as it is."""

MIGRATED_TO: Final = 5
"""Number of the last migration of a PostgreSQL store: those that have had fewer are not opened."""

STORE_TABLES: Final[tuple[str, ...]] = (
    "CREATE TABLE IF NOT EXISTS store_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS workflow_keys (
        workflow_id TEXT PRIMARY KEY, key TEXT NOT NULL, key_id TEXT, wrapped TEXT, clear_upto BIGINT)""",
    """CREATE TABLE IF NOT EXISTS erasures (
        workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, erased_at DOUBLE PRECISION NOT NULL,
        erased_by TEXT NOT NULL, reason TEXT NOT NULL, left_over TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS positions (name TEXT PRIMARY KEY, position BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS tombstones (
        workflow_id TEXT PRIMARY KEY, definition TEXT NOT NULL, definition_version TEXT NOT NULL, status TEXT NOT NULL,
        version BIGINT NOT NULL, head TEXT NOT NULL, began BIGINT NOT NULL, position BIGINT NOT NULL, started_at TEXT,
        ended_at TEXT NOT NULL, archived_at TEXT NOT NULL, archived_by TEXT NOT NULL, reason TEXT NOT NULL,
        file TEXT NOT NULL, root TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS tombstones_began ON tombstones (began)",
)

ARCHIVED_WORDS: Final = "this workflow was archived"
"""What the database says where events of a workflow with a tombstone were to be added."""

SCHEMA_FACT: Final = "schema_digest"


def schema_digest(statements: Sequence[str]) -> str:
    """Digest of all DDL of a store: as long as it stays the same, opening the store writes nothing."""
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()
