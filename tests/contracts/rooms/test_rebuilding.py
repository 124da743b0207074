"""The rebuilding of the views, on PostgreSQL."""

from tests.unit.projections.test_rebuilding import *  # noqa: F403 - each of its tests
