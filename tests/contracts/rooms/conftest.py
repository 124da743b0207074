"""Every test of this folder opens its stores on PostgreSQL."""

import os
from collections.abc import Iterator

import pytest

from tests import databases
from tests.servers.fixtures import PG_VARIABLE, database_on
from tests.servers.postgres import Cluster, Database, existing_cluster
from tests.unit.projections.conftest import path, place

__all__ = ["path", "place"]


@pytest.fixture(scope="module")
def rooms_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    url = os.environ.get(PG_VARIABLE)
    cluster: Cluster = existing_cluster(url) if url else request.getfixturevalue("own_postgres_cluster")
    cluster.ensure()
    yield from database_on(cluster)


@pytest.fixture(autouse=True)
def on_postgres(rooms_database: Database) -> Iterator[None]:
    databases.address.append(rooms_database.url)
    yield
    databases.address.clear()
