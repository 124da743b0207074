"""Rights: each role reaches what it is there for, and nothing else; the patterns are read as RabbitMQ reads them."""

from __future__ import annotations

import re

import pytest

from domain.errors import InputInvalid
from domain.rights import (
    Role,
    User,
    administrator,
    approval_service,
    default_users,
    foreign_worker,
    goal_service,
    listener,
    may_write_anywhere,
    operator,
    runtime,
    signal_service,
)
from domain.topology import EXCHANGES, Listener, topology_of

TOPOLOGY = topology_of(["default", "papers", "papers.old"], [Listener("crm"), Listener("crm.test")])
STRANGE = ("amq.default", "amq.topic", "xhandrail.goals", "handrail.goalsx", "handrail-goals", "orders", "")
EXCHANGE_NAMES = (*(one.name for one in EXCHANGES), *STRANGE)
QUEUE_NAMES = (*(one.name for one in TOPOLOGY.queues), *STRANGE)


def reach(pattern: str, names: tuple[str, ...]) -> set[str]:
    return {name for name in names if re.search(pattern, name)} - {""}


CASES = [
    (goal_service("crm"), {"handrail.goals"}, set()),
    (approval_service("desk"), {"handrail.approvals"}, set()),
    (signal_service("post"), {"handrail.signals"}, set()),
    (foreign_worker("node", "papers"), {"handrail.outcomes"}, {"handrail.activity.papers"}),
    (listener("crm"), set(), {"handrail.listener.crm"}),
    (
        operator(),
        {f"handrail.{name}" for name in ("goals", "approvals", "signals", "control", "outcomes", "commands")},
        {name for name in QUEUE_NAMES if name.startswith("handrail.dead.")} | {"handrail.unrouted"},
    ),
    (
        runtime(),
        {f"handrail.{name}" for name in ("commands", "events", "dead", "goals", "approvals", "signals", "control")},
        {f"handrail.{name}" for name in ("goals", "approvals", "signals", "control", "outcomes")}
        | {name for name in QUEUE_NAMES if name.startswith(("handrail.activity.", "handrail.dead.activity."))},
    ),
]


@pytest.mark.parametrize(("user", "writes", "reads"), CASES, ids=lambda one: one.role if isinstance(one, User) else "")
def test_a_role_reaches_what_it_is_there_for_and_declares_nothing(
    user: User, writes: set[str], reads: set[str]
) -> None:
    assert reach(user.write, EXCHANGE_NAMES) == writes
    assert reach(user.read, QUEUE_NAMES) == reads
    assert reach(user.configure, (*EXCHANGE_NAMES, *QUEUE_NAMES)) == set()
    assert user.tags == (("impersonator",) if user.role is Role.OPERATOR else ())


def test_nobody_may_write_the_default_exchange() -> None:
    assert [user.name for user in default_users(["papers"]) if may_write_anywhere(user.write)] == []
    assert may_write_anywhere(".*")
    assert may_write_anywhere("")
    assert may_write_anywhere("(")


def test_the_administrator_reaches_all_that_is_handrails() -> None:
    ours = {name for name in (*EXCHANGE_NAMES, *QUEUE_NAMES) if name.startswith("handrail.")}
    for pattern in (administrator().configure, administrator().write, administrator().read):
        assert reach(pattern, (*EXCHANGE_NAMES, *QUEUE_NAMES)) == ours


def test_an_approval_service_may_be_held_to_its_definitions() -> None:
    (right,) = approval_service("desk", ["Vendor onboarding review", "a.b"]).topics
    keys = ("approval.vendor-onboarding-review", "approval.a-b", "approval.vendor-onboarding-reviewx", "approval.axb")
    assert reach(right.write, keys) == {"approval.vendor-onboarding-review", "approval.a-b"}
    assert reach(right.read, keys) == set()
    (every,) = approval_service("desk").topics
    assert reach(every.write, (*keys, "approval.", "other.a")) == set(keys)


def test_a_signal_service_may_be_held_to_its_signals() -> None:
    (right,) = signal_service("post", ["papers.arrived"]).topics
    assert reach(right.write, ("papers.arrived", "papersxarrived", "papers.arrived.twice")) == {"papers.arrived"}


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a\nb", "ü" * 128])
def test_a_user_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputInvalid, match="is no name"):
        goal_service(name)
