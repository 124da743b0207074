"""Publishing straight after the commit: the relay passes over what was promised, and no promise is lost."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.ports import Command
from domain.store.positions import position_of
from producers.relay import RELAY
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import CHAIN, FOREIGN, LONELY
from tests.integration.outbound.stage import Process, ScriptedBroker, running, until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.parked.FIRST_TRY_SECONDS", 0.01)
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.01)
    monkeypatch.setattr("producers.straight.REST_SECONDS", 0.01)


def promising(process: Process) -> Process:
    process.inbox.straight = process.outbound.straight
    return process


async def relayed(process: Process) -> None:
    """The relay has seen all that is in the log."""

    def there() -> bool:
        with process.store.reading() as cursor:
            return position_of(cursor, RELAY) == process.store.newest()

    await until(there)


async def test_commands_go_out_without_a_relay_and_only_once_with_one(begin: Begin, broker: ScriptedBroker) -> None:
    process = promising(begin(CHAIN))
    names = await process.start(CHAIN, 20)
    await until(lambda: len(broker.waiting) == 20)
    async with process.relaying():
        await relayed(process)  # nobody has claimed anything yet
        async with running(process.work(broker)):
            await until(lambda: process.ended(names))
            await relayed(process)
    assert set(broker.published.values()) == {1}


async def test_what_there_is_no_room_for_is_left_to_the_relay(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(CHAIN)
    process.inbox.straight = straight = type(process.outbound.straight)(process.outbound.sender, _never, most=3)
    names = await process.start(CHAIN, 10)
    await until(lambda: straight.room == 3)
    assert 0 < len(broker.waiting) < 10
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended(names))
    assert set(broker.published.values()) == {1}


async def _never(message_ids: Sequence[str]) -> None:
    raise AssertionError(message_ids)


async def test_a_promise_that_cannot_be_kept_for_want_of_a_broker_is_given_back(
    begin: Begin, broker: ScriptedBroker
) -> None:
    process = promising(begin(CHAIN))
    broker.down = True
    names = await process.start(CHAIN, 5)
    await until(lambda: len(process.claims.not_claimed(10)) == 5)
    await process.sweep.once()
    assert len(process.claims.not_claimed(10)) == 5
    broker.down = False
    async with process.relaying(), running(process.work(broker)):
        await process.sweep.once()
        await until(lambda: process.ended(names))


async def test_a_queue_that_is_bound_to_nothing_is_shown_and_tried_again(begin: Begin, broker: ScriptedBroker) -> None:
    process = promising(begin(LONELY))
    broker.unbound.add("lonely")
    (name,) = await process.start(LONELY)
    async with process.relaying():
        await until(lambda: len(process.claims.not_claimed(10)) == 1)
        await process.sweep.once()
        assert ["queue 'lonely'" in row.reason for row in process.parked()] == [True]
    broker.unbound.clear()
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended([name]) and not process.parked())


async def test_a_promise_that_died_with_its_process_is_found_by_the_sweep(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(CHAIN)
    process.inbox.straight = _Dying()
    names = await process.start(CHAIN, 3)
    process.inbox.straight = None
    async with process.relaying(), running(process.work(broker)):
        await relayed(process)
        assert broker.published.total() == 0
        process.claims.make_due()  # half a minute has passed
        await process.sweep.once()
        await until(lambda: process.ended(names))


class _Dying:
    """Takes commands, and dies."""

    room = 10

    def put(self, commands: Sequence[Command]) -> None:
        """Nothing more."""


async def test_closing_sends_what_was_promised_or_gives_it_back(begin: Begin, broker: ScriptedBroker) -> None:
    process = promising(begin(CHAIN))
    await process.start(CHAIN, 3)
    await process.outbound.straight.close()
    assert len(broker.waiting) == 3
    assert process.outbound.straight.room == 0

    other = begin(CHAIN, publisher=_Silent(), name="two")
    promising(other)
    await other.start(CHAIN, 3, "other")
    await other.outbound.straight.close(within_seconds=0.01)
    assert len(other.claims.not_claimed(10)) == 3


class _Silent(ScriptedBroker):
    """Never answers."""

    async def publish(self, messages: object) -> list[object]:  # type: ignore[override]  # it never does
        await asyncio.Event().wait()
        return []


async def test_commands_for_another_language_are_handed_over(begin: Begin, broker: ScriptedBroker) -> None:
    process = promising(begin(FOREIGN))
    await process.start(FOREIGN)
    await until(lambda: process.claims.known(["wf_000/only/run/1"])["wf_000/only/run/1"][0] == "handed_over")
