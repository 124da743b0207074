"""PostgreSQL keeps the store's contracts."""

from typing import Any

import pytest

from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from tests.contracts.covers_contract import CoversContract
from tests.contracts.erasing_contract import ErasingContract
from tests.contracts.memory_contract import MemoryContract
from tests.contracts.staged import Staged
from tests.contracts.store_contract import StoreContract
from tests.contracts.tombstone_contract import TombstoneContract
from tests.servers.postgres import Database


class OnPostgres(Staged):
    @pytest.fixture
    def place(self, database: Database) -> str:
        return database.url

    def opened(self, place: str, **options: Any) -> WorkflowStore:
        return open_postgres_store(place, create=True, **options)


class TestPostgresStore(OnPostgres, StoreContract):
    pass


class TestPostgresMemory(OnPostgres, MemoryContract):
    pass


class TestPostgresTombstones(OnPostgres, TombstoneContract):
    pass


class TestPostgresCovers(OnPostgres, CoversContract):
    pass


class TestPostgresErasing(OnPostgres, ErasingContract):
    def tables(self, store: WorkflowStore) -> list[str]:
        return [name for (name,) in store.query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")]
