"""A deployment whose workers keep a ledger, and whose workflows the test itself decides on."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.activities.site import Site
from tests.servers.postgres import Database
from tests.servers.rabbitmq import Vhost


@pytest.fixture
def site(vhost: Vhost, database: Database, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as made:
        one = Site(vhost, database, tmp_path)
        made.callback(one.end)
        yield one
