"""Opening a store by its location: the library's settings for it, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domain.ports import Companion, Definitions, OpenCommands
from domain.store.application import WorkflowStore
from domain.store.covers import Covers
from domain.store.recorder_sqlite import STORE_READ_ONLY
from domain.store.schema import MIGRATED_TO
from domain.store.shelf import WORKFLOWS_HELD


def sqlite_settings(path: Path | str, *, read_only: bool = False) -> dict[str, str]:
    """The library's settings for a SQLite file; `:memory:` is a store that ends with its process."""
    return {
        "PERSISTENCE_MODULE": "domain.store.recorder_sqlite:SQLiteStoreFactory",
        "SQLITE_DBNAME": str(path),
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "n",  # the store prepares its tables itself, all at once
        STORE_READ_ONLY: "y" if read_only else "n",
    }


def postgres_settings(url: str, *, create: bool = False, version: int = MIGRATED_TO) -> dict[str, str]:
    """The library's settings for a PostgreSQL database; where it is goes past the library, which knows no TLS."""
    return {
        "PERSISTENCE_MODULE": "domain.store.recorder_postgres:PostgresStoreFactory",
        "POSTGRES_DBNAME": "-",
        "POSTGRES_HOST": "-",
        "POSTGRES_USER": "-",
        "POSTGRES_PASSWORD": "-",
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "n",  # the store prepares its tables itself, all at once
        "STORE_URL": url,
        "STORE_CREATE": "y" if create else "n",
        "STORE_VERSION": str(version),
    }


def open_sqlite_store(  # noqa: PLR0913 - settings of a store, each with its default
    path: Path | str,
    *,
    definitions: Definitions,
    schema: Sequence[str] = (),
    companions: Sequence[Companion] = (),
    open_commands: OpenCommands | None = None,
    workflows_held: int = WORKFLOWS_HELD,
    read_only: bool = False,
    restoring: bool = False,
    covers: Covers | None = None,
    enabling: bool = False,
) -> WorkflowStore:
    """Open the store in a file, made where there is none. Raises StoreUnavailable or StoreNewer, naming the file."""
    return WorkflowStore(
        sqlite_settings(path, read_only=read_only),
        definitions=definitions,
        schema=schema,
        companions=companions,
        open_commands=open_commands,
        workflows_held=workflows_held,
        restoring=restoring or read_only,
        covers=covers,
        enabling=enabling,
    )


def open_postgres_store(  # noqa: PLR0913 - settings of a store, each with its default
    url: str,
    *,
    definitions: Definitions,
    schema: Sequence[str] = (),
    companions: Sequence[Companion] = (),
    open_commands: OpenCommands | None = None,
    workflows_held: int = WORKFLOWS_HELD,
    create: bool = False,
    version: int = MIGRATED_TO,
    restoring: bool = False,
    covers: Covers | None = None,
    enabling: bool = False,
) -> WorkflowStore:
    """Open the store in a PostgreSQL database, `postgresql://user@host:port/database`, with libpq's parameters.

    `version` is the number of the last migration that it must have had; with `create`, the tables of `schema` are made
    without any. Raises StoreUnavailable or StoreNewer, naming the place without its password.
    """
    return WorkflowStore(
        postgres_settings(url, create=create, version=version),
        definitions=definitions,
        schema=schema,
        companions=companions,
        open_commands=open_commands,
        workflows_held=workflows_held,
        restoring=restoring,
        covers=covers,
        enabling=enabling,
    )
