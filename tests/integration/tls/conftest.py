"""Servers for the tests of this folder, and a deployment for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tls.site import SecureDeployment, Servers, servers
from tests.servers.fixtures import database_on, vhost_on


@pytest.fixture(scope="package")
def secure_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = servers(tmp_path_factory.mktemp("tls"))
    try:
        yield made
    finally:
        made.leave()


@pytest.fixture(scope="package")
def secure(secure_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureDeployment]:
    """One deployment for all tests: what they ask changes nothing."""
    folder: Path = tmp_path_factory.mktemp("deployment")
    for vhost in vhost_on(secure_servers.broker):
        for database in database_on(secure_servers.cluster):
            deployment = SecureDeployment(vhost, database, folder, servers=secure_servers)
            try:
                yield deployment
            finally:
                deployment.end()
