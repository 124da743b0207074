"""What a follower of the log promises, whatever the database: its order, no gap, no repetition."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import EventCorrupt, FenceMissed, StoreError
from domain.ports import Notification
from domain.store.application import WorkflowStore
from domain.store.positions import MovePosition, position_of
from tests.contracts.recorder_contract import recorded
from tests.contracts.stage import Loaded, Note

NEVER = timedelta(days=1)


class Writer:
    """Appends events to workflows of its own."""

    def __init__(self, store: WorkflowStore, name: str) -> None:
        self.store = store
        self.name = name
        self.version = 0

    def write(self, count: int = 1) -> None:
        events = [recorded(self.name, self.version + number) for number in range(1, count + 1)]
        self.version += count
        self.store.events.put(events)


def positions(batch: list[Notification]) -> list[int]:
    return [notification.position for notification in batch]


def everything(store: WorkflowStore) -> list[Notification]:
    return store.select(0, 100_000)


class LogContract(ABC):
    @abstractmethod
    def opened(self, place: Any, **options: Any) -> WorkflowStore:
        """A store on the test's database: each call is as another process."""

    @abstractmethod
    @pytest.fixture
    def place(self, tmp_path: Path) -> Any:
        """Where the test's database is."""

    @pytest.fixture
    def store(self, place: Any) -> Iterator[WorkflowStore]:
        store = self.opened(place, definitions=Loaded())
        yield store
        store.close()

    @pytest.fixture
    def other(self, place: Any, store: WorkflowStore) -> Iterator[WorkflowStore]:
        other = self.opened(place, definitions=Loaded())
        yield other
        other.close()

    # --- order

    def test_a_follower_begins_behind_its_position(self, store: WorkflowStore) -> None:
        Writer(store, "a").write(5)
        assert positions(store.follow(2).take()) == [3, 4, 5]
        assert store.follow(5).take() == []
        assert store.newest() == 5

    def test_what_is_saved_here_is_handed_over(self, store: WorkflowStore) -> None:
        follower = store.follow(0)
        assert follower.take() == []
        Writer(store, "a").write(3)
        assert follower.waiting == 3
        assert follower.take() == everything(store)
        assert follower.position == 3

    def test_what_is_handed_over_is_not_read_again(self, store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
        follower = store.follow(0)
        follower.take()
        Writer(store, "a").write(3)
        monkeypatch.setattr(store.recorder, "select_log", None)
        assert positions(follower.take(2)) == [1, 2]
        assert positions(follower.take(2)) == [3]
        assert follower.take(2) == []

    def test_what_others_save_is_found(self, store: WorkflowStore, other: WorkflowStore) -> None:
        follower = store.follow(0)
        follower.take()
        Writer(other, "b").write(2)
        assert positions(follower.take()) == [1, 2]

    def test_what_others_save_while_it_reads_is_found(
        self, store: WorkflowStore, other: WorkflowStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        follower = store.follow(0)
        select_log = store.recorder.select_log

        def meanwhile(after: int, limit: int) -> object:
            found = select_log(after, limit)
            monkeypatch.undo()
            Writer(other, "b").write()
            return found

        monkeypatch.setattr(store.recorder, "select_log", meanwhile)
        assert follower.take() == []
        assert positions(follower.take()) == [1]

    def test_others_events_between_ours_are_not_skipped(self, store: WorkflowStore, other: WorkflowStore) -> None:
        follower = store.follow(0)
        follower.take()
        ours, theirs = Writer(store, "a"), Writer(other, "b")
        for writer in (ours, theirs, ours, theirs):
            writer.write(2)
        seen: list[Notification] = []
        while batch := follower.take(3):
            seen += batch
        assert seen == everything(store)

    def test_a_follower_of_others_passes_over_what_is_saved_here(
        self, store: WorkflowStore, other: WorkflowStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        follower = store.follow(0, others_only=True)
        follower.take()
        ours, theirs = Writer(store, "a"), Writer(other, "b")
        with monkeypatch.context() as patch:
            patch.setattr(store.recorder, "select_log", None)
            ours.write(3)
            assert follower.take() == []
        assert follower.position == 3
        for writer in (ours, theirs, ours):
            writer.write(2)
        seen: list[Notification] = []
        while batch := follower.take(3):
            seen += batch
        found = positions(seen)
        assert found == sorted(set(found))
        assert {6, 7} <= set(found), "the others' events were handed out"
        assert follower.position == store.newest()

    def test_who_lags_behind_reads_from_the_store(self, store: WorkflowStore) -> None:
        follower = store.follow(0, buffered=4)
        follower.take()
        writer = Writer(store, "a")
        for _ in range(10):
            writer.write(3)
        assert follower.waiting <= 4 + 3
        seen: list[Notification] = []
        while batch := follower.take(7):
            seen += batch
        assert seen == everything(store)

    def test_positions_that_the_database_left_out_are_not_waited_for(self, store: WorkflowStore) -> None:
        follower = store.follow(0)
        rows = [store.mapper.to_row(recorded("a", version)) for version in range(1, 5)]
        store.recorder.insert_rows(rows[:3])
        with store.transaction() as cursor:
            assert cursor.execute("DELETE FROM stored_events WHERE originator_version = 2") == 1
        assert positions(follower.take()) == [1, 3]
        store.recorder.insert_rows(rows[3:])
        follower.offer(everything(store))
        assert positions(follower.take()) == [4]

    def test_a_rolled_back_save_is_not_followed(self, store: WorkflowStore) -> None:
        follower = store.follow(0)
        writer = Writer(store, "a")
        with pytest.raises(StoreError):
            store.save(recorded("a", 1), along=[Note("odd", object())])
        writer.write()
        assert follower.take() == everything(store)
        assert len(everything(store)) == 1

    def test_who_looks_again_finds_what_nobody_offered(self, store: WorkflowStore) -> None:
        follower = store.follow(0)
        follower.take()
        store.recorder.insert_rows([store.mapper.to_row(recorded("a", 1))])
        assert follower.take() == []
        store.look_again()
        assert positions(follower.take()) == [1]

    def test_who_no_longer_follows_hears_nothing(self, store: WorkflowStore) -> None:
        follower = store.follow(0)
        store.unfollow(follower)
        Writer(store, "a").write()
        assert follower.waiting == 0

    @settings(
        max_examples=60,
        deadline=None,
        # The suite of each backend runs it.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        acts=st.lists(st.tuples(st.sampled_from("awwot"), st.integers(1, 6)), max_size=40), buffered=st.integers(0, 9)
    )
    def test_whatever_the_interleaving_no_gap_and_no_repetition(
        self, store: WorkflowStore, other: WorkflowStore, acts: list[tuple[str, int]], buffered: int
    ) -> None:
        """Ours and others' writes, reads of any size, and a small buffer, in any order."""
        begun = store.newest()
        run = f"r{begun}"
        follower = store.follow(begun, buffered=buffered)
        ours, theirs = Writer(store, f"{run}a"), Writer(other, f"{run}b")
        seen: list[Notification] = []
        for act, count in acts:
            if act == "t":
                seen += follower.take(count)
            elif act == "o":
                theirs.write(count)
            elif act == "w":
                ours.write(count)
            else:
                store.look_again()
        while batch := follower.take(3):
            seen += batch
        store.unfollow(follower)
        assert seen == store.select(begun, 100_000)
        assert len(seen) == ours.version + theirs.version

    # --- waiting

    async def test_a_waiting_follower_is_woken_by_what_is_saved_here(self, store: WorkflowStore) -> None:
        follower = store.follow(0, poll=NEVER)
        waiting = asyncio.create_task(follower.next_batch())
        await asyncio.sleep(0)
        assert not waiting.done()
        Writer(store, "a").write(2)
        async with asyncio.timeout(10):
            assert positions(await waiting) == [1, 2]

    async def test_a_waiting_follower_finds_what_others_save(self, store: WorkflowStore, other: WorkflowStore) -> None:
        follower = store.follow(0, poll=timedelta(milliseconds=1))
        waiting = asyncio.create_task(follower.next_batch())
        await asyncio.sleep(0)
        Writer(other, "b").write(2)
        async with asyncio.timeout(10):
            assert positions(await waiting) == [1, 2]

    async def test_asking_the_database_reads_no_events(
        self, store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        follower = store.follow(0, poll=timedelta(milliseconds=1))
        assert follower.take() == []
        asked = 0
        data_version = store.recorder.data_version

        def counted() -> int:
            nonlocal asked
            asked += 1
            if asked == 5:
                follower.close()
            return data_version()

        monkeypatch.setattr(store.recorder, "data_version", counted)
        monkeypatch.setattr(store.recorder, "select_log", None)
        async with asyncio.timeout(10):
            assert await follower.next_batch() == []

    async def test_a_closed_follower_ends(self, store: WorkflowStore) -> None:
        follower = store.follow(0, poll=NEVER)
        Writer(store, "a").write(3)
        seen: list[int] = []
        async with asyncio.timeout(10):
            async for batch in follower.batches(2):
                seen.extend(positions(batch))
                if len(seen) == 3:
                    asyncio.get_running_loop().call_soon(store.close)
        assert seen == [1, 2, 3]

    # --- what cannot be read

    def test_an_event_that_cannot_be_read_stops_a_follower_there(self, store: WorkflowStore) -> None:
        spoil(store)
        follower = store.follow(0)
        with pytest.raises(EventCorrupt, match="bad"):
            follower.take()
        assert follower.position == 0

    def test_or_is_told_of_and_passed_over(self, store: WorkflowStore) -> None:
        spoil(store)
        told: list[tuple[int, str, StoreError]] = []
        follower = store.follow(0, unreadable=lambda *event: told.append(event))
        assert positions(follower.take(2)) == [1, 4]
        Writer(store, "more").write()
        follower.look_again()
        assert positions(follower.take(2)) == [5]
        assert follower.take(2) == []
        assert [(position, workflow) for position, workflow, _ in told] == [(2, "bad"), (3, "bad")]

    def test_and_told_of_once_while_it_is_the_newest(self, store: WorkflowStore) -> None:
        spoil(store)
        told: list[int] = []
        follower = store.follow(1, unreadable=lambda position, *_: told.append(position))
        with store.transaction() as cursor:
            cursor.execute("UPDATE stored_events SET state = 'x' WHERE originator_id = 'fine'")
        for _ in range(3):
            assert follower.take() == []
            follower.look_again()
        assert told == [2, 3, 4]

    # --- positions

    def test_a_position_moves_from_where_it_was_left(self, store: WorkflowStore) -> None:
        with store.reading() as cursor:
            assert position_of(cursor, "relay") == 0
        store.run(MovePosition("relay", 0, 5), point="position")
        store.run(MovePosition("relay", 5, 9), MovePosition("views", 0, 3))
        with store.reading() as cursor:
            assert (position_of(cursor, "relay"), position_of(cursor, "views")) == (9, 3)

    @pytest.mark.parametrize("before", [0, 4, 6])
    def test_a_position_that_another_moved_rolls_everything_back(
        self, store: WorkflowStore, other: WorkflowStore, before: int
    ) -> None:
        other.run(MovePosition("relay", 0, 5))
        with pytest.raises(FenceMissed, match="steps down"):
            store.run(MovePosition("views", 0, 1), MovePosition("relay", before, 9))
        with store.reading() as cursor:
            assert (position_of(cursor, "relay"), position_of(cursor, "views")) == (5, 0)

    def test_a_position_that_nobody_has_is_at_the_beginning(self, store: WorkflowStore) -> None:
        with pytest.raises(FenceMissed):
            store.run(MovePosition("relay", 3, 9))


def spoil(store: WorkflowStore) -> None:
    """A good event, two that cannot be read, a good one."""
    Writer(store, "good").write()
    Writer(store, "bad").write(2)
    Writer(store, "fine").write()
    with store.transaction() as cursor:
        assert cursor.execute("UPDATE stored_events SET state = 'x' WHERE originator_id = 'bad'") == 2
