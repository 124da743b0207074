"""A deployment for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.serving.deployment import Deployment
from tests.servers.postgres import Database
from tests.servers.rabbitmq import Vhost

Deploy = Callable[..., Deployment]


@pytest.fixture
def deploy(vhost: Vhost, database: Database, tmp_path: Path) -> Iterator[Deploy]:
    """Makes the test's deployment; options are the Deployment's."""
    with ExitStack() as made:

        def make(**options: Any) -> Deployment:
            deployment = Deployment(vhost, database, tmp_path, **options)
            made.callback(deployment.end)
            return deployment

        yield make
