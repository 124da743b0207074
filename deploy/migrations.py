"""The migrations of a PostgreSQL store, in their order: what `handrail migrate` runs.

The first makes all tables as they are now, because no version with another shape has been released. From the first
release on it is frozen: each change to a table is then a migration of its own behind it, and a test holds what they
make together equal to what a new store is made of.
"""

from __future__ import annotations

from typing import Final

from deploy.opened import SCHEMA
from domain.store.migrations_postgres import Migration
from domain.store.recorder_postgres import EVENT_TABLES
from domain.store.schema import STORE_TABLES

MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        1, "the tables of events, inbox, timers, signals, tokens and views", (*EVENT_TABLES, *STORE_TABLES, *SCHEMA)
    ),
)
