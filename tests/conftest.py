"""What all tests share: lines about the whole run, beside pytest's own, and the servers that tests may ask for."""

from tests.crash.report import pytest_terminal_summary
from tests.servers.fixtures import (
    database,
    existing_rabbitmq,
    own_database,
    own_postgres,
    own_postgres_cluster,
    own_rabbitmq,
    own_rabbitmq_node,
    own_vhost,
    postgres,
    proxies,
    rabbitmq,
    vhost,
)

__all__ = [
    "database",
    "existing_rabbitmq",
    "own_database",
    "own_postgres",
    "own_postgres_cluster",
    "own_rabbitmq",
    "own_rabbitmq_node",
    "own_vhost",
    "postgres",
    "proxies",
    "pytest_terminal_summary",
    "rabbitmq",
    "vhost",
]
