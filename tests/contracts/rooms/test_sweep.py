"""The sweep, on PostgreSQL."""

from tests.unit.consumers.test_sweep import *  # noqa: F403 - each of its tests
