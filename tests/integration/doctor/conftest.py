"""A deployment that is as it must be, and a doctor to look at it."""

import pytest

from tests.integration.doctor.clinic import Clinic, clinic_of
from tests.integration.serving.conftest import Deploy, deploy

__all__ = ["deploy"]


@pytest.fixture
def clinic(deploy: Deploy) -> Clinic:
    """Nothing is served yet."""
    return clinic_of(deploy())
