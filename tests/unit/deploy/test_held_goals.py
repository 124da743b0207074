"""Held goals: sent again at growing intervals by whoever lives, until they begin, are dead, or too old."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from consumers.inbox import INBOX_SCHEMA, receive
from deploy import held_goals
from deploy.held_goals import GIVEN_UP_AFTER, GOALS_HELD_SCHEMA, HeldGoal, HeldGoals, forgetting
from deploy.http.sending_on import BROKER_AWAY_SECONDS, SendingOn
from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.messages import bodies
from domain.messages.writing import outgoing_goal
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.topology import GOALS_QUEUE
from domain.transport import Delivery, Outgoing, Published
from tests.databases import open_store, set_clock
from tests.unit.consumers.stage import DatabaseClock, Loaded

DESK = "desk"


class Broker:
    """Confirms what it is sent, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[Outgoing] = []

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        if self.away:
            raise BrokerUnavailable("nobody answers")
        self.sent += messages
        return [Published.CONFIRMED] * len(messages)


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def store(tmp_path: Path, clock: DatabaseClock) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path / "held.db", definitions=Loaded(), schema=(*INBOX_SCHEMA, *GOALS_HELD_SCHEMA))
    set_clock(opened, clock)
    yield opened
    opened.close()


@pytest.fixture
def table(store: WorkflowStore) -> HeldGoals:
    return HeldGoals(store)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def sending(store: WorkflowStore, broker: Broker) -> SendingOn:
    return SendingOn(store, broker, login=DESK, aside=inline)


def goal(name: str = "order-7", sender: str = DESK, words: str = "chain") -> HeldGoal:
    return HeldGoal.of(outgoing_goal(bodies.Goal(goal=words), message_id=name), sender=sender, digest=f"of {words}")


def names(store: WorkflowStore) -> list[str]:
    return [row[0] for row in store.query("SELECT message_id FROM goals_held ORDER BY message_id")]


async def test_a_goal_is_sent_again_at_doubling_intervals(
    store: WorkflowStore, table: HeldGoals, sending: SendingOn, broker: Broker, clock: DatabaseClock
) -> None:
    table.hold(goal())
    pauses = []
    for _ in range(13):
        ((due,),) = store.query("SELECT next_try FROM goals_held")
        pauses.append(due - clock.at)
        clock.at = due - 0.1
        assert await sending.once() == 0
        clock.at = due
        assert await sending.once() == 1
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]
    assert broker.sent == [outgoing_goal(bodies.Goal(goal="chain"), message_id="order-7")] * 13


async def test_a_goal_that_has_begun_is_held_no_more(
    store: WorkflowStore, table: HeldGoals, sending: SendingOn, broker: Broker, clock: DatabaseClock
) -> None:
    table.hold(goal())
    with store.transaction() as cursor:
        receive(cursor, goal().receipt, "goal", goal().digest)
    clock.at += 5
    assert await sending.once() == 1
    assert (names(store), broker.sent) == ([], [])


def test_of_two_processes_one_sends(store: WorkflowStore, table: HeldGoals, clock: DatabaseClock) -> None:
    table.hold(goal())
    clock.at += 5
    assert [one.message_id for one in table.take(DESK, 10)] == ["order-7"]
    assert HeldGoals(store).take(DESK, 10) == []


async def test_another_login_sends_it_never(
    store: WorkflowStore, table: HeldGoals, sending: SendingOn, broker: Broker, clock: DatabaseClock
) -> None:
    table.hold(goal(sender="another"))
    clock.at += 5
    assert await sending.once() == 0
    assert (names(store), broker.sent) == (["order-7"], [])


@pytest.mark.parametrize("sender", [DESK, "a login that is gone"])
async def test_a_goal_is_given_up_after_a_week(
    store: WorkflowStore,
    table: HeldGoals,
    sending: SendingOn,
    broker: Broker,
    clock: DatabaseClock,
    caplog: pytest.LogCaptureFixture,
    sender: str,
) -> None:
    table.hold(goal(sender=sender))
    clock.at += GIVEN_UP_AFTER.total_seconds()
    with caplog.at_level(logging.WARNING):
        await sending.once()
    assert (names(store), broker.sent) == ([], [])
    assert "order-7 is sent no more" in caplog.text


async def test_while_the_broker_is_away_no_time_is_lost(
    table: HeldGoals, sending: SendingOn, broker: Broker, clock: DatabaseClock
) -> None:
    table.hold(goal())
    broker.away = True
    for pause in [5, *[BROKER_AWAY_SECONDS] * 20]:
        clock.at += pause
        with pytest.raises(BrokerUnavailable):
            await sending.once()
    broker.away = False
    clock.at += BROKER_AWAY_SECONDS
    assert await sending.once() == 1
    assert len(broker.sent) == 1


async def test_a_dead_goal_is_held_no_more_another_of_its_id_is(store: WorkflowStore, table: HeldGoals) -> None:
    table.hold(goal("dead"))
    table.hold(goal("alive"))
    forget = forgetting(table, inline)
    other = goal("alive", words="other").message
    for message in (goal("dead").message, other):
        await forget([Delivery(GOALS_QUEUE, message.body, message.message_id, message.type, DESK)])
    await forget([Delivery("handrail.approvals", goal("alive").message.body, "alive", "", DESK)])
    await forget([Delivery(GOALS_QUEUE, b"\x00\xff", "alive", "", DESK), Delivery(GOALS_QUEUE, b"{}", "", "", "")])
    assert names(store) == ["alive"]


async def test_a_store_that_is_away_is_no_fault_of_the_dead(store: WorkflowStore, table: HeldGoals) -> None:
    store.close()
    message = goal().message
    await forgetting(table, inline)([Delivery(GOALS_QUEUE, message.body, message.message_id, message.type, DESK)])


@pytest.mark.parametrize("bound", ["MOST_HELD", "MOST_HELD_BYTES"])
def test_so_many_are_held_at_most(table: HeldGoals, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    one = len(goal().body)
    monkeypatch.setattr(held_goals, bound, 2 if bound == "MOST_HELD" else 2 * one)
    for name in ("order-1", "order-2"):
        assert table.hold(goal(name)) == "of chain"
    with pytest.raises(StoreUnavailable, match="no more are held"):
        table.hold(goal("order-3"))
    assert table.hold(goal("order-2", words="other")) == "of chain"
