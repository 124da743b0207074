"""Definitions that one process has and another has not: who waits for one says so, and goes on when it is there."""

import logging
from dataclasses import dataclass

import pytest

from deploy.serving import awaited as awaiting
from deploy.serving.awaited import AwaitedDefinitions
from deploy.serving.health import Waits
from domain.errors import StoreAway
from domain.ids import message_id
from producers.timers import Timer
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import CHAIN, LONELY
from tests.integration.outbound.stage import Process, ScriptedBroker, running, until, utc_now
from tests.integration.outbound.test_reissue import _Shifted

PATIENCE_SECONDS = 10.0


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def awaited(process: Process, clock: Clock, waits: Waits | None = None) -> AwaitedDefinitions:
    return AwaitedDefinitions(
        claims=process.claims,
        timer=Timer(store=process.store, decider=process.turns, clock=utc_now, scope=lambda: None),
        definitions=process.definitions,
        patience_seconds=PATIENCE_SECONDS,
        waits=waits or Waits(utc_now),
        time=clock,
        chance=lambda: 0.0,
    )


def first_command(name: str) -> str:
    return message_id(name, "s0", "run", 1)


def waiting(process: Process, name: str) -> bool:
    return ":definition" in process.state(name).waits


async def test_who_finds_nobody_says_so_once_and_goes_on_by_whoever_has_it(
    begin: Begin, broker: ScriptedBroker
) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    (name,) = await having.start(CHAIN)
    clock = Clock()
    lacking = awaited(without, clock)
    lacking.missing([first_command(name)])
    assert await lacking.say_so() == 0
    clock.seconds = PATIENCE_SECONDS
    assert await lacking.say_so() == 1
    assert waiting(without, name)
    assert "definition 'chain' version '1' is not loaded" in without.state(name).waits[":definition"].detail
    assert await lacking.go_on() == 0

    assert await awaited(having, clock).go_on() == 1
    assert not waiting(having, name)
    await having.sweep.once()
    assert broker.published.total() == 1, "its command is issued at once"
    async with having.relaying(), running(having.work(broker)):
        await until(lambda: having.ended([name]))


async def test_what_somebody_claims_meanwhile_is_not_said_to_wait(begin: Begin) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    (name,) = await having.start(CHAIN)
    clock = Clock()
    lacking = awaited(without, clock)
    lacking.missing([first_command(name)])
    having.claims.claim([first_command(name)])
    clock.seconds = PATIENCE_SECONDS
    assert await lacking.say_so() == 0
    assert not waiting(without, name)


async def test_patience_grows_where_it_comes_again_so_that_histories_do_not_fill(begin: Begin) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    (name,) = await having.start(CHAIN)
    clock = Clock()
    lacking = awaited(without, clock)
    said = []
    for clock.seconds in range(100):
        lacking.missing([first_command(name)])
        if await lacking.say_so():
            said.append(clock.seconds)
        await awaited(having, clock).go_on()
    assert said == [10, 31, 72]


async def test_what_came_here_is_soon_issued_again_for_others_and_not_without_end(
    begin: Begin, broker: ScriptedBroker
) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    await having.start(CHAIN, 2)
    clock = Clock()
    lacking = awaited(without, clock)
    offered = []
    for second in range(100):
        clock.seconds = second
        lacking.missing([first_command("wf_000")])
        if await lacking.offer():
            offered.append(second)
            await having.sweep.once()
    assert offered == [1, 4, 9, 18, 29, 40, 51, 62]
    assert broker.published == {first_command("wf_000"): len(offered)}


async def test_commands_in_a_queue_that_nothing_loaded_declares_are_missing_a_definition(begin: Begin) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    (name,) = await having.start(CHAIN)
    heard: list[str] = []
    without.outbound.missing = heard.extend
    having.outbound.missing = heard.extend
    with without.store.transaction("sweep") as cursor:
        _Shifted(60.0).run(cursor)
    await having.sweep.once()
    assert heard == []
    with without.store.transaction("sweep") as cursor:
        _Shifted(3600.0).run(cursor)
    await without.sweep.once()
    assert heard == [first_command(name)]


async def test_only_so_many_commands_are_remembered_and_the_oldest_are_let_go(
    begin: Begin, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    names = await having.start(CHAIN, 3)
    monkeypatch.setattr(awaiting, "MOST_REMEMBERED", 2)
    clock = Clock()
    lacking = awaited(without, clock)
    lacking.missing(first_command(name) for name in names)
    clock.seconds = PATIENCE_SECONDS
    assert await lacking.offer() == 2
    await having.sweep.once()
    assert set(broker.published) == {first_command(name) for name in names[1:]}
    assert await lacking.say_so() == 2
    assert [waiting(without, name) for name in names] == [False, True, True]


async def test_a_store_that_is_away_is_waited_for_told_once_and_nothing_is_forgotten(
    begin: Begin, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without, having = begin(LONELY), begin(CHAIN, name="two")
    (name,) = await having.start(CHAIN)
    clock, waits, tries = Clock(), Waits(utc_now), 0

    def away(_: object) -> None:
        nonlocal tries
        tries += 1
        raise StoreAway("store here is being switched over")

    lacking = awaited(without, clock, waits)
    lacking.missing([first_command(name)])
    clock.seconds = 1.0
    with caplog.at_level(logging.INFO, "handrail.deploy"):
        async with running(lacking.run()):
            with monkeypatch.context() as patched:
                patched.setattr(without.claims, "give_back", away)
                await until(lambda: tries >= 3)
                told = await waits()
            assert told.startswith("awaited definitions waits since 20")
            assert told.endswith("to look for workflows that wait for a definition: store here is being switched over")
            await until(lambda: "the store is there" in caplog.text)
            assert await waits() == ""
    await having.sweep.once()
    assert broker.published == {first_command(name): 1}, "it was offered when the store was there again"
    warned = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [(one.getMessage(), one.exc_info) for one in warned] == [
        ("awaited definitions wait for the store: store here is being switched over", None)
    ]
