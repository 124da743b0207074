"""Several runtimes on one home: one holds it, the others stand by; whoever dies leaves nothing that is not taken up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.settings import Settings
from domain.errors import EventCorrupt
from domain.state import Status
from domain.triggers import PauseWorkflow, ResumeWorkflow
from handrail import Definition, Runtime, Step, activity
from tests.integration.flows import ALL, GATED, PARENT, PAYING, WORKS, World, gated, until

Open = Callable[..., Runtime]


@pytest.fixture
def world() -> World:
    return World.new()


@pytest.fixture
async def lives(tmp_path: Path, world: World) -> AsyncIterator["Lives"]:
    async with AsyncExitStack() as stack:
        yield Lives(tmp_path / "home", stack)


class Lives:
    """Processes on one home, as far as one process can play them."""

    def __init__(self, home: Path, stack: AsyncExitStack) -> None:
        self.home = home
        self._stack = stack

    async def begin(
        self, *definitions: Definition, scope: list[str] | None = None, settings: Settings | None = None
    ) -> Runtime:
        made = settings or Settings(standby_poll_seconds=0.01, sweep_seconds=0.02, closing_grace_seconds=0.1)
        runtime = Runtime(self.home, definitions=definitions or ALL, examples=False, scope=scope, settings=made)
        return await self._stack.enter_async_context(runtime)


def states(runtime: Runtime) -> dict[str, str]:
    found = runtime.store.query("SELECT message_id, state FROM inbox WHERE message_id LIKE '%/%/%/%'")
    return {row[0]: row[1] for row in found}


def names(runtime: Runtime, workflow_id: str) -> list[str]:
    return [one.event.stored_name for one in runtime.store.read(workflow_id, verified=True)]


# --- standing by ----------------------------------------------------------------------------------------------------


async def test_a_standby_saves_and_waits_while_the_holder_runs(lives: Lives, world: World) -> None:
    holder, standby = await lives.begin(), await lives.begin()
    assert (holder.holder, standby.holder) == (True, False)
    workflow_id = await standby.start("chain", requested_by="alice")
    assert (await standby.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert set(world.calls.values()) == {1}
    workers = {one.actor for one in holder.store.read(workflow_id) if one.event.stored_name == "StepSucceeded"}
    assert workers == {holder.owner}


async def test_a_standby_takes_over_when_the_holder_closes(lives: Lives, world: World) -> None:
    async with Runtime(lives.home, definitions=ALL, examples=False):
        standby = await lives.begin()
        assert not standby.holder
    await until(lambda: standby.holder)
    workflow_id = await standby.start("chain", requested_by="alice")
    assert (await standby.wait(workflow_id, timeout=10)).status is Status.COMPLETED


async def test_a_standby_finishes_what_a_killed_holder_left(lives: Lives, world: World) -> None:
    holder, standby = await lives.begin(), await lives.begin()
    workflow_id = await holder.start("gated", requested_by="alice")
    await world.here.wait()
    await holder.abandon()
    world.open(workflow_id)
    assert (await standby.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert standby.holder
    assert "AttemptLapsed" in names(standby, workflow_id)
    assert states(standby) == {
        "wf_001/wait/run/1": "lapsed",
        "wf_001/wait/run/2": "done",
        "wf_001/then/run/1": "done",
    }
    # The same key for both attempts: the outside can tell that they are one.
    assert world.calls["wf_001/wait/run"] == 2


async def test_a_workflow_survives_any_number_of_deaths(lives: Lives, world: World) -> None:
    first = await lives.begin()
    workflow_id = await first.start("gated", requested_by="alice")
    await world.here.wait()
    await first.abandon()
    for _ in range(4):
        world.here.clear()
        another = await lives.begin()
        await asyncio.wait_for(world.here.wait(), 10)
        await another.abandon()
    last = await lives.begin()
    world.open(workflow_id)
    assert (await last.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert names(last, workflow_id).count("AttemptLapsed") == 5
    assert world.applied == {"wf_001/then/run": 0}


# --- once -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paid", [False, True])
async def test_a_once_step_is_asked_about_after_a_death_and_never_run_blindly(
    lives: Lives, world: World, paid: bool
) -> None:
    first = await lives.begin()
    workflow_id = await first.start("paying", requested_by="alice")
    await world.here.wait()
    if paid:
        world.here.clear()
        world.open("before paying")
        await world.here.wait()
    await first.abandon()
    world.open("before paying")
    world.open("after paying")
    second = await lives.begin()
    assert (await second.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert world.applied["wf_001/pay/run"] == "paid"
    assert world.calls["wf_001/pay/run"] == (1 if paid else 2)
    assert names(second, workflow_id).count("OutcomeReconciled") == 1


async def test_a_once_command_that_nobody_claimed_is_issued_by_the_next_holder(lives: Lives, world: World) -> None:
    # A process without roles of its own: what it saves is open, and nobody carries it.
    holder, standby = await lives.begin(GATED), await lives.begin(*ALL)
    workflow_id = await standby.start("paying", requested_by="alice")
    assert states(standby) == {"wf_001/pay/run/1": "open"}
    await holder.abandon()
    world.open("before paying")
    world.open("after paying")
    assert (await standby.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert world.calls["wf_001/pay/run"] == 1


# --- scope ----------------------------------------------------------------------------------------------------------


async def test_outside_its_scope_a_holder_leaves_alone_what_others_left(lives: Lives, world: World) -> None:
    first = await lives.begin()
    for name in ("mine", "other"):
        await first.start("gated", requested_by="alice", workflow_id=name)
    await until(lambda: len(world.calls) == 2)
    await first.abandon()
    for name in ("mine", "other"):
        world.open(name)
    second = await lives.begin(scope=["mine"])
    assert (await second.wait("mine", timeout=10)).status is Status.COMPLETED
    assert second.store.load("other").status is Status.EXECUTING
    assert states(second)["other/wait/run/1"] == "claimed"
    # As soon as somebody decides on it, it is driven too.
    third = await lives.begin()
    assert not third.holder
    await third.decide("other", PauseWorkflow(by="bob", reason="x"), actor="bob")
    await third.decide("other", ResumeWorkflow(by="bob", reason="x"), actor="bob")
    assert (await third.wait("other", timeout=10)).status is Status.COMPLETED


async def test_who_asks_for_a_workflow_has_it_driven(lives: Lives, world: World) -> None:
    first = await lives.begin()
    workflow_id = await first.start("gated", requested_by="alice")
    await world.here.wait()
    await first.abandon()
    world.open(workflow_id)
    second = await lives.begin(scope=[])
    assert (await second.wait(workflow_id, timeout=10)).status is Status.COMPLETED


async def test_a_scope_covers_children_that_had_begun(lives: Lives, world: World) -> None:
    inner = Definition("a child", version="2", steps=[Step("inner", gated)])
    first = await lives.begin(PARENT, inner)
    workflow_id = await first.start("a parent", requested_by="alice")
    await world.here.wait()
    await first.abandon()
    world.open("wf_001.child")
    second = await lives.begin(PARENT, inner, scope=[workflow_id])
    assert (await second.wait(workflow_id, timeout=10)).status is Status.COMPLETED


# --- definitions ----------------------------------------------------------------------------------------------------


async def test_a_workflow_waits_for_its_definition_and_goes_on_when_it_is_loaded(lives: Lives, world: World) -> None:
    first = await lives.begin()
    workflow_id = await first.start("gated", requested_by="alice")
    await world.here.wait()
    await first.abandon()
    world.open(workflow_id)
    without = await lives.begin(PAYING)
    resting = await without.wait(workflow_id, timeout=10)
    assert [wait.reason for wait in resting.waits.values()] == ["definition"]
    assert "'gated' version '1' is not loaded" in next(iter(resting.waits.values())).detail
    await without.abandon()
    again = await lives.begin()
    assert (await again.wait(workflow_id, timeout=10)).status is Status.COMPLETED


async def test_a_running_workflow_stays_on_its_version(lives: Lives, world: World) -> None:
    old, new = (Definition("flow", version=v, steps=[Step("wait", gated), Step(f"v{v}", WORKS[0])]) for v in "12")
    first = await lives.begin(old)
    started = await first.start("flow", requested_by="alice")
    await world.here.wait()
    await first.abandon()
    second = await lives.begin(old, new)
    world.open(started)
    newer = await second.start("flow", requested_by="alice")
    world.open(newer)
    assert "v1" in (await second.wait(started, timeout=10)).settled
    assert "v2" in (await second.wait(newer, timeout=10)).settled


# --- leases ---------------------------------------------------------------------------------------------------------


async def test_long_attempts_keep_their_claims(lives: Lives, world: World) -> None:
    settings = Settings(lease_seconds=1.0, sweep_seconds=0.02, closing_grace_seconds=0.1)
    holder = await lives.begin(settings=settings)
    workflow_id = await holder.start("gated", requested_by="alice")
    await world.here.wait()

    def lease() -> float:
        return float(holder.store.query("SELECT max(lease_until) FROM inbox WHERE state = 'claimed'")[0][0])

    first = lease()
    await until(lambda: lease() >= first + 1.0)
    world.open(workflow_id)
    assert (await holder.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert "AttemptLapsed" not in names(holder, workflow_id)


async def test_a_command_nobody_claims_in_time_times_out(lives: Lives, world: World) -> None:
    soon = timedelta(milliseconds=10)

    @activity(effect="once", pivot=True, start_to_finish=soon, schedule_to_finish=soon)
    async def never(given: dict[str, int]) -> None:
        world.calls["never"] += 1

    recipe = Definition("late", steps=[Step("never", never)])
    holder, standby = await lives.begin(GATED), await lives.begin(recipe)
    workflow_id = await standby.start("late", requested_by="alice")
    # The holder has not loaded the definition, so it leaves the command open; the clock goes on.
    await until(lambda: standby.store.load(workflow_id).live != {})
    await holder.abandon()
    state = await standby.wait(workflow_id, timeout=10)
    assert (state.status, world.calls["never"]) == (Status.FAILED, 0)


# --- damage ---------------------------------------------------------------------------------------------------------


async def test_a_damaged_event_stops_its_own_workflow_and_no_other(lives: Lives, world: World) -> None:
    first = await lives.begin()
    damaged = await first.start("asking", requested_by="alice")
    await first.wait(damaged, timeout=10)
    with first.store.transaction() as cursor:
        cursor.execute(
            "UPDATE stored_events SET state = 'x' WHERE originator_id = ? AND originator_version = 2", [damaged]
        )
        # As if it had been written just before the relay was killed: the next one meets it in the log.
        cursor.execute("DELETE FROM positions")
    await first.abandon()
    second = await lives.begin()
    workflow_id = await second.start("paying", requested_by="alice")
    world.open("before paying")
    world.open("after paying")
    assert (await second.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    with pytest.raises(EventCorrupt, match=f"workflow {damaged} event 2"):
        await second.wait(damaged, timeout=10)
