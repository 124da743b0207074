"""What the store asks of a recorder, whatever the database. A backend's suite says how to open one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from eventsourcing.persistence import EventStore, StoredEvent

from domain.chain import GENESIS
from domain.errors import FenceMissed, StoreError, VersionConflict
from domain.events import WorkflowPaused
from domain.ports import Cursor
from domain.recorded import RecordedEvent, record, stamp
from domain.store.mapper import EventRow, event_mapper
from domain.store.recorder import StoreRecorder, VersionsHeld
from tests.contracts.stage import BEGINNING, Note

TABLES = ("CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT)",)


def row(workflow_id: str, version: int, state: bytes = b"{}") -> EventRow:
    return EventRow(workflow_id, version, "Tested", state)


def rows(workflow_id: str, *versions: int) -> list[EventRow]:
    return [row(workflow_id, version) for version in versions]


class Refusing:
    """Runs along, and wants the transaction rolled back."""

    def run(self, cursor: Cursor) -> None:
        cursor.execute("INSERT INTO notes (name, text) VALUES ('refusing', '')")
        raise FenceMissed("not mine", message_ids=["m"])


class RecorderContract(ABC):
    @abstractmethod
    def opened(self, folder: Path) -> StoreRecorder:
        """A recorder on the database of this folder: each call is as another process."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def recorder(self, folder: Path) -> Iterator[StoreRecorder]:
        recorder = self.opened(folder)
        recorder.prepare(TABLES)
        yield recorder
        recorder.close()

    @pytest.fixture
    def other(self, recorder: StoreRecorder, folder: Path) -> Iterator[StoreRecorder]:
        other = self.opened(folder)
        yield other
        other.close()

    # --- trouble

    def test_who_counts_trouble_hears_of_each_transaction_that_ends_in_it_once(self, recorder: StoreRecorder) -> None:
        heard: list[StoreError] = []
        recorder.hear_trouble(heard.append)
        recorder.insert_rows(rows("a", 1))
        assert heard == []
        with pytest.raises(VersionConflict):
            recorder.insert_rows(rows("a", 1))
        with pytest.raises(FenceMissed):
            recorder.insert_rows(rows("b", 1), along=[Refusing()])
        assert [type(error) for error in heard] == [VersionConflict, FenceMissed]

    # --- inserting

    def test_positions_rise_in_the_order_of_commits(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        first = recorder.insert_rows([*rows("a", 1, 2), *rows("b", 1)])
        second = other.insert_rows(rows("a", 3))
        third = recorder.insert_rows(rows("b", 2))
        given = [*first, *second, *third]
        assert given == sorted(set(given))
        log = recorder.select_log(0, 10)
        assert [position for position, _ in log] == given
        assert [(one.workflow_id, one.version) for _, one in log] == [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)]

    @pytest.mark.parametrize("many", [1, 15, 16, 17, 32, 200])
    def test_however_many_events_keep_their_order(self, recorder: StoreRecorder, many: int) -> None:
        given = recorder.insert_rows(rows("a", *range(1, many + 1)))
        log = recorder.select_log(0, many + 1)
        assert list(given) == [position for position, _ in log]
        assert [one for _, one in log] == rows("a", *range(1, many + 1))

    def test_a_version_is_given_once(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        recorder.insert_rows(rows("a", 1))
        with pytest.raises(VersionConflict) as caught:
            other.insert_rows([*rows("b", 1), *rows("a", 1)], along=[Note("along", "x")])
        assert recorder.place in str(caught.value)
        assert len(recorder.select_log(0, 10)) == 1
        assert notes(recorder) == []

    def test_statements_run_along(self, recorder: StoreRecorder) -> None:
        recorder.insert_rows(rows("a", 1), along=[Note("first", "1"), Note("second", "2")])
        recorder.insert_rows([], along=[Note("alone", "3")])
        assert notes(recorder) == ["alone", "first", "second"]

    def test_a_statement_that_refuses_rolls_everything_back(self, recorder: StoreRecorder) -> None:
        with pytest.raises(FenceMissed) as caught:
            recorder.insert_rows(rows("a", 1), along=[Note("before", "x"), Refusing()])
        assert caught.value.message_ids == ("m",)
        assert (recorder.select_log(0, 10), notes(recorder)) == ([], [])
        recorder.insert_rows(rows("a", 1))

    def test_a_conflict_along_rolls_everything_back(self, recorder: StoreRecorder) -> None:
        recorder.insert_rows([], along=[Note("taken", "x")])
        with pytest.raises(VersionConflict):
            recorder.insert_rows(rows("a", 1), along=[Note("taken", "y")])
        assert recorder.select_log(0, 10) == []

    def test_a_value_that_cannot_be_stored_is_no_trouble_of_the_store(self, recorder: StoreRecorder) -> None:
        with pytest.raises(StoreError) as caught:
            recorder.insert_rows(rows("a", 1), along=[Note("odd", object())])
        assert type(caught.value) is StoreError
        assert recorder.select_log(0, 10) == []

    def test_the_position_of_a_deleted_newest_event_is_not_given_again(self, recorder: StoreRecorder) -> None:
        newest = recorder.insert_rows(rows("a", 1, 2))[-1]
        with recorder.transaction() as cursor:
            assert cursor.execute("DELETE FROM stored_events WHERE originator_version = 2") == 1
        assert recorder.insert_rows(rows("a", 2))[0] > newest

    # --- the library's hook

    def test_the_library_hands_its_keywords_through(self, recorder: StoreRecorder) -> None:
        """`along` rides on this: `EventStore.put(events, **kwargs)` and `insert_events(stored, **kwargs)`."""
        event = recorded("a", 1)
        recordings = EventStore(event_mapper(), recorder).put([event], along=[Note("through", "x")], tracking=None)
        assert [(one.domain_event, one.notification.id) for one in recordings] == [(event, 1)]
        assert notes(recorder) == ["through"]

    def test_the_library_reads_what_was_inserted(self, recorder: StoreRecorder) -> None:
        events = [recorded("a", 1), recorded("b", 1)]
        store = EventStore(event_mapper(), recorder)
        store.put(events)
        assert [list(store.get(name)) for name in ("a", "b", "c")] == [events[:1], events[1:], []]
        assert [one.id for one in recorder.select_notifications(start=None, limit=9)] == [1, 2]
        assert [one.id for one in recorder.select_notifications(start=1, limit=9)] == [1, 2]
        assert [one.id for one in recorder.select_notifications(start=1, limit=9, inclusive_of_start=False)] == [2]
        assert [one.id for one in recorder.select_notifications(start=1, limit=9, stop=1)] == [1]
        assert [one.id for one in recorder.select_notifications(start=1, limit=1)] == [1]
        assert [one.id for one in recorder.select_notifications(start=1, limit=9, topics=["Nothing"])] == []
        assert [one.id for one in recorder.select_notifications(start=1, limit=9, topics=["WorkflowPaused"])] == [1, 2]
        assert recorder.select_notifications(start=1, limit=1)[0].originator_id == "a"

    def test_the_library_may_insert_what_it_likes(self, recorder: StoreRecorder) -> None:
        assert list(recorder.insert_events([StoredEvent("a", 1, "T", b"1")]) or ()) == [1]

    # --- reading

    def test_only_newer_events_are_selected(self, recorder: StoreRecorder) -> None:
        recorder.insert_rows([*rows("a", 1, 2, 3), *rows("b", 1), *rows("c", 1)])
        found = recorder.select_since({"a": 1, "b": 1, "c": 0, "unknown": 0})
        assert found == {"a": rows("a", 2, 3), "c": rows("c", 1)}
        assert recorder.select_since({}) == {}

    @pytest.mark.parametrize("many", [1, 2, 5, 17, 65, 257, 600])
    def test_many_workflows_are_read_at_once(self, recorder: StoreRecorder, many: int) -> None:
        names = [f"wf_{number:04d}" for number in range(many)]
        recorder.insert_rows([one for name in reversed(names) for one in rows(name, 1, 2)])
        found = recorder.select_since(dict.fromkeys(names, 1))
        assert found == {name: rows(name, 2) for name in names}

    def test_events_come_oldest_first_wherever_they_lie(self, recorder: StoreRecorder) -> None:
        recorder.insert_rows([row("a", 3), row("a", 1), row("a", 2)])
        assert [one.version for one in recorder.select_since({"a": 0})["a"]] == [1, 2, 3]

    def test_keys_and_newest_snapshots_are_found(self, recorder: StoreRecorder) -> None:
        with recorder.transaction() as cursor:
            cursor.executemany("INSERT INTO workflow_keys (workflow_id, key) VALUES (?, ?)", [("a", "0a"), ("b", "0b")])
            cursor.executemany(
                "INSERT INTO stored_snapshots (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
                [("b", 9, "State", b"newer"), ("b", 7, "State", b"older")],
            )
        found = recorder.select_shelved(["a", "b", "c"])
        assert found.keys() == {"a", "b"}
        assert (found["a"].key, found["a"].snapshot) == (b"\x0a", None)
        assert (found["b"].snapshot_version, found["b"].snapshot_topic, found["b"].snapshot) == (9, "State", b"newer")

    def test_the_log_is_read_behind_a_position(self, recorder: StoreRecorder) -> None:
        positions = recorder.insert_rows(rows("a", *range(1, 8)))
        assert [one for one, _ in recorder.select_log(positions[1], 3)] == list(positions[2:5])
        assert recorder.select_log(positions[-1], 3) == []
        assert recorder.max_notification_id() == positions[-1]

    def test_an_empty_log_ends_at_nothing(self, recorder: StoreRecorder) -> None:
        assert not recorder.max_notification_id()

    # --- versions that must hold

    @pytest.mark.parametrize("many", [1, 3, 300])
    def test_versions_that_hold_let_the_transaction_pass(self, recorder: StoreRecorder, many: int) -> None:
        names = [f"wf_{number}" for number in range(many)]
        recorder.insert_rows([one for name in names for one in rows(name, 1, 2)])
        recorder.insert_rows([], along=[VersionsHeld(dict.fromkeys(names, 2)), Note("held", "x")])
        assert notes(recorder) == ["held"]

    @pytest.mark.parametrize("many", [1, 3, 300])
    def test_a_version_that_does_not_rolls_it_back(self, recorder: StoreRecorder, many: int) -> None:
        names = [f"wf_{number}" for number in range(many)]
        recorder.insert_rows([one for name in names for one in rows(name, 1, 2)])
        recorder.insert_rows(rows(names[-1], 3))
        with pytest.raises(VersionConflict, match=names[-1]):
            recorder.insert_rows([], along=[Note("held", "x"), VersionsHeld(dict.fromkeys(names, 2))])
        assert notes(recorder) == []

    # --- who else was there

    def test_the_data_version_tells_of_others_only(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        before = recorder.data_version()
        recorder.insert_rows(rows("a", 1))
        assert recorder.data_version() == before
        other.select_log(0, 10)
        assert recorder.data_version() == before
        other.insert_rows(rows("b", 1))
        assert recorder.data_version() != before

    def test_the_data_version_tells_of_others_before_and_after_ours(
        self, recorder: StoreRecorder, other: StoreRecorder
    ) -> None:
        before = recorder.data_version()
        other.insert_rows(rows("b", 1))
        recorder.insert_rows(rows("a", 1))
        between = recorder.data_version()
        assert between != before
        recorder.insert_rows(rows("a", 2))
        other.insert_rows(rows("b", 2))
        assert recorder.data_version() != between

    # --- transactions and reads of the rooms' own

    def test_a_room_has_transactions_of_its_own(self, recorder: StoreRecorder) -> None:
        with recorder.transaction() as cursor:
            assert cursor.execute("INSERT INTO notes (name, text) VALUES (?, ?)", ("a", "1")) == 1
            cursor.executemany("INSERT INTO notes (name, text) VALUES (?, ?)", [("b", "2"), ("c", "3")])
            assert cursor.execute("UPDATE notes SET text = 'x' WHERE name IN ('a', 'b', 'z')") == 2
            assert cursor.query("DELETE FROM notes WHERE name = 'c' RETURNING text") == [("3",)]
        with recorder.reading() as cursor:
            assert cursor.query("SELECT name, text FROM notes ORDER BY name") == [("a", "x"), ("b", "x")]

    def test_one_statement_is_a_transaction_by_itself(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        seen: list[float] = []

        def of_the_time(now: float) -> tuple[str, str]:
            seen.append(now)
            return "a", "1"

        begun = recorder.commits_begun
        inserting = "INSERT INTO notes (name, text) VALUES (?, ?) RETURNING name"
        assert recorder.change(inserting, of_the_time) == [("a",)]
        assert recorder.commits_begun == begun + 1
        assert notes(other) == ["a"]
        with other.reading() as cursor:
            assert seen[0] == pytest.approx(cursor.now(), abs=60)
        with pytest.raises(StoreError):
            recorder.change(inserting, of_the_time)
        assert recorder.change("DELETE FROM notes WHERE name = ? RETURNING text", lambda _: ("a",)) == [("1",)]

    def test_an_error_rolls_a_transaction_back(self, recorder: StoreRecorder) -> None:
        def attempt() -> None:
            with recorder.transaction() as cursor:
                cursor.execute("INSERT INTO notes (name, text) VALUES ('a', '1')")
                raise LookupError

        with pytest.raises(LookupError):
            attempt()
        assert notes(recorder) == []

    def test_reading_inside_a_transaction_sees_what_it_wrote(self, recorder: StoreRecorder) -> None:
        with recorder.transaction() as cursor:
            cursor.execute("INSERT INTO notes (name, text) VALUES ('a', '1')")
            assert notes(recorder) == ["a"]

    def test_there_is_no_transaction_within_a_transaction(self, recorder: StoreRecorder) -> None:
        with pytest.raises(StoreError, match="within a transaction"):  # noqa: PT012, SIM117 - the inner one raises
            with recorder.transaction() as cursor:
                cursor.execute("INSERT INTO notes (name, text) VALUES ('a', '1')")
                recorder.insert_rows(rows("a", 1))
        assert (notes(recorder), recorder.select_log(0, 1)) == ([], [])

    def test_a_reader_keeps_its_view(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        with recorder.reading() as cursor:
            assert cursor.query("SELECT count(*) FROM notes") == [(0,)]
            other.insert_rows([], along=[Note("a", "1")])
            assert cursor.query("SELECT count(*) FROM notes") == [(0,)]
        assert notes(recorder) == ["a"]

    def test_the_database_has_a_clock(self, recorder: StoreRecorder) -> None:
        with recorder.reading() as cursor:
            assert cursor.now() > BEGINNING.timestamp()

    # --- preparing

    def test_preparing_again_writes_nothing(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        before = recorder.data_version()
        other.prepare(TABLES)
        assert recorder.data_version() == before

    def test_a_room_may_bring_further_tables_later(self, recorder: StoreRecorder, other: StoreRecorder) -> None:
        recorder.insert_rows(rows("a", 1), along=[Note("kept", "x")])
        other.prepare([*TABLES, "CREATE TABLE IF NOT EXISTS later (name TEXT PRIMARY KEY)"])
        with recorder.transaction() as cursor:
            cursor.execute("INSERT INTO later (name) VALUES ('a')")
        assert (notes(recorder), len(recorder.select_log(0, 9))) == (["kept"], 1)

    # --- backup

    def test_a_backup_is_a_store_of_that_moment(self, recorder: StoreRecorder, tmp_path: Path) -> None:
        recorder.insert_rows(rows("a", 1, 2), along=[Note("kept", "x")])
        (tmp_path / "elsewhere").mkdir()
        self.back_up(recorder, tmp_path / "elsewhere")
        recorder.insert_rows(rows("a", 3))
        copy = self.restored(tmp_path / "elsewhere")
        try:
            assert [one for _, one in copy.select_log(0, 9)] == rows("a", 1, 2)
            assert notes(copy) == ["kept"]
            assert list(copy.insert_rows(rows("b", 1))) == [3]
        finally:
            copy.close()

    @abstractmethod
    def back_up(self, recorder: StoreRecorder, folder: Path) -> None:
        """Make a backup in the folder."""

    @abstractmethod
    def restored(self, folder: Path) -> StoreRecorder:
        """A recorder on the backup in the folder."""


def notes(recorder: StoreRecorder) -> Sequence[str]:
    with recorder.reading() as cursor:
        return [name for (name,) in cursor.query("SELECT name FROM notes ORDER BY name")]


def recorded(workflow_id: str, version: int) -> RecordedEvent:
    event = WorkflowPaused(by="ann", reason="lunch")
    return record(event, stamp(workflow_id, BEGINNING, "test", "ann", version), version, GENESIS)
