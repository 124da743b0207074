"""Who else uses a store in PostgreSQL: for what may only be done while nobody does."""

from __future__ import annotations

from typing import Final

import psycopg

from domain.errors import StoreUnavailable
from domain.store.connection_postgres import server_settings
from domain.store.trouble_postgres import trouble

_OTHERS: Final = (
    "SELECT DISTINCT coalesce(host(client_addr), 'this machine') || ' (' || application_name || ')' "
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND application_name LIKE 'handrail%' ORDER BY 1"
)


def others(url: str) -> list[str]:
    """The connections of processes of Handrail to this store, as words; asked before this process opens it.

    Raises StoreUnavailable. A login that may not see those of others (`pg_monitor`, or the same login) sees its own.
    """
    place, settings = server_settings(url)
    try:
        with psycopg.connect(**{**settings, "application_name": "handrail restore"}, autocommit=True) as connection:
            return [str(who) for (who,) in connection.execute(_OTHERS).fetchall()]
    except psycopg.Error as error:
        known = trouble(error, place)
        raise known if isinstance(known, StoreUnavailable) else StoreUnavailable(str(known)) from error
