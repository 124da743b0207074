"""One queue's turns without a broker: who is handed what, and what becomes of it when an Intake fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from consumers.line import TRIES_ALONE, Limits, Line
from consumers.tally import Settled, Tally
from domain.errors import StoreUnavailable
from domain.transport import Delivery, Intake, QueueState


class Stage:
    """A line, and what stands in for its channel."""

    def __init__(self, intake: Intake, limits: Limits, share: float) -> None:
        self.line = Line("q", intake, probe=self.probe, limits=limits, chance=lambda: share)
        self.trouble = False
        self.probes = 0
        self.tally: Tally = self.channel()

    async def probe(self) -> None:
        self.probes += 1
        if self.trouble:
            raise StoreUnavailable("away")

    def channel(self) -> Tally:
        self.tally = self.line.begin_channel()
        self.line.consumed = True
        self.line.found(QueueState.CONSUMING)
        return self.tally

    def deliver(self, *tags: int) -> None:
        for tag in tags:
            self.line.deliver(tag, Delivery("q", b"", message_id=f"m{tag}"))

    def told(self, kind: Settled) -> set[int]:
        """The tags told so far of this kind; what is told is taken."""
        found = {told.tag for told in self.tally.take() if told.kind is kind}
        self.line.told()
        return found

    async def all_told(self) -> set[tuple[int, Settled]]:
        """Wait until nothing is held, telling what is settled as it comes up; what was told."""
        found: set[tuple[int, Settled]] = set()
        async with asyncio.timeout(10):
            while self.tally.held or self.tally.news:
                found |= {(told.tag, told.kind) for told in self.tally.take()}
                self.line.moved.clear()
                if self.tally.held:
                    await self.line.moved.wait()
        return found

    async def until(self, wanted: QueueState) -> None:
        async with asyncio.timeout(10):
            while self.line.health.state is not wanted:
                self.line.moved.clear()
                await self.line.moved.wait()


@contextlib.asynccontextmanager
async def stage(intake: Intake, *, share: float = 0.0, limits: Limits | None = None) -> AsyncIterator[Stage]:
    made = Stage(intake, limits or Limits(), share)
    made.line.start()
    try:
        yield made
    finally:
        await made.line.end()


async def drained(made: Stage) -> None:
    """All that was handed over is done, and consumption over."""
    made.line.consumed = False
    async with asyncio.timeout(10):
        await made.line.quiet()


async def test_what_comes_together_is_handed_over_together_and_never_more_than_a_turn() -> None:
    turns: list[list[str]] = []
    going = asyncio.Event()

    async def intake(deliveries: Sequence[Delivery]) -> None:
        turns.append([delivery.message_id for delivery in deliveries])
        if len(turns) == 3:
            going.set()

    async with stage(intake, limits=Limits(turn_deliveries=3)) as made:
        made.deliver(1, 2, 3, 4, 5, 6, 7)
        await asyncio.wait_for(going.wait(), 10)
    assert turns == [["m1", "m2", "m3"], ["m4", "m5", "m6"], ["m7"]]


async def test_one_that_fails_alone_is_rejected_and_all_others_are_done() -> None:
    tries = 0

    async def intake(deliveries: Sequence[Delivery]) -> None:
        nonlocal tries
        if any(delivery.message_id == "m2" for delivery in deliveries):
            tries += len(deliveries) == 1
            raise KeyError("m2")
        for delivery in deliveries:
            delivery.acknowledge()

    async with stage(intake) as made:
        made.deliver(1, 2, 3)
        told = await made.all_told()
        assert tries == TRIES_ALONE
        assert told == {(1, Settled.ACKNOWLEDGED), (3, Settled.ACKNOWLEDGED), (2, Settled.REJECTED)}


async def test_trouble_of_the_place_rejects_nothing_and_ends_with_the_intake() -> None:
    away = True
    calls: list[int] = []

    async def intake(deliveries: Sequence[Delivery]) -> None:
        calls.append(len(deliveries))
        # One is settled before the trouble: it is not handed over again.
        if len(calls) == 1:
            deliveries[0].acknowledge()
        if away:
            raise StoreUnavailable("away")
        for delivery in deliveries:
            delivery.acknowledge()

    async with stage(intake, share=0.01) as made:
        made.deliver(1, 2, 3)
        await made.until(QueueState.WAITING)
        assert not made.line.wants_more
        away = False
        await made.until(QueueState.CONSUMING)
        assert made.line.wants_more
        assert calls[0] == 3
        assert set(calls[1:]) == {2}
        assert made.probes == 0
        assert {told.kind for told in made.tally.take()} == {Settled.ACKNOWLEDGED}


async def test_after_its_patience_a_line_lets_go_once_and_waits_for_the_probe() -> None:
    async def intake(deliveries: Sequence[Delivery]) -> None:
        raise StoreUnavailable("away")

    async with stage(intake, share=0.01, limits=Limits(patience_seconds=0.0)) as made:
        made.trouble = True
        made.deliver(1, 2)
        async with asyncio.timeout(10):
            while not made.probes:
                made.line.moved.clear()
                await made.line.moved.wait()
        assert made.line.letting_go
        assert not made.line.wants_channel
        assert made.line.health.held == 0
        assert made.tally.take() == []
        made.trouble = False
        await made.until(QueueState.CONSUMING)
        assert made.line.wants_channel


async def test_what_is_held_too_long_is_given_back_and_a_busy_intake_cancelled() -> None:
    cancelled = asyncio.Event()

    async def intake(deliveries: Sequence[Delivery]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with stage(intake, limits=Limits(longest_hold_seconds=0.05)) as made:
        made.deliver(1, 2)
        await asyncio.wait_for(cancelled.wait(), 10)
        assert await made.all_told() == {(1, Settled.GIVEN_BACK), (2, Settled.GIVEN_BACK)}


async def test_a_channel_that_goes_takes_what_was_held_with_it() -> None:
    handed: list[Delivery] = []
    going = asyncio.Event()

    async def intake(deliveries: Sequence[Delivery]) -> None:
        handed.extend(deliveries)
        going.set()

    async with stage(intake) as made:
        made.deliver(1)
        await asyncio.wait_for(going.wait(), 10)
        made.line.end_channel()
        handed[0].acknowledge()
        assert made.line.lost_settlements == 1
        fresh = made.channel()
        handed[0].acknowledge()
        assert fresh.take() == []


@pytest.mark.parametrize("settled", [True, False])
async def test_draining_waits_for_what_was_handed_over_only(settled: bool) -> None:
    handed: list[Delivery] = []
    going = asyncio.Event()

    async def intake(deliveries: Sequence[Delivery]) -> None:
        handed.extend(deliveries)
        going.set()

    async with stage(intake, limits=Limits(turn_deliveries=1)) as made:
        made.deliver(1)
        await asyncio.wait_for(going.wait(), 10)
        made.line.stop()
        made.deliver(2)
        waiting = asyncio.create_task(drained(made))
        await asyncio.sleep(0)
        assert made.told(Settled.GIVEN_BACK) == {2}, "it is somebody else's, at once"
        if settled:
            handed[0].acknowledge()
            assert made.told(Settled.ACKNOWLEDGED) == {1}
            await waiting
        else:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()
        assert len(handed) == 1
        assert made.line.health.state is QueueState.STOPPED
