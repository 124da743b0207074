"""Stores to archive from, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA, open_store
from domain.faultpoints import arm
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: Any, tmp_path: Path) -> Iterator[list[WorkflowStore]]:
    """The same store twice, as two processes have it open."""
    if request.param == "sqlite":
        stores = [open_store(tmp_path / ".handrail", LoadedDefinitions()) for _ in range(2)]
    else:
        url = request.getfixturevalue("database").url
        stores = [
            open_postgres_store(url, definitions=LoadedDefinitions(), schema=SCHEMA, create=True) for _ in range(2)
        ]
    yield stores
    arm(None)
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: list[WorkflowStore]) -> WorkflowStore:
    return opened[0]


@pytest.fixture
def other(opened: list[WorkflowStore]) -> WorkflowStore:
    """The store in another process."""
    return opened[1]
