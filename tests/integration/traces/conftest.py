"""A collector for each test, and deployments that tell it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from domain.topology import Listener
from tests.integration.serving.deployment import Deployment
from tests.servers.collector import Collector
from tests.servers.postgres import Database
from tests.servers.rabbitmq import Vhost

DESK = Listener("desk")
RECIPES = "tests.integration.traces.recipes"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


@pytest.fixture
def traced(
    vhost: Vhost, database: Database, collector: Collector, tmp_path: Path
) -> Iterator[Callable[[], Deployment]]:
    """Makes the test's deployment, whose processes tell the collector."""
    with ExitStack() as made:

        def make() -> Deployment:
            deployment = Deployment(
                vhost, database, tmp_path, modules=RECIPES, listeners=[DESK], settings=dict(collector.settings)
            )
            made.callback(deployment.end)
            return deployment

        yield make
