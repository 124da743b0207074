"""A PostgreSQL store as `handrail doctor` looks at it: also one that Handrail would refuse to open; in bounded time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from domain.errors import StoreUnavailable
from domain.store.connection_postgres import CLOCK, About, server_settings
from domain.store.leading_postgres import lock_key
from domain.store.trouble_postgres import trouble

_SETTINGS: Final = (
    "server_version", "server_version_num", "server_encoding", "fsync", "full_page_writes", "synchronous_commit",
    "synchronous_standby_names", "transaction_read_only", "statement_timeout", "lock_timeout",
    "idle_in_transaction_session_timeout", "max_connections",
)  # fmt: skip
_STANDBYS: Final = "SELECT coalesce(application_name, ''), state, sync_state FROM pg_stat_replication"
_CONNECTIONS: Final = "SELECT count(*), count(*) FILTER (WHERE datname = current_database()) FROM pg_stat_activity"
_LEADERS: Final = (
    "SELECT coalesce(host(a.client_addr) || ':' || a.client_port, 'this machine'), a.backend_start "
    "FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND ((l.classid::bigint << 32) | l.objid::bigint) = %s"
)


@dataclass(frozen=True, slots=True)
class Standby:
    """A replica; `state` and `sync` are empty where the login may not see them."""

    name: str
    state: str
    sync: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is true of a server as Handrail's own connections find it.

    `began` and `clock` are instants of this machine and of the server, in seconds since 1970. `leaders` are the
    addresses of those who lead, by role.
    """

    place: str
    settings: Mapping[str, str]
    standbys: tuple[Standby, ...]
    began: float
    clock: float
    connections: int
    leaders: Mapping[str, str]
    encrypted: bool

    @property
    def about(self) -> About:
        """As the store checks it when it opens a connection."""
        names = ("server_encoding", "fsync", "full_page_writes", "synchronous_commit", "transaction_read_only")
        return About(int(self.settings["server_version_num"]), *(self.settings[name] for name in names))


def inspect_server(url: str, roles: Sequence[str]) -> ServerFacts:
    """Look at a server, and at who leads these roles. Raises StoreUnavailable."""
    place, settings = server_settings(url)
    # A standby is looked at as well, to say that it is one; and plans need not be what the hot statements need.
    settings = {**settings, "target_session_attrs": "any", "application_name": "handrail doctor"}
    try:
        with psycopg.connect(**settings, autocommit=True) as connection:
            found: dict[str, str] = {}
            for name in _SETTINGS:
                found[name] = str(_one(connection, "SELECT current_setting(%s)", (name,))[0])
            began = time.time()
            (clock,) = _one(connection, CLOCK)
            connections, _ = _one(connection, _CONNECTIONS)
            standbys = [Standby(*(word or "" for word in row)) for row in connection.execute(_STANDBYS).fetchall()]
            leaders = {}
            for role in roles:
                row = connection.execute(_LEADERS, (lock_key(role),)).fetchone()
                if row is not None:
                    leaders[role] = f"{row[0]}, since {row[1]:%Y-%m-%d %H:%M:%S}" if row[1] else "somebody"
            encrypted = bool(connection.pgconn.ssl_in_use)
    except psycopg.Error as error:
        raise trouble(error, place) from error
    return ServerFacts(place, found, tuple(standbys), began, float(clock), int(connections), leaders, encrypted)


def _one(connection: psycopg.Connection[Any], statement: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(statement.encode(), values or None).fetchone()
    if row is None:
        raise StoreUnavailable("the store does not say what it is; look into the server's log")
    return row
