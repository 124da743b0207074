"""SQLite keeps the recorder's contract."""

from pathlib import Path

import pytest

from domain.errors import InputInvalid
from domain.store.connection_sqlite import StoreFile
from domain.store.recorder import StoreRecorder
from domain.store.recorder_sqlite import SQLiteStoreRecorder
from tests.contracts.recorder_contract import RecorderContract, rows


class TestSQLiteRecorder(RecorderContract):
    def opened(self, folder: Path) -> StoreRecorder:
        return SQLiteStoreRecorder(StoreFile(str(folder / "store.sqlite")))

    def back_up(self, recorder: StoreRecorder, folder: Path) -> None:
        recorder.backup(folder / "store.sqlite")

    def restored(self, folder: Path) -> StoreRecorder:
        return self.opened(folder)

    def test_a_backup_takes_the_place_of_nothing(self, recorder: StoreRecorder, tmp_path: Path) -> None:
        recorder.insert_rows(rows("a", 1))
        target = tmp_path / "precious"
        target.write_text("mine", encoding="utf-8")
        with pytest.raises(InputInvalid, match="exists already"):
            recorder.backup(target)
        with pytest.raises(InputInvalid, match="does not exist"):
            recorder.backup(tmp_path / "nowhere" / "copy")
        assert target.read_text(encoding="utf-8") == "mine"
        assert [path for path in tmp_path.iterdir() if "unfinished" in path.name] == []
