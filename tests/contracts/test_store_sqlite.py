"""SQLite keeps the store's contracts."""

from pathlib import Path
from typing import Any

import pytest

from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from tests.contracts.covers_contract import CoversContract
from tests.contracts.memory_contract import MemoryContract
from tests.contracts.staged import Staged
from tests.contracts.store_contract import StoreContract
from tests.contracts.tombstone_contract import TombstoneContract


class OnSQLite(Staged):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store.sqlite"

    def opened(self, place: Path, **options: Any) -> WorkflowStore:
        return open_sqlite_store(place, **options)


class TestSQLiteStore(OnSQLite, StoreContract):
    pass


class TestSQLiteMemory(OnSQLite, MemoryContract):
    pass


class TestSQLiteTombstones(OnSQLite, TombstoneContract):
    pass


class TestSQLiteCovers(OnSQLite, CoversContract):
    pass
