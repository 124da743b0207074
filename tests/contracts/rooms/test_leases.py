"""Leases, on PostgreSQL."""

from tests.unit.consumers.test_leases import *  # noqa: F403 - each of its tests
