"""SQLite keeps the store's contracts."""

from pathlib import Path
from typing import Any

import pytest

from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from domain.store.recorder_sqlite import SQLiteStoreRecorder
from tests.contracts.covers_contract import WORD, CoversContract
from tests.contracts.erasing_contract import ErasingContract
from tests.contracts.memory_contract import MemoryContract
from tests.contracts.stage import Stage
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


class TestSQLiteErasing(OnSQLite, ErasingContract):
    def tables(self, store: WorkflowStore) -> list[str]:
        rows = store.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return [name for (name,) in rows]

    def test_no_file_holds_what_people_wrote_nor_its_key_afterwards(self, stage: Stage, place: Path) -> None:
        files = [place, place.with_name(f"{place.name}-wal")]
        for each in files:
            assert WORD.encode() not in each.read_bytes(), each
        ((salt, wrapped),) = stage.store.query("SELECT key, wrapped FROM workflow_keys WHERE workflow_id = 'wf_2'")
        assert any(wrapped.encode() in each.read_bytes() for each in files)
        file = stage.store.recorder
        assert isinstance(file, SQLiteStoreRecorder)
        file.datastore.pragma("secure_delete=OFF")  # some builds of SQLite begin with it
        erasing = self.erasing(stage, place.parent)
        erasing.erase("wf_2")
        erasing.finish()
        for each in files:
            assert wrapped.encode() not in each.read_bytes(), each
            assert salt.encode() not in each.read_bytes(), each
