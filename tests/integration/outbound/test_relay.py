"""The relay on a broker that refuses, returns, goes away and forgets: nothing is lost, and nobody stops others."""

import asyncio
from collections import Counter

import pytest

from domain.faultpoints import arm
from domain.messages import StepCommand
from domain.store.positions import position_of
from producers.relay import RELAY
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import CHAIN, FOREIGN, LONELY, PARENT
from tests.integration.outbound.stage import Process, ScriptedBroker, damage, running, until

LONELY_QUEUE = "lonely"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is parked is tried again after hundredths of a second."""
    monkeypatch.setattr("producers.parked.FIRST_TRY_SECONDS", 0.01)
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.01)


def position(process: Process) -> int:
    with process.store.reading() as cursor:
        return position_of(cursor, RELAY)


async def test_every_command_goes_out_once_and_all_complete(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(CHAIN, PARENT)
    names = [*await process.start(CHAIN, 40), *await process.start(PARENT, 2, "parent")]
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended(names))
        await until(lambda: position(process) == process.store.newest())
    assert set(broker.published.values()) == {1}
    assert len(process.ran) == 42 * 3
    assert process.parked() == []


async def test_what_goes_out_is_what_was_scheduled(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(CHAIN)
    await process.start(CHAIN)
    async with process.relaying():
        await until(lambda: bool(broker.waiting))
    (message,) = broker.queues["common"]
    assert (message.exchange, message.mandatory, message.correlation_id) == ("handrail.commands", True, "wf_000")
    command = StepCommand.model_validate_json(message.body)
    assert (command.message_id, command.queue, command.requested_by) == ("wf_000/s0/run/1", "common", "alice")


@pytest.mark.parametrize("trouble", ["unbound", "full"])
async def test_a_queue_in_trouble_stops_nobody_else_and_is_tried_again(
    begin: Begin, broker: ScriptedBroker, trouble: str
) -> None:
    process = begin(CHAIN, LONELY)
    refusing: set[str] = getattr(broker, trouble)
    refusing.add(LONELY_QUEUE)
    stuck = await process.start(LONELY, 3, "lonely")
    others = await process.start(CHAIN, 5)
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended(others))
        await until(lambda: len(process.parked()) == 3 and all(row.tries >= 2 for row in process.parked()))
        assert {row.workflow_id for row in process.parked()} == set(stuck)
        assert all("queue 'lonely'" in row.reason for row in process.parked())
        await until(lambda: position(process) == process.store.newest())
        refusing.clear()
        await until(lambda: process.ended(stuck) and not process.parked())
    assert set(process.ran.values()) == {1}


async def test_a_workflow_whose_beginning_cannot_be_read_stops_nobody_else(
    begin: Begin, broker: ScriptedBroker
) -> None:
    damaged, *others = await begin(CHAIN).start(CHAIN, 3)
    process = begin(CHAIN, name="two")
    damage(process, damaged)
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended(others))
        await until(lambda: position(process) == process.store.newest())
        assert {row.workflow_id for row in process.parked()} == {damaged}
        assert all("beginning cannot be read" in row.reason for row in process.parked())


async def test_what_is_parked_outlives_the_relay_and_is_no_longer_sent_once_revoked(
    begin: Begin, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.parked.FIRST_TRY_SECONDS", 1e6)
    process = begin(LONELY)
    broker.unbound.add(LONELY_QUEUE)
    kept, gone = await process.start(LONELY, 2)
    async with process.relaying():
        await until(lambda: len(process.parked()) == 2)
    process.store.run(_Revoked(f"{gone}/only/run/1"))
    broker.unbound.clear()
    async with process.relaying():  # whoever relays next tries all of it at once
        await until(lambda: not process.parked())
    assert broker.waiting == [f"{kept}/only/run/1"]


class _Revoked:
    """A command is revoked by somebody else."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id

    def run(self, cursor: "object") -> None:
        execute = getattr(cursor, "execute")  # noqa: B009 - any cursor
        execute("UPDATE inbox SET state = 'revoked' WHERE message_id = ?", (self._message_id,))


async def test_a_broker_that_is_down_is_waited_for(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(CHAIN)
    names = await process.start(CHAIN, 5)
    broker.down = True
    async with process.relaying() as relay, running(process.work(broker)):
        for _ in range(100):
            await asyncio.sleep(0)
        assert not relay.done()
        broker.down = False
        await until(lambda: process.ended(names))
    assert process.parked() == []


@pytest.mark.parametrize("point", ["publish.after", "position.before"])
async def test_a_relay_killed_before_its_position_moves_sends_again_and_nothing_runs_twice(
    begin: Begin, broker: ScriptedBroker, point: str
) -> None:
    process = begin(CHAIN)
    names = await process.start(CHAIN, 10)

    def die(reached: str) -> None:
        if reached == point:
            raise RuntimeError("killed")

    arm(die)
    try:
        with pytest.raises(RuntimeError, match="killed"):
            async with process.relaying() as relay:
                await until(relay.done)
    finally:
        arm(None)
    assert position(process) == 0
    assert len(broker.waiting) == 10
    other = begin(CHAIN, name="two")
    async with other.relaying():
        await until(lambda: len(broker.waiting) == 20)
    assert Counter(broker.waiting).most_common(1)[0][1] == 2
    async with other.relaying(), running(other.work(broker)):
        await until(lambda: other.ended(names))
    assert set(other.ran.values()) == {1}


async def test_commands_for_another_language_are_handed_over_when_the_broker_has_them(
    begin: Begin, broker: ScriptedBroker
) -> None:
    process = begin(FOREIGN)
    await process.start(FOREIGN, 2)
    broker.full.add("elsewhere")
    async with process.relaying():
        await until(lambda: len(process.parked()) == 2)
        states = process.claims.known(["wf_000/only/run/1", "wf_001/only/run/1"])
        assert {state for state, _ in states.values()} == {"open"}
        broker.full.clear()
        await until(lambda: {state for state, _ in process.claims.known(list(states)).values()} == {"handed_over"})
        await until(lambda: not process.parked())
    assert set(broker.published.values()) == {1}
