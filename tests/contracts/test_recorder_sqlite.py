"""SQLite keeps the recorder's contract."""

from pathlib import Path

from domain.store.connection_sqlite import StoreFile
from domain.store.recorder import StoreRecorder
from domain.store.recorder_sqlite import SQLiteStoreRecorder
from tests.contracts.recorder_contract import RecorderContract


class TestSQLiteRecorder(RecorderContract):
    def opened(self, folder: Path) -> StoreRecorder:
        return SQLiteStoreRecorder(StoreFile(str(folder / "store.sqlite")))

    def back_up(self, recorder: StoreRecorder, folder: Path) -> None:
        recorder.backup(folder / "store.sqlite")

    def restored(self, folder: Path) -> StoreRecorder:
        return self.opened(folder)
