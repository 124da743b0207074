"""Hearing of other processes' events at once; and, whatever becomes of the connection, a little later."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest

from domain.store import listening_postgres
from domain.store.application import WorkflowStore
from domain.store.listening_postgres import listen
from domain.store.opening import open_postgres_store, open_sqlite_store
from tests.contracts.log_contract import Writer, positions
from tests.contracts.stage import Loaded
from tests.servers.postgres import Database
from tests.servers.proxy import Proxy

NEVER = timedelta(days=1)


def opened(url: str) -> WorkflowStore:
    return open_postgres_store(url, definitions=Loaded(), create=True)


@pytest.fixture
def other(database: Database) -> Iterator[WorkflowStore]:
    other = opened(database.url)
    yield other
    other.close()


def listeners(database: Database) -> list[int]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'handrail listening' AND query LIKE 'LISTEN%'"
        )
        return [row[0] for row in rows.fetchall()]


@contextlib.asynccontextmanager
async def listening(store: WorkflowStore, database: Database, ping_seconds: float = 20.0) -> AsyncIterator[None]:
    task = asyncio.create_task(listen(store, ping_seconds=ping_seconds))
    try:
        async with asyncio.timeout(30):
            while not listeners(database):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()


async def test_a_follower_hears_of_others_at_once(database: Database, other: WorkflowStore) -> None:
    store = opened(database.url)
    async with listening(store, database), asyncio.timeout(30):
        follower = store.follow(0, poll=NEVER)
        waiting = asyncio.create_task(follower.next_batch())
        await asyncio.sleep(0)
        Writer(other, "b").write(2)
        assert positions(await waiting) == [1, 2]


async def test_what_this_process_adds_makes_nobody_read(
    database: Database, other: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(database.url)
    looked = 0

    def look_again() -> None:
        nonlocal looked
        looked += 1

    monkeypatch.setattr(store, "look_again", look_again)
    async with listening(store, database), asyncio.timeout(30):
        while not looked:  # noqa: ASYNC110 - at the start it looks once
            await asyncio.sleep(0)
        Writer(store, "a").write()
        Writer(other, "b").write()
        while looked < 2:  # noqa: ASYNC110 - notifications come in the order of commits
            await asyncio.sleep(0)
        assert looked == 2


async def test_what_is_told_without_an_event_is_heard_when_it_is_committed(
    database: Database, other: WorkflowStore
) -> None:
    store = opened(database.url)
    heard = asyncio.Event()
    async with listening(store, database), asyncio.timeout(30):
        store.hearers.append(heard.set)
        Writer(other, "b").write()
        await heard.wait()  # that it looks at the start is behind it
        await asyncio.sleep(0)
        heard.clear()
        with other.transaction() as cursor:
            other.tell(cursor)
            assert not heard.is_set()
        await heard.wait()


async def test_a_listener_whose_connection_was_ended_listens_again(database: Database, other: WorkflowStore) -> None:
    store = opened(database.url)
    async with listening(store, database), asyncio.timeout(30):
        first = listeners(database)
        database.cluster.administer("SELECT pg_terminate_backend(%s)", (first[0],))
        while not set(listeners(database)) - set(first):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0)
        follower = store.follow(0, poll=NEVER)
        waiting = asyncio.create_task(follower.next_batch())
        await asyncio.sleep(0)
        Writer(other, "b").write()
        assert positions(await waiting) == [1]


async def test_a_connection_that_the_network_swallowed_stalls_no_follower(
    database: Database, other: WorkflowStore, proxies: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listening connection alone goes through the proxy, which swallows: the follower looks by itself."""
    proxy = proxies(urlsplit(database.url).port or 5432)
    store = opened(database.url)
    server = store.recorder.datastore  # type: ignore[attr-defined]  # PostgreSQL's has one
    direct = dict(server.settings)
    server.settings["port"] = proxy.port
    for poll in ("POLL", "DEAF_POLL"):
        monkeypatch.setattr(listening_postgres, poll, timedelta(milliseconds=20))
    async with listening(store, database), asyncio.timeout(30):
        server.settings.update(direct)
        proxy.stall()
        follower = store.follow(0)
        waiting = asyncio.create_task(follower.next_batch())
        await asyncio.sleep(0)
        Writer(other, "b").write()
        assert positions(await waiting) == [1]


async def test_a_ping_finds_a_connection_that_was_swallowed(
    database: Database, proxies: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening_postgres, "ANSWER_SECONDS", 0.2)
    proxy = proxies(urlsplit(database.url).port or 5432)
    store = opened(database.url)
    store.recorder.datastore.settings["port"] = proxy.port  # type: ignore[attr-defined]  # as above
    async with listening(store, database, ping_seconds=0.05), asyncio.timeout(30):
        proxy.stall()
        while proxy.accepted < 2:  # noqa: ASYNC110 - it connects anew
            await asyncio.sleep(0)


async def test_on_sqlite_there_is_nobody_to_listen_to() -> None:
    store = open_sqlite_store(":memory:", definitions=Loaded())
    with pytest.raises(TypeError, match="not on PostgreSQL"):
        await listen(store)
    store.close()
