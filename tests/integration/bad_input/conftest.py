"""Deployments, as for serving processes."""

from tests.integration.serving.conftest import deploy

__all__ = ["deploy"]
