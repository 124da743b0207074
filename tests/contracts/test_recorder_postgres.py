"""PostgreSQL keeps the recorder's contract."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import InputInvalid
from domain.store.connection_postgres import StoreServer
from domain.store.recorder import StoreRecorder
from domain.store.recorder_postgres import PostgresStoreRecorder
from tests.contracts.recorder_contract import RecorderContract
from tests.servers.postgres import Database, postgres_programs


class TestPostgresRecorder(RecorderContract):
    database: Database
    copies: list[Database]

    @pytest.fixture(autouse=True)
    def _database(self, database: Database) -> Iterator[None]:
        self.database = database
        self.copies = []
        yield
        for copy in self.copies:
            database.cluster.drop(copy)

    def opened(self, folder: Path) -> StoreRecorder:
        return PostgresStoreRecorder(StoreServer(self.database.url))

    def back_up(self, recorder: StoreRecorder, folder: Path) -> None:
        run("pg_dump", "--no-owner", f"--file={folder / 'dump.sql'}", self.database.admin_url)

    def restored(self, folder: Path) -> StoreRecorder:
        copy = self.database.cluster.new_database("template0")
        self.copies.append(copy)
        run("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={folder / 'dump.sql'}", copy.url)
        return PostgresStoreRecorder(StoreServer(copy.url))

    def test_a_backup_is_left_to_what_postgresql_brings(self, recorder: StoreRecorder, tmp_path: Path) -> None:
        with pytest.raises(InputInvalid, match="pg_dump"):
            recorder.backup(tmp_path / "copy")


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(postgres_programs() / program), *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
