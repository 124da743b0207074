"""Hearing of what other processes add to the log, as they commit: PostgreSQL's LISTEN, on a connection of its own.

It only makes followers look sooner than they would by themselves. So nothing depends on it: not on a notification that
was lost, not on a connection that the network has swallowed. A ping finds the latter; then, and whenever a connection
is new, followers look, since something may have been missed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import psycopg

from domain.errors import StoreUnavailable
from domain.store.application import WorkflowStore
from domain.store.connection_postgres import CONNECT_TIMEOUT_SECONDS
from domain.store.recorder_postgres import CHANNEL, PostgresStoreRecorder
from domain.store.trouble_postgres import DRIVERS, trouble

DEAF_POLL: Final = timedelta(seconds=1)
"""How often followers look by themselves while nobody tells them."""
POLL: Final = timedelta(seconds=10)
"""The same while somebody does: for what was lost on the way."""

PING_SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 10.0

_log: Final = logging.getLogger("handrail.store")


async def listen(store: WorkflowStore, *, ping_seconds: float = PING_SECONDS) -> None:
    """Have the store's followers look when another process has added to the log, until cancelled.

    Trouble with the database is waited out. Raises TypeError for a store that is not on PostgreSQL.
    """
    recorder = store.recorder
    if not isinstance(recorder, PostgresStoreRecorder):
        raise TypeError(f"store {recorder.place} is not on PostgreSQL: nobody could notify")
    store.look_every(DEAF_POLL)
    pause = _FIRST_PAUSE_SECONDS
    while True:
        connected = asyncio.Event()
        try:
            await _hear(recorder, store, ping_seconds, connected)
        except (StoreUnavailable, TimeoutError) as error:
            _log.warning("nothing is heard of other processes, their events are looked for every second: %s", error)
        finally:
            recorder.hear_others(listening=False)
        store.look_every(DEAF_POLL)
        pause = _FIRST_PAUSE_SECONDS if connected.is_set() else min(2 * pause, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)


async def _hear(
    recorder: PostgresStoreRecorder, store: WorkflowStore, ping_seconds: float, connected: asyncio.Event
) -> None:
    """Listen on one connection until it is lost; then raise StoreUnavailable, or TimeoutError."""
    server = recorder.datastore
    connection: psycopg.AsyncConnection[Any] | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS + ANSWER_SECONDS):
            connection = await psycopg.AsyncConnection.connect(
                **{**server.settings, "application_name": "handrail listening"}, autocommit=True
            )
            await connection.execute(f"LISTEN {CHANNEL}".encode())
        connected.set()
        recorder.hear_others(listening=True)
        store.look_every(POLL)
        store.look_again()
        while True:
            async for notification in connection.notifies(timeout=ping_seconds):
                if not server.is_ours(notification.pid):
                    recorder.hear_others(listening=True)
                    store.look_again()
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.execute(b"SELECT 1")
    except DRIVERS as error:
        raise trouble(error, server.place) from error
    finally:
        if connection is not None:
            with suppress(*DRIVERS):
                await connection.close()
