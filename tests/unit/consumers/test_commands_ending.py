"""A process that ends: what waits for room goes elsewhere at once, what is being claimed begins, nothing new does."""

import asyncio
from collections.abc import Callable
from typing import Any

from domain.store.application import WorkflowStore
from domain.store.aside import inline
from tests.unit.consumers.stage import OWNER, rows
from tests.unit.consumers.test_commands import Desk, gate, schedule, store, waits_for

__all__ = ["gate", "store"]


async def test_what_waits_for_room_is_given_back_and_what_runs_goes_on(
    store: WorkflowStore, gate: asyncio.Event
) -> None:
    desk = Desk(store, waits_for(gate, concurrency=1))
    runs, waits, late = (desk.command(f"wf_{number}") for number in range(3))
    schedule(store, runs, waits, late)
    await desk.intake([desk.post.delivery(one) for one in (runs, waits)])
    desk.shop.runner.take_no_more()
    await desk.room.close()
    assert desk.post.given_back == [waits.message_id]
    await desk.intake([desk.post.delivery(late)])
    assert desk.post.given_back == [waits.message_id, late.message_id]
    assert (desk.post.acknowledged, desk.intake.held, desk.room.waiting) == ([], 1, 0)
    gate.set()
    await desk.shop.over([runs])
    assert (desk.post.acknowledged, desk.outcomes, desk.intake.held) == ([runs.message_id], ["ok"], 0)
    assert {name: state for name, (state, _) in rows(store).items()} == {
        "wf_0": "claimed", "wf_1": "open", "wf_2": "open"
    }, "the outcome of the first one is the store's, which this stage leaves out"  # fmt: skip


async def test_what_is_being_claimed_begins(store: WorkflowStore, gate: asyncio.Event) -> None:
    desk = Desk(store, waits_for(gate))
    command = desk.command()
    schedule(store, command)
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def slow(ask: Callable[[], Any]) -> Any:
        answer = await inline(ask)
        claimed.set()
        await go_on.wait()
        return answer

    desk.room._aside = slow
    taking = asyncio.create_task(desk.intake([desk.post.delivery(command)]))
    await claimed.wait()
    desk.shop.runner.take_no_more()
    closing = asyncio.create_task(desk.room.close())
    await asyncio.sleep(0)
    assert not closing.done()
    go_on.set()
    await asyncio.gather(taking, closing)
    assert rows(store) == {"wf_1": ("claimed", OWNER)}
    assert (list(desk.shop.runner.running), desk.post.given_back) == ([command.message_id], [])
    gate.set()
    await desk.shop.over([command])
    assert (desk.post.acknowledged, desk.outcomes) == ([command.message_id], ["ok"])
