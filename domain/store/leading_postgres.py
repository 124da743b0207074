"""Advisory locks of PostgreSQL on a connection of their own: the server lets go of them when the connection ends.

The connection is watched: that the server closed it is seen at once, that the network swallows it after a ping that
nobody answers. It goes to the server directly: a pooler that shares connections between transactions loses the locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import psycopg

from domain.errors import StoreUnavailable
from domain.store.connection_postgres import CONNECT_TIMEOUT_SECONDS, server_settings
from domain.store.trouble_postgres import trouble

ANSWER_SECONDS: Final = 5.0
"""How long the server may take over a ping or a lock: after that the locks count as lost."""


class PostgresLocks:
    """The port `Locks`."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Nothing is opened before `connect`."""
        self._place, self._settings = server_settings(url)
        self._answer_seconds = answer_seconds
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def connect(self) -> None:
        """Open a connection that holds nothing yet; raises StoreUnavailable."""
        await self.close()
        with self._spoken():
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS + self._answer_seconds):
                self._connection = await psycopg.AsyncConnection.connect(
                    **{**self._settings, "application_name": "handrail leading"}, autocommit=True
                )

    async def try_acquire(self, names: Collection[str]) -> frozenset[str]:
        """Take those of the names that nobody holds; without names, only a ping. Raises StoreUnavailable."""
        wanted = sorted(names)
        asked = ", ".join(["pg_try_advisory_lock(%s)"] * len(wanted))
        (row,) = await self._ask(f"SELECT {asked}", [lock_key(name) for name in wanted])
        return frozenset(name for name, taken in zip(wanted, row, strict=True) if taken)

    async def release(self, name: str) -> None:
        """Let go of a name; raises StoreUnavailable."""
        await self._ask("SELECT pg_advisory_unlock(%s)", [lock_key(name)])

    async def watch(self, seconds: float) -> None:
        """Return after so long; raise StoreUnavailable as soon as the connection is seen to be lost."""
        connection = self._open()
        with self._spoken():
            # Nobody notifies: this waits on the connection, and fails the moment the server closes it.
            async for _ in connection.notifies(timeout=seconds):
                pass

    async def close(self) -> None:
        """Close the connection, which lets go of everything."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = self._open()
        with self._spoken():
            async with asyncio.timeout(self._answer_seconds):
                cursor = await connection.execute(statement.encode(), parameters)
                return await cursor.fetchall()

    def _open(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            raise StoreUnavailable(f"store {self._place}: no connection holds the locks; connect first")
        return self._connection

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
        """Errors of the driver become ours."""
        try:
            yield
        except TimeoutError as error:
            raise StoreUnavailable(
                f"store {self._place} does not answer; check the server and the network: nothing was lost"
            ) from error
        except psycopg.Error as error:
            raise trouble(error, self._place) from error


def lock_key(name: str) -> int:
    """The number that stands for a name: the same in every process, and unlikely to be another program's."""
    digest = hashlib.sha256(f"handrail/leading/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
