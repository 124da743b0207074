"""The projector, on PostgreSQL."""

from tests.unit.projections.test_projector import *  # noqa: F403 - each of its tests
