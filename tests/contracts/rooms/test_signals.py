"""Signals, on PostgreSQL."""

from tests.unit.producers.test_signals import *  # noqa: F403 - each of its tests
