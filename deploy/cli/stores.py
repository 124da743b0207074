"""The store that a command is about, wherever it is: in a home, or where HANDRAIL_STORE says. Nothing runs on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deploy.cli.place import existing_home, home_of

if TYPE_CHECKING:
    from domain.store.application import WorkflowStore


@contextlib.contextmanager
def open_any_store(home: str | None, *, create: bool = False, enabling: bool = False) -> Iterator[WorkflowStore]:
    """The store, for reading and writing; a home is made only with `create`.

    With `enabling` it is one whose payloads are only now to be covered.

    Raises InputInvalid where two places are named or none is there, StoreUnavailable or StoreNewer.
    """
    from deploy.loading import LoadedDefinitions
    from deploy.opened import SCHEMA, open_store
    from deploy.settings import load_settings

    settings = load_settings()
    if settings.store is not None and home is None:
        from deploy.addresses import needed, store_address
        from deploy.keyring import covers_of
        from domain.store.opening import open_postgres_store

        address = needed(store_address(settings), "store")
        opened = open_postgres_store(
            address.url,
            definitions=LoadedDefinitions(),
            schema=SCHEMA,
            covers=covers_of(settings),
            enabling=enabling,
        )
    else:
        folder = home_of(home) if create else existing_home(home)
        opened = open_store(folder, LoadedDefinitions(), settings=settings, enabling=enabling)
    try:
        yield opened
    finally:
        opened.close()
