"""The topology: every queue can be reached, keeps what it rejects, and is named as the rest of the house names it."""

from __future__ import annotations

import pytest

from domain.errors import InputInvalid
from domain.topology import (
    DEAD_EXCHANGE,
    EVENTS_EXCHANGE,
    EXCHANGES,
    INTAKES,
    Listener,
    Topology,
    activity_queue,
    activity_queues_of,
    dead_queue,
    topology_of,
)

WHOLE = topology_of(["default", "papers"], [Listener("crm", ("approval.requested.#", "workflow.completed.*"))])


def arguments(topology: Topology, queue: str) -> dict[str, str | int]:
    (found,) = [one for one in topology.queues if one.name == queue]
    return dict(found.arguments)


def test_every_queue_is_there_once_and_bound() -> None:
    queues = [one.name for one in WHOLE.queues]
    assert len(queues) == len(set(queues))
    assert {one.queue for one in WHOLE.bindings} == set(queues)
    assert {one.exchange for one in WHOLE.bindings} == {one.name for one in EXCHANGES}


def test_every_queue_that_is_worked_on_keeps_what_it_rejects() -> None:
    for queue in (*(one.queue for one in INTAKES), activity_queue("default"), activity_queue("papers")):
        assert arguments(WHOLE, queue) == {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "handrail.dead",
            "x-dead-letter-routing-key": queue,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": 10,
        }
        bound = [one for one in WHOLE.bindings if (one.exchange, one.key) == (DEAD_EXCHANGE, queue)]
        assert [one.queue for one in bound] == [dead_queue(queue)]


def test_what_is_parked_is_not_given_up_by_the_broker() -> None:
    for queue in ("handrail.dead.goals", "handrail.dead.activity.papers", "handrail.unrouted"):
        assert arguments(WHOLE, queue) == {"x-queue-type": "quorum", "x-delivery-limit": 2_147_483_647}


def test_a_listener_that_reads_nothing_does_not_fill_the_disk() -> None:
    told = arguments(WHOLE, "handrail.listener.crm")
    assert (told["x-overflow"], told["x-max-length"]) == ("drop-head", 100_000)
    keys = {one.key for one in WHOLE.bindings if one.exchange == EVENTS_EXCHANGE}
    assert keys == {"approval.requested.#", "workflow.completed.*"}


def test_outsiders_exchanges_have_somewhere_for_what_they_cannot_route() -> None:
    aside = {one.name for one in EXCHANGES if one.alternate}
    assert aside == {f"handrail.{name}" for name in ("goals", "approvals", "signals", "control", "outcomes")}
    assert {one.alternate for one in EXCHANGES if one.alternate} == {"handrail.unrouted"}


def test_the_queues_are_those_of_the_activity_types_each_once_and_the_heartbeats() -> None:
    assert activity_queues_of(topology_of(["b", "a", "b"])) == ["a", "b", "handrail-heartbeat"]
    assert topology_of(["b", "a", "b"]) == topology_of(["a", "b"])


@pytest.mark.parametrize("name", ["", "A", "with space", "x" * 65, "ü"])
def test_a_queue_or_listener_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputInvalid, match="is not a name"):
        topology_of([name])
    with pytest.raises(InputInvalid, match="is not a name"):
        topology_of([], [Listener(name)])
    with pytest.raises(InputInvalid, match="none of Handrail's"):
        dead_queue(name)
