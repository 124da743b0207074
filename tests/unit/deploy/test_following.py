"""A follower that is patient: says what it waits for, and that it goes on, whether or not there is anything to read."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import following
from deploy.following import PatientFollower
from deploy.opened import open_store
from domain.errors import HandrailError, StoreAway
from domain.store.application import WorkflowStore
from tests.contracts.stage import Loaded


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path, Loaded())
    yield opened
    opened.close()


async def test_a_follower_says_that_it_waits_and_that_it_goes_on_though_nothing_is_there_to_read(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_FIRST_PAUSE_SECONDS", 0.001)
    read = store.recorder.select_log
    refusals = [StoreAway("the store is stopped"), StoreAway("the store is stopped"), StoreAway("it is starting")]

    def sometimes(after: int, limit: int) -> Any:
        if refusals:
            raise refusals.pop(0)
        return read(after, limit)

    monkeypatch.setattr(store.recorder, "select_log", sometimes)
    heard: list[tuple[str, str | None]] = []
    goes_on = asyncio.Event()

    def waiting(doing: str, trouble: HandrailError | None, /) -> None:
        heard.append((doing, None if trouble is None else str(trouble)))
        if trouble is None:
            goes_on.set()

    follower = PatientFollower(store, 0, waiting=waiting)
    batch = asyncio.create_task(follower.next_batch())
    async with asyncio.timeout(10):
        await goes_on.wait()
        assert [trouble for _, trouble in heard] == [
            "the store is stopped",
            "the store is stopped",
            "it is starting",
            None,
        ]
        assert {doing for doing, _ in heard} == {"read the log"}
        follower.close()
        assert await batch == []
