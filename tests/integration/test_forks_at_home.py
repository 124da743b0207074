"""Forks of a home: what was taken begins whoever dies in between, and a program can fork, too."""

import asyncio
from pathlib import Path

import pytest

from domain.errors import DefinitionMissing, InputInvalid, WorkflowUnknown
from domain.events import ForkTaken
from domain.state import State, Status
from domain.triggers import ForkHere
from handrail import Runtime
from tests.integration.flows import ALL, CHAIN, World, run

FIRST = 3


@pytest.fixture
def world() -> World:
    return World.new()


def opened(folder: Path, *, drive: bool = True) -> Runtime:
    return Runtime(folder / "home", definitions=ALL, examples=False, drive=drive)


async def ended(folder: Path) -> State:
    async with opened(folder) as runtime:
        return await run(runtime, CHAIN)


async def test_what_was_taken_and_not_begun_is_begun_by_the_next_relay(tmp_path: Path, world: World) -> None:
    source = await ended(tmp_path)
    async with opened(tmp_path, drive=False) as runtime:
        asked = ForkHere(by="olga", reason="once more", version=FIRST)
        decided = await runtime.decide(source.workflow_id, asked, actor="olga")
        (taken,) = [one.event for one in decided.events if isinstance(one.event, ForkTaken)]
        assert not runtime.store.exists(taken.fork), "the process ends before the fork begins"
    calls = dict(world.calls)
    async with opened(tmp_path) as runtime:
        async with asyncio.timeout(30):
            async for recorded in runtime.follow(taken.fork):
                if recorded.name == "WorkflowCompleted":
                    break
        state = runtime.store.load(taken.fork)
    assert (state.status, state.forked_from) == (Status.COMPLETED, source.workflow_id)
    assert {key: count for key, count in world.calls.items() if key in calls} == calls, "the source's keys stay alone"
    again = {key for key in world.calls if key not in calls}
    assert again
    assert all(key.startswith(f"{taken.fork}/") for key in again)


async def test_a_program_forks_once_and_with_a_salt_again(tmp_path: Path, world: World) -> None:
    assert not world.calls
    source = await ended(tmp_path)
    async with opened(tmp_path) as runtime:
        first = await runtime.fork(source.workflow_id, FIRST, by="olga", reason="once more", input={"i": 7})
        assert await runtime.fork(source.workflow_id, FIRST, by="somebody", input={"i": 7}) == first
        assert await runtime.fork(source.workflow_id, FIRST, input={"i": 7}, salt="another") != first
        forked = await runtime.wait(first, 30)
        assert (forked.status, forked.input["i"], forked.requested_by) == (Status.COMPLETED, 7, "olga")
        assert len(runtime.store.load(source.workflow_id).forks) == 2
        with pytest.raises(InputInvalid, match="in the middle of a decision"):
            await runtime.fork(source.workflow_id, FIRST - 1)
        with pytest.raises(WorkflowUnknown):
            await runtime.fork("wf_999", FIRST)


async def test_a_fork_needs_its_source_s_definition(tmp_path: Path, world: World) -> None:
    assert not world.calls
    source = await ended(tmp_path)
    async with Runtime(tmp_path / "home", examples=False, drive=False) as runtime:
        with pytest.raises(DefinitionMissing, match="is not loaded here"):
            await runtime.fork(source.workflow_id, FIRST)
        assert runtime.store.load(source.workflow_id).forks == {}
