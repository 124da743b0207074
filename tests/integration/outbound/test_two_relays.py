"""Two relays at once, as after the connection of the first one's lock died unnoticed: the position never goes back."""

import asyncio

import pytest

from domain.errors import FenceMissed
from domain.store.positions import position_of
from producers.relay import RELAY
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import CHAIN
from tests.integration.outbound.stage import Process, ScriptedBroker, running, until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.01)


def position(process: Process) -> int:
    with process.store.reading() as cursor:
        return position_of(cursor, RELAY)


class Hanging(ScriptedBroker):
    """Answers the first process's publishing only when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.here = asyncio.Event()
        self.go_on = asyncio.Event()

    async def publish(self, messages: object) -> list[object]:  # type: ignore[override]  # only waits before
        self.here.set()
        await self.go_on.wait()
        return await super().publish(messages)  # type: ignore[arg-type,return-value]


async def test_the_one_that_was_overtaken_moves_nothing_and_steps_down(begin: Begin, broker: ScriptedBroker) -> None:
    hanging = Hanging()
    first = begin(CHAIN, publisher=hanging)
    names = await first.start(CHAIN, 3)
    overtaken = asyncio.ensure_future(first.outbound.relay())
    await hanging.here.wait()
    second = begin(CHAIN, name="two")
    async with second.relaying(), running(second.work(broker)):
        await until(lambda: second.ended(names))
        await until(lambda: position(second) == second.store.newest())
        far = position(second)
        hanging.go_on.set()
        with pytest.raises(FenceMissed, match="no longer at 0"):
            await asyncio.wait_for(overtaken, 30)
        assert position(second) == far
    assert position(first) == far
    assert set(second.ran.values()) == {1}


async def test_two_that_follow_at_the_same_time_lose_nothing(begin: Begin, broker: ScriptedBroker) -> None:
    first, second = begin(CHAIN), begin(CHAIN, name="two")

    async def insisting(process: Process) -> None:
        while True:
            try:
                await process.outbound.relay()
            except FenceMissed:
                await asyncio.sleep(0)

    names: list[str] = []
    async with running(insisting(first)), running(insisting(second)), running(first.work(broker)):
        for batch in range(10):
            names += await second.start(CHAIN, 5, f"wf{batch}")
        await until(lambda: first.ended(names))
        await until(lambda: position(first) == first.store.newest())
    assert len(first.ran) == 150
    assert set(first.ran.values()) == {1}
