"""Held goals, on PostgreSQL."""

from tests.unit.deploy.test_held_goals import *  # noqa: F403 - each of its tests
