"""The fixtures of RabbitMQ and PostgreSQL, one server each for the tests of a process, started when first asked for.

- `vhost`, `database`: fresh for each test, on the servers that `HANDRAIL_TEST_AMQP_URL` (with
  `HANDRAIL_TEST_AMQP_MANAGEMENT`) and `HANDRAIL_TEST_PG_URL` name, or else on private ones.
- `own_vhost`, `own_database`: the same, always on private servers, which the test may kill: `own_vhost.broker` and
  `own_database.cluster`, or `own_rabbitmq` and `own_postgres`.
- `proxies`: `proxies(port)` is a TCP proxy before a local port.

Where a server's programs are missing, the test fails and says what to install.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.servers.postgres import Cluster, Database, OwnCluster, existing_cluster, own_cluster
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Broker, OwnBroker, Vhost, existing_broker, own_broker

AMQP_VARIABLE = "HANDRAIL_TEST_AMQP_URL"
MANAGEMENT_VARIABLE = "HANDRAIL_TEST_AMQP_MANAGEMENT"
PG_VARIABLE = "HANDRAIL_TEST_PG_URL"


@pytest.fixture(scope="session")
def own_rabbitmq_node() -> Iterator[OwnBroker]:
    """The private node of this process; tests ask for `own_rabbitmq`, which is up at their start."""
    node = own_broker()
    try:
        yield node
    finally:
        node.leave()


@pytest.fixture
def own_rabbitmq(own_rabbitmq_node: OwnBroker) -> OwnBroker:
    own_rabbitmq_node.ensure()
    return own_rabbitmq_node


@pytest.fixture
def own_vhost(own_rabbitmq: OwnBroker) -> Iterator[Vhost]:
    yield from vhost_on(own_rabbitmq)


@pytest.fixture(scope="session")
def existing_rabbitmq() -> Iterator[Broker | None]:
    """The broker that the environment names, or None."""
    url = os.environ.get(AMQP_VARIABLE)
    if not url:
        yield None
        return
    broker = existing_broker(url, os.environ.get(MANAGEMENT_VARIABLE, ""))
    try:
        yield broker
    finally:
        broker.leave()


@pytest.fixture
def rabbitmq(request: pytest.FixtureRequest, existing_rabbitmq: Broker | None) -> Broker:
    if existing_rabbitmq is not None:
        return existing_rabbitmq
    node: OwnBroker = request.getfixturevalue("own_rabbitmq")
    return node


@pytest.fixture
def vhost(rabbitmq: Broker) -> Iterator[Vhost]:
    yield from vhost_on(rabbitmq)


@pytest.fixture(scope="session")
def own_postgres_cluster() -> Iterator[OwnCluster]:
    """The private cluster of this process; tests ask for `own_postgres`, which is up at their start."""
    cluster = own_cluster()
    try:
        yield cluster
    finally:
        cluster.leave()


@pytest.fixture
def own_postgres(own_postgres_cluster: OwnCluster) -> OwnCluster:
    own_postgres_cluster.ensure()
    return own_postgres_cluster


@pytest.fixture
def own_database(own_postgres: OwnCluster) -> Iterator[Database]:
    yield from database_on(own_postgres)


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Cluster:
    if url := os.environ.get(PG_VARIABLE):
        return existing_cluster(url)
    cluster: OwnCluster = request.getfixturevalue("own_postgres")
    return cluster


@pytest.fixture
def database(postgres: Cluster) -> Iterator[Database]:
    yield from database_on(postgres)


@pytest.fixture
def proxies() -> Iterator[Callable[[int], Proxy]]:
    """Makes proxies before local ports; closed after the test."""
    with contextlib.ExitStack() as opened:
        yield lambda port: opened.enter_context(Proxy(port))


def vhost_on(broker: Broker) -> Iterator[Vhost]:
    """A virtual host for one test; what the test did to the broker is mended before it is removed."""
    made = broker.new_vhost()
    try:
        yield made
    finally:
        broker.ensure()
        made.drop()


def database_on(cluster: Cluster) -> Iterator[Database]:
    """A database for one test; what the test did to the cluster is mended before it is removed."""
    made = cluster.new_database()
    try:
        yield made
    finally:
        cluster.ensure()
        cluster.drop(made)
