"""The waiting room: claims what can begin, holds what cannot, drops what does not fit, settles each delivery."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.activities import Bounds
from consumers.claims import Claims
from consumers.settlement import Delivered
from consumers.waiting import WaitingRoom
from domain.definitions import activity
from domain.errors import StoreUnavailable
from domain.faultpoints import arm
from domain.limits import Limits, Rate
from domain.ports import Command
from domain.state import State
from domain.store.application import WorkflowStore
from tests.unit.consumers.stage import LEASE_SECONDS, OWNER, DatabaseClock, Workshop, open_inbox, put, rows

Given = dict[str, Any]


@activity(effect="once", pivot=True, name="a")
async def quick(given: Given) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, DatabaseClock())
    yield opened
    opened.close()


class Received:
    """A consumer with a store and a runner."""

    def __init__(self, store: WorkflowStore, shop: Workshop, most: int = 100) -> None:
        self.shop = shop
        self.claims = Claims(store, OWNER, lease_seconds=LEASE_SECONDS)
        self.consumer = WaitingRoom(self.claims, shop.runner, most=most)
        self.told: list[tuple[str, Delivered]] = []
        self.consumer.settled = lambda command, delivered: self.told.append((command.workflow_id, delivered))

    async def turn(self) -> bool:
        return await self.consumer.turn()

    async def over(self, *commands: Command) -> None:
        await self.shop.over(commands)


async def test_deliveries_are_claimed_together_run_and_acknowledged(store: WorkflowStore) -> None:
    shop = Workshop(quick)
    received = Received(store, shop)
    commands = [shop.command("a", f"wf_{number}") for number in range(3)]
    for command in commands:
        put(store, command.workflow_id)
    seen: list[str] = []
    arm(seen.append)
    try:
        assert received.consumer.put(commands) == 3
        await received.turn()
        assert set(rows(store).values()) == {("claimed", OWNER)}
        await received.over(*commands)
    finally:
        arm(None)
    assert [one.status for one in shop.decisions.outcomes] == ["ok", "ok", "ok"]
    assert received.consumer.counts == {Delivered.OUTCOME_RECORDED: 3}
    assert seen.count("claim.after") == 1
    assert seen.count("acknowledge.before") == seen.count("acknowledge.after") == 3


@pytest.mark.parametrize(
    ("state", "owner", "delivered"),
    [
        ("done", OWNER, Delivered.NOT_OPEN),
        ("revoked", None, Delivered.NOT_OPEN),
        ("lapsed", "there-2", Delivered.NOT_OPEN),
        ("claimed", "there-2", Delivered.CLAIMED),
        (None, None, Delivered.UNKNOWN),
    ],
)
async def test_what_is_not_open_is_acknowledged_and_never_run(
    store: WorkflowStore, state: str | None, owner: str | None, delivered: Delivered
) -> None:
    shop = Workshop(quick)
    received = Received(store, shop)
    if state is not None:
        put(store, "wf_1", state, owner)
    received.consumer.put([shop.command("a", "wf_1")])
    await received.turn()
    assert not shop.runner.running
    assert received.consumer.counts == {delivered: 1}


async def test_a_second_delivery_runs_nothing_whenever_it_comes(store: WorkflowStore) -> None:
    go_on = asyncio.Event()

    @activity(effect="pure", name="a")
    async def waits(given: Given) -> None:
        await go_on.wait()

    shop = Workshop(waits)
    received = Received(store, shop)
    command = shop.command("a", "wf_1")
    put(store, "wf_1")
    received.consumer.put([command, command])
    await received.turn()
    received.consumer.put([command])
    await received.turn()
    go_on.set()
    await received.over(command)
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'done'")
    received.consumer.put([command])
    await received.turn()
    assert len(shop.decisions.outcomes) == 1
    assert received.consumer.counts == {
        Delivered.RUNNING_HERE: 2,
        Delivered.OUTCOME_RECORDED: 1,
        Delivered.NOT_OPEN: 1,
    }


async def test_an_activity_without_room_holds_up_no_other(store: WorkflowStore) -> None:
    go_on = asyncio.Event()

    @activity(effect="pure", name="narrow", concurrency=1)
    async def narrow(given: Given) -> None:
        await go_on.wait()

    @activity(effect="pure", name="a")
    async def wide(given: Given) -> None: ...

    shop = Workshop(narrow, wide)
    received = Received(store, shop)
    crowd = [shop.command("narrow", f"wf_{number}") for number in range(3)]
    behind = shop.command("a", "wf_9")
    for number in range(3):
        with store.transaction() as cursor:
            cursor.execute(
                "INSERT INTO inbox (message_id, kind, workflow_id, state) VALUES (?, 'run', ?, 'open')",
                (f"wf_{number}/narrow/run/1", f"wf_{number}"),
            )
    put(store, "wf_9")
    received.consumer.put([*crowd, behind])
    await received.turn()
    assert [state for state, _ in rows(store).values()] == ["claimed", "open", "open", "claimed"]
    await received.over(behind)
    go_on.set()
    await received.over(crowd[0])
    await received.turn()
    await received.over(crowd[1])
    assert len(shop.decisions.outcomes) == 3


async def test_what_does_not_fit_is_dropped_and_asked_for_again_when_there_is_room(store: WorkflowStore) -> None:
    shop = Workshop(quick)
    received = Received(store, shop, most=4)
    commands = [shop.command("a", f"wf_{number}") for number in range(6)]
    for command in commands:
        put(store, command.workflow_id)
    drained: list[bool] = []
    received.consumer.drained = lambda: drained.append(True)
    assert received.consumer.put(commands) == 4
    await received.turn()
    await received.over(*commands)
    assert drained == [True]
    assert len(shop.decisions.outcomes) == 4
    assert received.consumer.put(commands[4:]) == 2


async def test_a_definition_that_is_not_loaded_leaves_the_row_open(store: WorkflowStore) -> None:
    shop = Workshop(quick)
    received = Received(store, shop)
    put(store, "wf_1")
    received.consumer.put([shop.command("not loaded", "wf_1")])
    await received.turn()
    assert received.consumer.counts == {Delivered.DEFINITION_MISSING: 1}
    assert rows(store) == {"wf_1": ("open", None)}


async def test_while_the_store_cannot_be_asked_deliveries_are_kept(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(quick)
    received = Received(store, shop)
    command = shop.command("a", "wf_1")
    put(store, "wf_1")
    received.consumer.put([command])

    def unavailable(*_: object, **__: object) -> frozenset[str]:
        raise StoreUnavailable("locked")

    with monkeypatch.context() as patched:
        patched.setattr(received.claims, "take", unavailable)
        with pytest.raises(StoreUnavailable):
            await received.turn()
    await received.turn()
    await received.over(command)
    assert len(shop.decisions.outcomes) == 1


async def test_it_goes_on_by_itself_as_attempts_end(store: WorkflowStore) -> None:
    shop = Workshop(quick, bounds=Bounds(attempts=2))
    received = Received(store, shop)
    commands = [shop.command("a", f"wf_{number}") for number in range(7)]
    for command in commands:
        put(store, command.workflow_id)
    task = asyncio.create_task(received.consumer.run())
    received.consumer.put(commands)
    async with asyncio.timeout(10):
        while len(shop.decisions.outcomes) < 7:  # noqa: ASYNC110 - one condition, whoever fulfils it
            await asyncio.sleep(0)
    task.cancel()


# --- limits over all processes --------------------------------------------------------------------------------------


@activity(effect="pure", name="a", limits=Limits(rate=Rate(times=2, per=timedelta(seconds=10))))
async def slow_lane(given: Given) -> None: ...


async def test_what_a_limit_defers_is_let_go_with_its_promise_in_the_row(store: WorkflowStore) -> None:
    shop = Workshop(slow_lane)
    received = Received(store, shop)
    commands = [shop.command("a", f"wf_{number}") for number in range(4)]
    for command in commands:
        put(store, command.workflow_id)
    received.consumer.put(commands)
    await received.turn()
    await received.over(*commands)
    assert received.told == [
        ("wf_2", Delivered.DEFERRED),
        ("wf_3", Delivered.DEFERRED),
        ("wf_0", Delivered.OUTCOME_RECORDED),
        ("wf_1", Delivered.OUTCOME_RECORDED),
    ]
    assert not received.consumer.waiting
    assert [row[0] for row in store.query("SELECT state FROM inbox WHERE due_at IS NOT NULL")] == ["open", "open"]
    assert [request.under for request in shop.decisions.requests] == [slow_lane.limits] * 2


async def test_what_may_begin_in_a_moment_is_kept_and_begins_as_soon_as_a_place_is_free(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    @activity(effect="pure", name="a", limits=Limits(at_once=1))
    async def narrow(given: Given) -> None:
        await go_on.wait()

    shop = Workshop(narrow)
    received = Received(store, shop)
    first, second, behind = (shop.command("a", f"wf_{number}") for number in range(3))
    for command in (first, second, behind):
        put(store, command.workflow_id)
    received.consumer.put([first, second])
    await received.turn()
    assert received.told == []
    assert received.consumer.waiting == 1
    # It is not asked for again and again.
    received.consumer.put([behind])
    with monkeypatch.context() as patched:
        patched.delattr(Claims, "take")
        assert await received.turn() is False
    assert rows(store)["wf_1"] == ("open", None)
    go_on.set()
    await received.over(first)
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'done' WHERE workflow_id = 'wf_0'")
    await received.turn()
    assert rows(store)["wf_1"] == ("claimed", OWNER)
    await received.over(second)


async def test_limited_and_foreign_activities_are_never_claimed_as_they_are_scheduled() -> None:
    @activity(effect="pure", queue="node", foreign=True)
    async def elsewhere(given: Given) -> None: ...

    @activity(effect="pure")
    async def plain(given: Given) -> None: ...

    shop = Workshop(slow_lane, elsewhere, plain)
    state = State("wf_1", definition="workshop", definition_version="1")
    rooms = shop.runner.rooms()
    assert [rooms.take_for(state, name) for name in ("a", "elsewhere", "plain")] == [False, False, True]
    assert rooms.take("workshop", "1", "a")


async def test_a_foreign_activity_is_not_run_here(store: WorkflowStore) -> None:
    @activity(effect="pure", name="a", queue="node", foreign=True)
    async def elsewhere(given: Given) -> None: ...

    shop = Workshop(elsewhere)
    received = Received(store, shop)
    put(store, "wf_1")
    received.consumer.put([shop.command("a", "wf_1")])
    await received.turn()
    shop.runner.start([shop.command("a", "wf_1")])
    assert received.told == [("wf_1", Delivered.FOREIGN)]
    assert not shop.runner.running
    assert rows(store) == {"wf_1": ("open", None)}


async def test_what_waits_can_be_let_go(store: WorkflowStore) -> None:
    shop = Workshop(quick, bounds=Bounds(attempts=0))
    received = Received(store, shop)
    kept, gone = shop.command("a", "wf_1"), shop.command("a", "wf_2")
    received.consumer.put([kept, gone])
    received.consumer.let_go([gone.message_id])
    assert received.told == [("wf_2", Delivered.LET_GO)]
    assert [received.consumer.holds(one.message_id) for one in (kept, gone)] == [True, False]
    assert received.consumer.waiting == 1
    assert received.consumer.full


async def test_a_claim_whose_answer_was_lost_is_known_again_and_its_attempt_begins(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(quick)
    received = Received(store, shop)
    command = shop.command("a", "wf_1")
    put(store, "wf_1")
    change = store.change

    def unanswered(*arguments: Any) -> list[tuple[Any, ...]]:
        change(*arguments)
        raise StoreUnavailable("the connection was lost")

    monkeypatch.setattr(store, "change", unanswered)
    received.consumer.put([command])
    with pytest.raises(StoreUnavailable):
        await received.turn()
    assert rows(store)["wf_1"] == ("claimed", OWNER)
    monkeypatch.setattr(store, "change", change)
    await received.turn()
    await received.over(command)
    assert [one.status for one in shop.decisions.outcomes] == ["ok"]
    assert received.told == [("wf_1", Delivered.OUTCOME_RECORDED)]


async def test_a_claim_that_was_given_up_here_is_not_begun_again_by_its_delivery(store: WorkflowStore) -> None:
    """Its code may go on in a thread that nobody can stop: only another attempt may run it again."""
    shop = Workshop(quick)
    received = Received(store, shop)
    command = shop.command("a", "wf_1")
    put(store, "wf_1", "claimed", OWNER)
    received.consumer.put([command])
    await received.turn()
    assert shop.decisions.outcomes == []
    assert received.told == [("wf_1", Delivered.CLAIMED)]
