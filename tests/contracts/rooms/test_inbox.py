"""The inbox, on PostgreSQL."""

from tests.unit.consumers.test_inbox import *  # noqa: F403 - each of its tests
