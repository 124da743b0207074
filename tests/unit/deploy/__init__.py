"""Tests of what puts the parts together: loading, settings, artifacts, secrets, the lock."""
