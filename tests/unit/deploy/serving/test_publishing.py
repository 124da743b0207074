"""What each role publishes to: of every role, and no more than the rights of serving processes allow."""

import re

import pytest

from deploy.serving.process import ROLES
from deploy.serving.publishing import PUBLISHED, published_by
from domain.rights import runtime


def test_every_role_says_what_it_publishes_to() -> None:
    assert set(PUBLISHED) == set(ROLES)


def test_serving_processes_may_write_to_all_of_it() -> None:
    assert all(re.search(runtime().write, exchange) for exchange in published_by(ROLES, straight=True))


@pytest.mark.parametrize(
    ("roles", "straight", "expected"),
    [
        (["goals"], False, {"dead"}),
        (["goals"], True, {"dead", "commands"}),
        (["timer"], False, {"commands", "events", "goals"}),
        (["projector"], True, set()),
        (["http"], True, {"goals", "approvals", "control"}),
        (["http", "relay"], False, {"goals", "approvals", "control", "commands", "events"}),
    ],
)
def test_a_process_publishes_what_its_roles_do(roles: list[str], straight: bool, expected: set[str]) -> None:
    assert published_by(roles, straight=straight) == {f"handrail.{name}" for name in expected}
