"""What waits for room, on PostgreSQL."""

from tests.unit.consumers.test_waiting import *  # noqa: F403 - each of its tests
