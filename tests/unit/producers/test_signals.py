"""Signals and the waits for them find each other, whichever comes first; no workflow takes one twice."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.inbox import INBOX_SCHEMA, receive
from domain.errors import FenceMissed, InputInvalid, Refused, StoreUnavailable, WorkflowConflict, WorkflowUnknown
from domain.events import WaitSatisfied, WaitStarted
from domain.ports import Decided, Request
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import DeliverSignal
from producers.signals import KEPT_FOR, MOST_KEPT, SIGNALS_SCHEMA, Signal, Signals, SignalsCompanion
from tests.unit.producers.stage import BEGINNING, Decisions, decided, open_store, save


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path, (*INBOX_SCHEMA, *SIGNALS_SCHEMA))
    yield opened
    opened.close()


class World:
    """Signals, and workflows that take them as long as they wait."""

    def __init__(self, store: WorkflowStore) -> None:
        self.store = store
        self.at = BEGINNING
        self.waiting: set[str] = set()
        self.companion = SignalsCompanion()
        self.decisions = Decisions(self.decide)
        self.signals = Signals(store, self.decisions, lambda: self.at, receive)

    def wait(self, workflow_id: str, name: str = "papers", correlation: str = "a", step: str = "s") -> WaitStarted:
        event = WaitStarted(step=step, reason="signal", name=name, correlation=correlation)
        save(self.store, self.companion, decided(State(workflow_id), event))
        self.waiting.add(workflow_id)
        return event

    def decide(self, request: Request) -> Decided:
        assert isinstance(request.trigger, DeliverSignal)
        events = [WaitSatisfied(step="s", reason="signal", payload=request.trigger.payload)]
        took = request.workflow_id in self.waiting
        self.waiting.discard(request.workflow_id)
        answer = decided(
            State(request.workflow_id), *(events if took else []), trigger=request.trigger, cause=request.cause
        )
        save(self.store, self.companion, answer)
        return answer

    async def send(
        self, payload: Any = 1, message_id: str = "m1", name: str = "papers", correlation: str = "a"
    ) -> list[str]:
        return await self.signals.receive(Signal(message_id, name, correlation, payload, "post"))

    def kept(self) -> list[str]:
        return [row[0] for row in self.store.query("SELECT message_id FROM signals ORDER BY message_id")]


async def test_a_signal_goes_to_everyone_who_waits_for_it(store: WorkflowStore) -> None:
    world = World(store)
    world.wait("wf_1")
    world.wait("wf_2")
    world.wait("wf_3", correlation="b")
    assert await world.send({"x": 1}) == ["wf_1", "wf_2"]
    assert world.kept() == []
    (first, _) = world.decisions.requests
    assert (first.cause, first.actor, first.trigger.payload) == ("m1", "post", {"x": 1})  # type: ignore[attr-defined]
    assert store.query("SELECT workflow_id FROM subscriptions") == [("wf_3",)]


async def test_a_signal_that_nobody_wants_is_kept_for_who_comes_first(store: WorkflowStore) -> None:
    world = World(store)
    assert await world.send(1, "m1") == []
    world.at += timedelta(seconds=1)
    assert await world.send(2, "m2") == []
    await world.signals.wanted("wf_1", world.wait("wf_1"))
    assert (world.waiting, world.kept()) == (set(), ["m2"])
    await world.signals.wanted("wf_1", world.wait("wf_1", correlation="other"))
    assert world.waiting == {"wf_1"}


async def test_a_repeat_is_no_second_signal_and_another_body_a_conflict(store: WorkflowStore) -> None:
    world = World(store)
    world.wait("wf_1")
    assert await world.send(1, "m1") == ["wf_1"]
    world.wait("wf_1")
    assert await world.send(1, "m1") == []
    assert world.kept() == []
    with pytest.raises(WorkflowConflict):
        await world.send(2, "m1")
    with pytest.raises(WorkflowConflict):
        await world.send(1, "m1", correlation="b")


async def test_no_workflow_takes_a_signal_twice(store: WorkflowStore) -> None:
    world = World(store)
    world.wait("wf_1")
    await world.send(1, "m1")
    again = decided(
        State("wf_1"),
        WaitSatisfied(step="s", reason="signal", payload=1),
        trigger=DeliverSignal(name="papers", correlation="a", payload=1),
        cause="m1",
    )
    with pytest.raises(FenceMissed, match="had the signal m1 before"):
        save(store, world.companion, again)


async def test_a_signal_whose_receiver_died_before_delivering_it_is_delivered_later(store: WorkflowStore) -> None:
    world = World(store)
    for number, workflow_id in enumerate(("wf_1", "wf_2")):
        world.wait(workflow_id)
        world.decisions.errors = [StoreUnavailable("the process was killed here")] * (number + 1)
        with pytest.raises(StoreUnavailable):
            await world.send(number, f"m{number}")
        world.at += timedelta(seconds=1)
    assert await world.signals.deliver_kept(["wf_2"]) == ["wf_2"]
    assert world.decisions.requests[-1].cause == "m0"
    assert await world.signals.deliver_kept(None) == ["wf_1"]
    assert (world.decisions.requests[-1].cause, world.kept()) == ("m1", [])
    assert await world.signals.deliver_kept(None) == []


async def test_a_kept_signal_that_has_expired_is_not_delivered(store: WorkflowStore) -> None:
    world = World(store)
    await world.send()
    world.wait("wf_1")
    world.at += KEPT_FOR
    assert await world.signals.deliver_kept(None) == []


async def test_a_wait_that_is_over_is_forgotten_and_the_signal_kept(store: WorkflowStore) -> None:
    world = World(store)
    world.wait("wf_1")
    world.waiting.clear()
    assert await world.send() == []
    assert world.kept() == ["m1"]
    assert store.query("SELECT * FROM subscriptions") == []
    await world.signals.wanted("wf_1", world.wait("wf_1"))
    assert world.kept() == []


async def test_one_wait_after_the_other_for_the_same_signal_stays_subscribed(store: WorkflowStore) -> None:
    world = World(store)
    world.wait("wf_1", step="first")
    both = decided(
        State("wf_1"),
        WaitSatisfied(step="first", reason="signal", payload=1),
        WaitStarted(step="second", reason="signal", name="papers", correlation="a"),
        trigger=DeliverSignal(name="papers", correlation="a", payload=1),
        cause="m1",
    )
    save(store, world.companion, both)
    assert store.query("SELECT step FROM subscriptions") == [("second",)]


async def test_kept_signals_are_bounded_in_number_and_time(store: WorkflowStore) -> None:
    world = World(store)
    with store.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO signals (message_id, name, correlation, payload, sender, kept_at, expires_at) "
            "VALUES (?, 'x', 'y', '1', 'z', 0, ?)",
            [(f"k{number}", (BEGINNING + KEPT_FOR).timestamp()) for number in range(MOST_KEPT)],
        )
    with pytest.raises(Refused, match="send this one when it is waited for"):
        await world.send()
    assert len(world.kept()) == MOST_KEPT
    world.at += KEPT_FOR
    assert await world.send() == []
    assert world.kept() == ["m1"]
    world.at += KEPT_FOR
    await world.signals.wanted("wf_1", world.wait("wf_1"))
    assert world.waiting == {"wf_1"}


@pytest.mark.parametrize(
    ("name", "correlation", "payload"),
    [
        ("Papers!", "a", 1),
        ("papers", "", 1),
        ("papers", "x" * 201, 1),
        ("papers", "a", float("nan")),
        ("papers", "a", 2**60),
    ],
)
async def test_what_is_no_signal_is_refused(store: WorkflowStore, name: str, correlation: str, payload: Any) -> None:
    world = World(store)
    with pytest.raises(InputInvalid):
        await world.send(payload, name=name, correlation=correlation)
    assert world.kept() == []


async def test_a_workflow_that_is_gone_holds_up_no_other_but_trouble_is_raised(store: WorkflowStore) -> None:
    world = World(store)
    world.wait("wf_1")
    world.wait("wf_2")
    world.decisions.errors = [WorkflowUnknown("gone")]
    assert await world.send(1, "m1") == ["wf_2"]
    world.wait("wf_3", correlation="b")
    world.decisions.errors = [StoreUnavailable("full")]
    with pytest.raises(StoreUnavailable):
        await world.send(1, "m2", correlation="b")
    assert world.kept() == ["m2"]
