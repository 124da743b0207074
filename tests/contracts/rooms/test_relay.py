"""The relay's tables, on PostgreSQL."""

from tests.unit.producers.test_relay import *  # noqa: F403 - each of its tests
