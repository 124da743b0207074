"""SQLite keeps the store's contract."""

from pathlib import Path
from typing import Any

import pytest

from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from tests.contracts.store_contract import StoreContract


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store.sqlite"

    def opened(self, place: Path, **options: Any) -> WorkflowStore:
        return open_sqlite_store(place, **options)
