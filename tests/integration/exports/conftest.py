"""Stores with the same histories, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA, open_store
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from tests.integration.exports.stock import fill, histories
from tests.servers.postgres import Database

WORKFLOWS = 12


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / ".handrail"


@pytest.fixture
def stocked(home: Path) -> Iterator[WorkflowStore]:
    """A home's store with twelve histories."""
    store = open_store(home, LoadedDefinitions())
    fill(store, histories(WORKFLOWS))
    yield store
    store.close()


@pytest.fixture
def stocked_postgres(database: Database) -> Iterator[WorkflowStore]:
    """The same on PostgreSQL, where positions have a gap: something was rolled back in between."""
    store = open_postgres_store(database.url, definitions=LoadedDefinitions(), schema=SCHEMA, create=True)
    made = histories(WORKFLOWS)
    fill(store, made[:5])
    with store.transaction() as cursor:
        cursor.query("SELECT nextval('stored_events_id_seq')::bigint")
    fill(store, made[5:])
    yield store
    store.close()
