"""A deployment with an operator, for each test."""

import pytest

from domain.rights import operator
from tests.integration.dead.morgue import Morgue
from tests.integration.serving.conftest import Deploy, deploy

__all__ = ["deploy"]


@pytest.fixture
def morgue(deploy: Deploy) -> Morgue:
    """What a test needs around dead letters; nothing is served yet."""
    deployment = deploy()
    return Morgue(deployment, deployment.login(operator("operator")))
