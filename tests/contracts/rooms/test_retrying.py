"""The retry of parked workflows, on PostgreSQL."""

from tests.unit.projections.test_retrying import *  # noqa: F403 - each of its tests
