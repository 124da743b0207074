"""The log on PostgreSQL keeps the follower's contract."""

from typing import Any

import pytest

from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from tests.contracts.log_contract import LogContract
from tests.contracts.stage import SCHEMA
from tests.servers.postgres import Database


class TestPostgresLog(LogContract):
    @pytest.fixture
    def place(self, database: Database) -> str:
        return database.url

    def opened(self, place: str, **options: Any) -> WorkflowStore:
        return open_postgres_store(place, schema=SCHEMA, create=True, **options)
