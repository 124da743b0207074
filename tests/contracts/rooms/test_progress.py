"""How far the log is, on PostgreSQL."""

from tests.unit.deploy.test_progress import *  # noqa: F403 - each of its tests
