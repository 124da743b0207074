"""Leading on PostgreSQL: one process at a time, and nobody for longer than its connection holds."""

import asyncio
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import pytest

from deploy.leading import Elections
from domain.errors import BrokerUnavailable, FenceMissed, HandrailError
from domain.store.leading_postgres import PostgresLocks
from tests.servers.postgres import Database
from tests.servers.proxy import Proxy

LIMIT_SECONDS = 30


class Playing:
    """Who plays which role just now, and how often each began."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.begun: list[str] = []
        self._ended = 0
        self._changed = asyncio.Condition()

    def role(self, who: str) -> Callable[[], "asyncio.Future[None]"]:
        return lambda: asyncio.ensure_future(self._play(who))

    async def _play(self, who: str) -> None:
        self.begun.append(who)
        self.now.add(who)
        await self._tell()
        try:
            await asyncio.Event().wait()
        finally:
            self.now.discard(who)
            self._ended += 1
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until_ended(self, times: int) -> None:
        """Wait until roles have ended so often."""
        async with asyncio.timeout(LIMIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self._ended >= times)

    async def until(self, *who: str) -> None:
        """Wait until exactly these play."""
        async with asyncio.timeout(LIMIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.now == set(who))


def elections(url: str) -> Elections:
    locks = PostgresLocks(url, answer_seconds=0.5)
    return Elections(locks, watch_seconds=0.02, ping_seconds=0.02, rest_seconds=0.01)


async def test_one_leads_and_the_other_follows_when_it_ends(database: Database) -> None:
    playing = Playing()
    async with elections(database.url) as first, elections(database.url) as second:
        leading = asyncio.create_task(first.lead("relay", playing.role("first")))
        await playing.until("first")
        standing_by = asyncio.create_task(second.lead("relay", playing.role("second")))
        other = asyncio.create_task(second.lead("timer", playing.role("timer")))
        await playing.until("first", "timer")
        assert second.led == {"timer"}
        leading.cancel()
        await playing.until("second", "timer")
        for task in (standing_by, other):
            task.cancel()
        await playing.until()


@pytest.mark.parametrize("how", ["closed by the server", "cut", "reset", "stalled"])
async def test_whoever_loses_the_connection_steps_down_and_leads_again_later(
    database: Database, proxies: Callable[[int], Proxy], how: str
) -> None:
    proxy = proxies(urlsplit(database.url).port or 0)
    playing = Playing()
    async with elections(proxy.through(database.url)) as locks:
        task = asyncio.create_task(locks.lead("relay", playing.role("first")))
        await playing.until("first")
        {
            "closed by the server": database.close_connections,
            "cut": proxy.cut,
            "reset": proxy.refuse,
            "stalled": proxy.stall,
        }[how]()
        await playing.until_ended(1)
        proxy.accept()
        proxy.resume()
        await playing.until("first")
        task.cancel()
        await playing.until()


class Counted(PostgresLocks):
    """Locks that count how often the server is asked, and the connection watched."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked = 0
        self.watched = 0
        self._changed = asyncio.Condition()

    async def try_acquire(self, names: Collection[str]) -> frozenset[str]:
        self.asked += 1
        return await super().try_acquire(names)

    async def watch(self, seconds: float) -> None:
        async with self._changed:
            self.watched += 1
            self._changed.notify_all()
        await super().watch(seconds)

    async def until_watched(self, times: int) -> None:
        async with asyncio.timeout(LIMIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.watched >= times)


async def test_the_server_is_asked_seldom_where_nothing_is_tried_for(database: Database) -> None:
    playing = Playing()
    locks = Counted(database.url)
    async with Elections(locks, watch_seconds=0.01, ping_seconds=60.0) as leading, elections(database.url) as other:
        tasks = [asyncio.create_task(leading.lead("relay", playing.role("first")))]
        await playing.until("first")
        asked = locks.asked
        await locks.until_watched(locks.watched + 20)
        assert locks.asked == asked
        # What another one holds is tried for each time.
        tasks.append(asyncio.create_task(other.lead("timer", playing.role("held"))))
        await playing.until("first", "held")
        tasks.append(asyncio.create_task(leading.lead("timer", playing.role("second"))))
        await locks.until_watched(locks.watched + 20)
        assert locks.asked >= asked + 18
        for task in tasks:
            task.cancel()


async def test_a_role_that_the_broker_keeps_from_its_work_is_left_to_another_process(database: Database) -> None:
    playing = Playing()

    async def kept() -> None:
        playing.begun.append("kept")
        raise BrokerUnavailable("the login is refused")

    locks = PostgresLocks(database.url, answer_seconds=0.5)
    # It would be elected again with the same look in which it lets go.
    async with Elections(locks, watch_seconds=1.0, rest_seconds=0.0) as first, elections(database.url) as second:
        leading = asyncio.create_task(first.lead("relay", kept))
        async with asyncio.timeout(LIMIT_SECONDS):
            while not playing.begun:  # noqa: ASYNC110 - it leads only for a moment
                await asyncio.sleep(0)
        standing_by = asyncio.create_task(second.lead("relay", playing.role("second")))
        await playing.until("second")
        for task in (leading, standing_by):
            task.cancel()
    assert playing.begun == ["kept", "second"]


async def test_a_role_that_ends_by_itself_lets_another_process_try(database: Database) -> None:
    playing = Playing()

    async def overtaken() -> None:
        playing.begun.append("overtaken")
        raise FenceMissed("position 'relay' is no longer at 0")

    said: list[tuple[str, type[HandrailError]]] = []

    def tell(name: str, error: HandrailError) -> None:
        said.append((name, type(error)))

    locks = PostgresLocks(database.url)
    async with (
        Elections(locks, watch_seconds=0.02, rest_seconds=60, trouble=tell) as first,
        elections(database.url) as second,
    ):
        tasks = [asyncio.create_task(first.lead("relay", overtaken))]
        async with asyncio.timeout(LIMIT_SECONDS):
            while first.led or not playing.begun:  # noqa: ASYNC110 - it leads only for a moment
                await asyncio.sleep(0)
        tasks.append(asyncio.create_task(second.lead("relay", playing.role("second"))))
        await playing.until("second")
        for task in tasks:
            task.cancel()
    assert playing.begun == ["overtaken", "second"]
    assert said == [("relay", FenceMissed)]
