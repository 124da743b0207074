"""The log on SQLite keeps the follower's contract."""

from pathlib import Path
from typing import Any

import pytest

from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from tests.contracts.log_contract import LogContract
from tests.contracts.stage import SCHEMA


class TestSQLiteLog(LogContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store.sqlite"

    def opened(self, place: Path, **options: Any) -> WorkflowStore:
        return open_sqlite_store(place, schema=SCHEMA, **options)
