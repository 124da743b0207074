"""The SQLite file: what is opened, what is refused, and what a full disk or a locked file does to a turn."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.errors import HandrailError, InputInvalid, StoreError, StoreNewer, StoreUnavailable
from domain.faultpoints import arm
from domain.ports import Command
from domain.store import connection_sqlite
from domain.store.application import WorkflowStore
from domain.store.connection_sqlite import APPLICATION_ID, StoreFile
from domain.store.opening import open_sqlite_store, sqlite_settings
from domain.store.recorder_sqlite import SQLiteStoreFactory, SQLiteStoreRecorder
from domain.store.schema import SCHEMA_VERSION
from tests.contracts.stage import SCHEMA, Loaded, Stage

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def closing() -> Iterator[Callable[[WorkflowStore], WorkflowStore]]:
    stores: list[WorkflowStore] = []

    def kept(store: WorkflowStore) -> WorkflowStore:
        stores.append(store)
        return store

    yield kept
    arm(None)
    for store in stores:
        store.close()


Opened = Callable[..., Stage]


@pytest.fixture
def opened(path: Path, closing: Callable[[WorkflowStore], WorkflowStore]) -> Opened:
    return lambda **options: Stage(lambda **more: closing(open_sqlite_store(path, **more)), **options)


def connection_of(stage: Stage) -> sqlite3.Connection:
    recorder = stage.store.recorder
    assert isinstance(recorder, SQLiteStoreRecorder)
    return recorder.datastore.connection


def refused(opened: Opened, *words: str, kind: type[HandrailError] = StoreUnavailable) -> None:
    with pytest.raises(kind) as caught:
        opened()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- opening


def test_a_store_says_what_it_is(opened: Opened, path: Path) -> None:
    stage = opened()
    settings = {
        name: connection_of(stage).execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "journal_mode", "synchronous")
    }
    assert settings == {
        "application_id": APPLICATION_ID,
        "user_version": SCHEMA_VERSION,
        "journal_mode": "wal",
        "synchronous": 2,
    }
    stage.store.close()
    assert path.read_bytes()[68:72] == b"Hdrl"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "store.sqlite"
    with pytest.raises(StoreUnavailable, match="cannot be opened") as caught:
        open_sqlite_store(path, definitions=Loaded())
    assert str(path) in str(caught.value)


def test_another_program_s_database_is_left_alone(opened: Opened, path: Path) -> None:
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE theirs (a)")
    theirs.close()
    before = path.read_bytes()
    refused(opened, str(path), "another program")
    assert path.read_bytes() == before


def test_so_is_one_that_only_carries_another_s_mark(opened: Opened, path: Path) -> None:
    theirs = sqlite3.connect(path)
    theirs.execute("PRAGMA application_id = 7")
    theirs.close()
    refused(opened, "another program")


def test_what_is_no_database_is_left_alone(opened: Opened, path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1_000)
    refused(opened, str(path), "not a store of Handrail")
    assert path.read_bytes().startswith(b"Dear diary")


def test_a_folder_is_no_store(opened: Opened, path: Path) -> None:
    path.mkdir()
    refused(opened, str(path), "cannot be opened")


def test_an_empty_file_becomes_a_store(opened: Opened, path: Path) -> None:
    path.touch()
    opened().begin("wf_1")


class StoodClock:
    """Stands where the `time` module is: pauses take no time, and call back."""

    def __init__(self, then: Callable[[int], object], step: float = 0.0) -> None:
        self._then = then
        self._step = step
        self.now = 0.0
        self.pauses = 0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.now += self._step
        return self.now

    def sleep(self, _seconds: float) -> None:
        self.pauses += 1
        self._then(self.pauses)


@pytest.fixture
def looked_at(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process reads a new file: switching to the log file fails for as long as it does."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM sqlite_master").fetchone()
    yield other
    other.close()


def test_whoever_is_about_to_make_the_store_is_waited_for(
    path: Path, looked_at: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(pauses: int) -> None:
        if pauses == 3:
            looked_at.close()

    clock = StoodClock(leave)
    monkeypatch.setattr(connection_sqlite, "time", clock)
    file = StoreFile(str(path), lock_timeout_seconds=0)
    assert file.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert clock.pauses == 3
    file.close()


def test_but_not_for_ever(path: Path, looked_at: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_sqlite, "time", StoodClock(lambda _: None, step=1.0))
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        _ = StoreFile(str(path), lock_timeout_seconds=0).connection


def test_a_newer_store_is_refused(opened: Opened, path: Path) -> None:
    opened().store.close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    refused(opened, str(path), f"store version {SCHEMA_VERSION + 1}", kind=StoreNewer)


def test_a_damaged_store_says_so(opened: Opened, path: Path) -> None:
    stage = opened()
    stage.begin(*[f"wf_{number}" for number in range(50)])
    stage.store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="restore it from a backup") as caught:
        opened().checked("wf_1")
    assert str(path) in str(caught.value)


def test_a_store_in_memory_ends_with_its_process(closing: Callable[[WorkflowStore], WorkflowStore]) -> None:
    stage = Stage(lambda **more: closing(open_sqlite_store(":memory:", **more)))
    stage.finish(stage.begin("wf_1"))
    assert stage.checked("wf_1")
    assert not Path(":memory:").exists()


def test_a_closed_store_says_so(opened: Opened) -> None:
    stage = opened()
    stage.store.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        stage.begin("wf_1")
    stage.store.close()


def test_settings_of_the_library_come_from_us_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_DBNAME", "elsewhere.sqlite")
    monkeypatch.setenv("COMPRESSOR_TOPIC", "zlib")
    store = open_sqlite_store(path, definitions=Loaded(), schema=SCHEMA)
    assert store.recorder.place == str(path)
    assert store.mapper.compressor is None
    store.close()
    assert path.exists()


@pytest.mark.parametrize("where", ["settings", "environment"])
def test_the_setting_that_loses_events_is_refused(path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = sqlite_settings(path)
    if where == "settings":
        settings["POSTGRES_ENABLE_DB_FUNCTIONS"] = "y"
    else:
        monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "y")
    with pytest.raises(StoreUnavailable, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
        WorkflowStore(settings, definitions=Loaded())
    assert not path.exists()


def test_settings_that_lead_nowhere_are_an_error_of_ours(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="check the store's settings"):
        WorkflowStore({**sqlite_settings(path), "PERSISTENCE_MODULE": "no.such.module"}, definitions=Loaded())


def test_the_recorder_takes_no_other_file(path: Path) -> None:
    library_s = SQLiteStoreFactory.__mro__[1](sqlite_settings(path)).datastore
    with pytest.raises(StoreUnavailable, match="SQLiteStoreFactory"):
        SQLiteStoreRecorder(library_s)


# --- reading only


def test_a_store_can_be_opened_for_reading_only(opened: Opened, path: Path) -> None:
    stage = opened()
    stage.begin("wf_1")
    reader = Stage(lambda **more: open_sqlite_store(path, read_only=True, **more))
    assert reader.checked("wf_1") == stage.checked("wf_1")
    with pytest.raises(StoreUnavailable, match="read-only"):
        reader.begin("wf_2")
    reader.store.close()


def test_reading_makes_no_store(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_sqlite_store(path, definitions=Loaded(), read_only=True)
    path.touch()
    with pytest.raises(StoreUnavailable, match="empty"):
        open_sqlite_store(path, definitions=Loaded(), read_only=True)
    assert path.stat().st_size == 0


@contextmanager
def as_somebody_without_rights() -> Iterator[None]:
    """Root may write what is read-only: for a moment, be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_read_only_file_is_named(folder_too: bool) -> None:
    folder = Path(tempfile.mkdtemp())
    path = folder / "store.sqlite"
    try:
        stage = Stage(lambda **more: open_sqlite_store(path, **more))
        stage.begin("wf_1")
        stage.store.close()
        path.chmod(0o444)
        folder.chmod(0o555 if folder_too else 0o777)
        with as_somebody_without_rights(), pytest.raises(StoreUnavailable) as caught:
            Stage(lambda **more: open_sqlite_store(path, **more)).begin("wf_2")
        assert str(path) in str(caught.value)
        assert "use another --home" in str(caught.value)
        folder.chmod(0o755)
        path.chmod(0o644)
        again = Stage(lambda **more: open_sqlite_store(path, **more))
        assert again.store.workflow_ids() == ["wf_1"]
        again.store.close()
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


# --- in the middle of the work


def pages(stage: Stage, more: int | None) -> None:
    """Let the file grow by so many pages, or as far as it likes."""
    connection = connection_of(stage)
    (now,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {2**30 if more is None else now + more}")


def test_a_full_disk_loses_nothing(opened: Opened, path: Path) -> None:
    stage = opened()
    commands = stage.begin(*[f"wf_{number}" for number in range(40)])
    before = {name: stage.checked(name) for name in stage.store.workflow_ids()}
    pages(stage, 1)
    with pytest.raises(StoreUnavailable, match="full disk") as caught:
        stage.decide(*[stage.outcome(command) for command in commands])
    assert str(path) in str(caught.value)
    assert {name: stage.checked(name) for name in stage.store.workflow_ids()} == before
    assert set(stage.row_states().values()) == {"claimed"}
    pages(stage, None)
    stage.finish(commands)
    assert {stage.store.load(name).ended for name in before} == {"completed"}


def test_a_locked_store_says_so(opened: Opened, path: Path) -> None:
    stage = opened()
    (command,) = stage.begin("wf_1")
    other = sqlite3.connect(path, isolation_level=None)
    connection_of(stage).execute("PRAGMA busy_timeout = 1")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked by another process") as caught:
        stage.decide(stage.outcome(command))
    assert str(path) in str(caught.value)
    assert stage.checked("wf_1"), "who only reads is not kept waiting"
    other.execute("ROLLBACK")
    other.close()
    stage.finish([command])


def test_others_are_waited_for(opened: Opened) -> None:
    (timeout,) = connection_of(opened()).execute("PRAGMA busy_timeout").fetchone()
    assert timeout == 5_000


def test_a_connection_that_cannot_roll_back_is_replaced(opened: Opened) -> None:
    stage = opened()
    (command,) = stage.begin("wf_1")
    broken = connection_of(stage)

    def gone(name: str) -> None:
        if name == "commit.before":
            arm(None)
            broken.close()
            raise sqlite3.OperationalError("disk I/O error")

    arm(gone)
    with pytest.raises(StoreUnavailable):
        stage.decide(stage.outcome(command))
    assert connection_of(stage) is not broken
    stage.finish([command])
    assert stage.store.load("wf_1").ended == "completed"


# --- how much is asked of the database


def statements(stage: Stage, act: Callable[[], Any]) -> list[str]:
    asked: list[str] = []
    connection = connection_of(stage)
    connection.set_trace_callback(asked.append)
    act()
    connection.set_trace_callback(None)
    return asked


def test_a_workflow_in_memory_is_not_read_while_nobody_else_writes(opened: Opened) -> None:
    stage = opened()
    commands = stage.begin("wf_1", "wf_2")
    following: list[Command] = []
    asked = statements(stage, lambda: following.extend(stage.go_on(commands)))
    assert [one for one in asked if "FROM wanted" in one or "workflow_keys" in one] == []
    assert sum(one.startswith("BEGIN") for one in asked) == 1
    opened().begin("wf_3")
    asked = statements(stage, lambda: stage.go_on(following))
    assert sum("FROM wanted" in one for one in asked) == 1


def test_a_cold_turn_is_two_queries(opened: Opened) -> None:
    commands = opened().begin(*[f"wf_{number}" for number in range(200)])
    cold = opened()
    asked = statements(cold, lambda: cold.go_on(commands))
    assert sum("FROM wanted" in one for one in asked) == 1
    assert sum("FROM workflow_keys" in one for one in asked) == 1


def test_a_live_command_is_looked_for_only_beside_the_one_that_ended(opened: Opened) -> None:
    stage = opened()
    single, several = stage.begin("wf_1"), stage.begin("wf_2", definition="wide")
    asked = statements(stage, lambda: stage.go_on(single))
    assert not any("state = 'open'" in one and one.startswith("SELECT") for one in asked)
    asked = statements(stage, lambda: stage.go_on(several[:1]))
    assert sum("state = 'open'" in one and one.startswith("SELECT") for one in asked) == 1


# --- backups


def test_a_backup_of_what_is_damaged_is_refused(opened: Opened, path: Path, tmp_path: Path) -> None:
    stage = opened()
    stage.begin(*[f"wf_{number}" for number in range(50)])
    stage.store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 8 : 4096 * 9] = b"\xff" * 4096
    path.write_bytes(content)
    target = tmp_path / "copy.sqlite"
    with pytest.raises(StoreUnavailable, match="damaged"):
        SQLiteStoreRecorder(StoreFile(str(path))).backup(target)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("copy")] == []


def test_a_backup_can_be_read_by_its_owner_alone(opened: Opened, tmp_path: Path) -> None:
    stage = opened()
    stage.begin("wf_1")
    target = tmp_path / "copy.sqlite"
    stage.store.backup(target)
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_backup_of_nothing_is_refused(tmp_path: Path) -> None:
    recorder = SQLiteStoreRecorder(StoreFile(str(tmp_path / "none.sqlite")))
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        recorder.backup(tmp_path / "copy.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_never_written_over_what_came_meanwhile(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = opened()
    stage.begin("wf_1")
    target = tmp_path / "copy.sqlite"
    link = os.link

    def meanwhile(unfinished: Path, wanted: Path) -> None:
        target.write_text("mine", encoding="utf-8")
        link(unfinished, wanted)

    monkeypatch.setattr(os, "link", meanwhile)
    with pytest.raises(InputInvalid, match="exists already"):
        stage.store.backup(target)
    assert target.read_text(encoding="utf-8") == "mine"


def test_a_backup_made_while_a_transaction_is_open_holds_what_was_committed(opened: Opened, tmp_path: Path) -> None:
    stage = opened()
    stage.begin("wf_1")
    target = tmp_path / "copy.sqlite"
    stage.meddler.then = lambda: stage.store.backup(target)
    stage.begin("wf_2")
    copy = open_sqlite_store(target, definitions=Loaded(), schema=SCHEMA)
    assert copy.workflow_ids() == ["wf_1"]
    copy.close()
