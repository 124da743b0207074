"""What waits with a consumer for room: the store is told so, since the broker tells nobody."""

import asyncio
from collections.abc import Collection

import pytest

from consumers.commands import SAID_AFTER_SECONDS, SAID_AGAIN_SECONDS
from domain.errors import StoreUnavailable
from domain.store.application import WorkflowStore
from tests.unit.consumers.test_commands import Desk, gate, schedule, store, waits_for

__all__ = ["gate", "store"]


async def test_what_waits_for_room_is_not_lost_however_often_it_was_issued(
    store: WorkflowStore, gate: asyncio.Event
) -> None:
    desk = Desk(store, waits_for(gate, concurrency=1))
    runs, waits, deferred = (desk.command(f"wf_{number}") for number in range(3))
    schedule(store, runs, waits, deferred)
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET issued = 3, issue_after = 0, due_at = CASE workflow_id WHEN 'wf_2' THEN 1 END")
    await desk.intake([desk.post.delivery(one) for one in (runs, waits, deferred)])

    def issued() -> list[tuple[int, bool]]:
        found = store.query("SELECT issued, issue_after > 0 FROM inbox ORDER BY workflow_id")
        return [(number, bool(later)) for number, later in found]

    as_before = [(3, False)] * 3
    await desk.intake.say_waiting()
    assert issued() == as_before, "it may begin in a moment"
    desk.time += SAID_AFTER_SECONDS
    await desk.intake.say_waiting()
    assert issued() == [(3, False), (0, True), (3, False)]
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET issued = 3, issue_after = 0")
    desk.time += SAID_AGAIN_SECONDS - 1
    await desk.intake.say_waiting()
    assert issued() == as_before
    desk.time += 1
    await desk.intake.say_waiting()
    assert issued()[1] == (0, True)


async def test_the_store_is_told_later_what_waits_where_it_was_away(
    store: WorkflowStore, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store, waits_for(gate, concurrency=1))
    commands = [desk.command(f"wf_{number}") for number in range(2)]
    schedule(store, *commands)
    await desk.intake([desk.post.delivery(one) for one in commands])
    desk.time += SAID_AFTER_SECONDS
    told: list[Collection[str]] = []

    def away(names: Collection[str]) -> None:
        told.append(names)
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(desk.claims, "wait_in_line", away)
        await desk.intake.say_waiting()
    monkeypatch.setattr(desk.claims, "wait_in_line", told.append)
    await desk.intake.say_waiting()
    await desk.intake.say_waiting()
    assert told == [[commands[1].message_id]] * 2
