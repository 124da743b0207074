"""Held messages, on PostgreSQL."""

from tests.unit.consumers.conftest import process
from tests.unit.consumers.test_later import *  # noqa: F403 - each of its tests and fixtures

__all__ = ["process"]
