"""A store that is away at the start is waited for; one that somebody has to change something about is not."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from deploy.serving import store_away
from deploy.serving.ending import Ending
from deploy.serving.store_away import opened
from domain.errors import HandrailError, StoreAway, StoreNewer, StoreUnavailable

DOWN, STARTING = StoreAway("store here cannot be reached"), StoreAway("store here is starting")


class Place:
    """A store that answers with these errors first, and what was heard of the wait for it."""

    def __init__(self, *errors: HandrailError) -> None:
        self.errors = list(errors)
        self.heard: list[str | None] = []

    async def open(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "the store"

    def waiting(self, doing: str, trouble: HandrailError | None, /) -> None:
        assert doing == "begin"
        self.heard.append(str(trouble) if trouble is not None else None)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The chances that were taken; every pause is over at once."""
    taken: list[float] = []

    def least() -> float:
        taken.append(0.0)
        return 0.0

    monkeypatch.setattr("random.random", least)
    return taken


async def test_a_store_that_is_away_is_waited_for_and_each_change_is_logged_once(
    pauses: Sequence[float], caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(DOWN, DOWN, DOWN, STARTING, STARTING)
    with caplog.at_level(logging.INFO, "handrail.deploy"):
        assert await opened(place.open, Ending(), place.waiting) == "the store"
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for the store: {DOWN}",
        f"waiting for the store: {STARTING}",
        "the store is there",
    ]
    assert place.heard == [*[str(DOWN)] * 3, *[str(STARTING)] * 2, None]
    assert len(pauses) == 5, "each pause is drawn by chance"


async def test_a_store_that_is_there_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    with caplog.at_level(logging.INFO, "handrail.deploy"):
        assert await opened(place.open, Ending(), place.waiting) == "the store"
    assert (place.heard, caplog.records) == ([], [])


@pytest.mark.parametrize("error", [StoreUnavailable("run `handrail migrate`"), StoreNewer("use that version")])
async def test_what_somebody_has_to_change_ends_the_wait(error: HandrailError, pauses: Sequence[float]) -> None:
    place = Place(DOWN, error)
    with pytest.raises(type(error), match=str(error)):
        await opened(place.open, Ending(), place.waiting)
    assert len(pauses) == 1


@pytest.mark.parametrize("away", [True, False], ids=["between two tries", "in a try that hangs"])
async def test_who_is_asked_to_end_waits_no_longer(away: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_away, "FIRST_PAUSE_SECONDS", 3_600.0)
    monkeypatch.setattr(store_away, "LONGEST_PAUSE_SECONDS", 3_600.0)
    monkeypatch.setattr("random.random", lambda: 1.0)
    ending, tried = Ending(), asyncio.Event()
    place = Place(DOWN)

    async def open_it() -> str:
        tried.set()
        if not away:
            await asyncio.Event().wait()
        return await place.open()

    opening = asyncio.create_task(opened(open_it, ending, place.waiting))
    async with asyncio.timeout(10):
        await tried.wait()
        ending.ask()
        assert await opening is None
