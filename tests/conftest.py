"""What all tests share: lines about the whole run, the servers that tests may ask for, a clock that ends what hangs."""

import signal

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
from tests.watchdog import pytest_configure, pytest_runtest_protocol, pytest_runtest_teardown

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
    "pytest_configure",
    "pytest_runtest_protocol",
    "pytest_runtest_teardown",
    "pytest_terminal_summary",
    "rabbitmq",
    "vhost",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background is born deaf to it, and so would be each process that a test starts in order to interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
