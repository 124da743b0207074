"""`handrail.testing`, as authors of workflows use it, and Handrail's own crash tests within one process."""

import asyncio
import doctest
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import handrail.testing
from domain.state import Status
from domain.triggers import PauseWorkflow, ResumeWorkflow
from handrail import Context, Definition, Denied, NeedsApproval, Permanent, Refused, Runtime, Step, Transient, activity
from handrail.testing import BEGINNING, Clock, Rehearsal, events, rehearse_crashes
from tests.integration.flows import (
    ASKING,
    ASKING_PARENT,
    CHAIN,
    CHILD,
    PARENT,
    UNDOING,
    WAITING,
    WORKS,
    Number,
    Result,
    World,
    ask,
    pay,
    refuse,
    reserve,
)
from tests.integration.flows import PAYING as PAYING_FLOW


@pytest.fixture(autouse=True)
def world() -> World:
    return World.new()


def test_the_example_of_the_documentation_runs() -> None:
    results = doctest.testmod(handrail.testing)
    assert results.attempted > 5
    assert results.failed == 0


# --- stubs ----------------------------------------------------------------------------------------------------------


async def test_stubs_answer_once_a_call_and_calls_are_noted() -> None:
    stubs = {WORKS[0]: [Transient("busy"), Transient("busy"), Result(i=5)], "work1": Result(i=6)}
    async with Rehearsal(CHAIN, stubs=stubs) as rehearsal:
        state = await rehearsal.run("chain", {"i": 3})
        assert state.status is Status.COMPLETED
        assert (rehearsal.output("s0")["i"], rehearsal.output("s1")["i"], rehearsal.output("s2")["i"]) == (5, 6, 2)
        calls = rehearsal.calls(WORKS[0])
        assert [call.attempt for call in calls] == [1, 2, 3]
        assert {call.idempotency_key for call in calls} == {"rehearsal_1/s0/run"}
        assert calls[0].input == Number(i=3)
        assert len(rehearsal.calls()) == 7


async def test_a_stub_may_be_a_function_of_input_and_context() -> None:
    async def with_context(given: Number, context: Context) -> Result:
        return Result(i=given.i, note=context.step)

    stubs: dict[Any, Any] = {"work0": with_context, "work1": lambda given: Result(i=given.i + 1)}
    async with Rehearsal(CHAIN, stubs=stubs) as rehearsal:
        await rehearsal.run(input={"i": 3})
        assert rehearsal.output("s0") == {"i": 3, "ok": True, "note": "s0"}
        assert rehearsal.output("s1")["i"] == 4


async def test_a_stubs_answer_is_checked_like_any() -> None:
    async with Rehearsal(CHAIN, stubs={"work0": "nonsense"}) as rehearsal:
        await rehearsal.run()
        (failed,) = [one for one in rehearsal.events("AttemptFailed") if isinstance(one, events.AttemptFailed)]
        assert failed.failure.kind == "invalid"


async def test_a_stub_for_nothing_is_a_mistake() -> None:
    with pytest.raises(Refused, match="stubs for nobody"):
        Rehearsal(CHAIN, stubs={"nobody": 1})
    with pytest.raises(Refused, match="async with"):
        await Rehearsal(CHAIN).run()


async def test_planners_and_artifacts_are_stubbed_too() -> None:
    recipe = Definition("asked", steps=[Step("ask", ask)])
    async with Rehearsal(recipe, stubs={ask: [Denied("no")]}) as rehearsal:
        state = await rehearsal.run()
        assert (state.status, state.ended_reason) == (Status.FAILED, "step ask failed: no")


async def test_the_definition_itself_stays_as_it_is() -> None:
    async with Rehearsal(CHAIN, stubs={"work0": Permanent("no")}) as rehearsal:
        assert (await rehearsal.run()).status is not Status.COMPLETED
    async with Rehearsal(CHAIN) as rehearsal:
        assert (await rehearsal.run()).status is Status.COMPLETED


# --- time -----------------------------------------------------------------------------------------------------------


async def test_where_only_time_can_move_on_it_does() -> None:
    async with Rehearsal(WAITING) as rehearsal:
        waiting = await rehearsal.run(input={"key": "a"})
        assert [wait.reason for wait in waiting.waits.values()] == ["signal"]
        assert rehearsal.clock.at == BEGINNING
        state = await rehearsal.signal("papers", "a", {"pages": 3})
        assert state.status is Status.COMPLETED
        assert rehearsal.clock.at == BEGINNING + timedelta(milliseconds=20)


async def test_skipping_time_lets_deadlines_pass() -> None:
    async with Rehearsal(ASKING) as rehearsal:
        assert (await rehearsal.run()).status is Status.BLOCKED
        assert (await rehearsal.skip(timedelta(days=2))).status is Status.BLOCKED
        state = await rehearsal.skip(timedelta(days=2))
        assert state.status is Status.FAILED
        assert rehearsal.names("ApprovalExpired") == ["ApprovalExpired"]


async def test_a_clock_of_ones_own_is_used() -> None:
    clock = Clock(BEGINNING + timedelta(days=100))
    async with Rehearsal(CHAIN, clock=clock) as rehearsal:
        await rehearsal.run()
        assert {one.timestamp for one in rehearsal.history()} == {clock.at}


# --- people ---------------------------------------------------------------------------------------------------------


async def test_people_approve_and_reject() -> None:
    async with Rehearsal(ASKING) as rehearsal:
        await rehearsal.run()
        state = await rehearsal.approve("carol", controls=["weekly report"])
        assert (state.status, state.controls) == (Status.COMPLETED, ["weekly report"])
        await rehearsal.run()
        assert (await rehearsal.reject("carol", reason="no")).status is Status.FAILED
        with pytest.raises(Refused, match="nothing waits for approval"):
            await rehearsal.approve("carol")


async def test_any_trigger_may_be_decided() -> None:
    async with Rehearsal(ASKING) as rehearsal:
        await rehearsal.run()
        assert (await rehearsal.decide(PauseWorkflow(by="bob", reason="x"))).status is Status.PAUSED
        assert (await rehearsal.decide(ResumeWorkflow(by="bob", reason="x"))).status is Status.BLOCKED


async def test_children_are_run_along() -> None:
    async with Rehearsal(PARENT, others=[CHILD], stubs={"work1": [Transient("busy"), Result(i=1)]}) as rehearsal:
        assert (await rehearsal.run()).status is Status.COMPLETED
        assert len(rehearsal.calls("work1")) == 2
    async with Rehearsal(ASKING_PARENT, others=[ASKING]) as rehearsal:
        assert (await rehearsal.run()).status is Status.BLOCKED


# --- crashes --------------------------------------------------------------------------------------------------------


async def test_a_crash_happens_where_it_was_asked_for_and_is_survived(world: World) -> None:
    async with Rehearsal(CHAIN, crash_at=5) as rehearsal:
        assert (await rehearsal.run()).status is Status.COMPLETED
        assert rehearsal.crashed
        assert rehearsal.commit_points > 5
    async with Rehearsal(CHAIN, crash_at=10_000) as rehearsal:
        await rehearsal.run()
        assert not rehearsal.crashed


async def test_a_chain_survives_a_crash_at_every_commit_point() -> None:
    async def play(rehearsal: Rehearsal) -> None:
        World.new()
        state = await rehearsal.run(input={"i": 1})
        assert state.status is Status.COMPLETED
        assert set(World.current.applied) == {f"rehearsal_1/s{number}/run" for number in range(5)}

    # A start, five outcomes: a point before and one after each commit.
    assert await rehearse_crashes(play, CHAIN) >= 12


async def test_an_undoing_survives_a_crash_at_every_commit_point() -> None:
    async def play(rehearsal: Rehearsal) -> None:
        World.new()
        state = await rehearsal.run(input={"i": 1})
        assert state.status is Status.COMPENSATED
        assert set(World.current.undone) == {"rehearsal_1/reserve/run"}

    assert await rehearse_crashes(play, UNDOING) >= 8


async def test_an_approval_survives_a_crash_at_every_commit_point() -> None:
    async def play(rehearsal: Rehearsal) -> None:
        await rehearsal.run(input={"i": 1})
        state = await rehearsal.approve("carol", controls=["weekly report"])
        assert (state.status, state.controls) == (Status.COMPLETED, ["weekly report"])
        assert rehearsal.names("ApprovalGranted") == ["ApprovalGranted"]

    assert await rehearse_crashes(play, ASKING, stubs=lambda: {ask: NeedsApproval("look", output=Result(i=1))}) >= 6


async def test_a_payment_is_made_once_wherever_the_crash() -> None:
    async def paying(given: Number, context: Context) -> Result:
        World.current.calls[context.idempotency_key] += 1
        World.current.applied[context.idempotency_key] = "paid"
        return Result(i=7)

    async def play(rehearsal: Rehearsal) -> None:
        World.new()
        state = await rehearsal.run(input={"i": 1})
        assert state.status is Status.COMPLETED
        assert World.current.calls["rehearsal_1/pay/run"] == 1

    assert await rehearse_crashes(play, PAYING_FLOW, stubs=lambda: {pay: paying}) >= 6


async def test_parents_children_and_signals_survive_a_crash_at_every_commit_point() -> None:
    async def parent(rehearsal: Rehearsal) -> None:
        assert (await rehearsal.run()).status is Status.COMPLETED
        assert rehearsal.names("ChildEnded") == ["ChildEnded"]

    async def waiting(rehearsal: Rehearsal) -> None:
        await rehearsal.run(input={"key": "a"})
        assert (await rehearsal.signal("papers", "a", 3)).status is Status.COMPLETED
        assert rehearsal.output("signal") == 3

    assert await rehearse_crashes(parent, PARENT, others=[CHILD]) >= 10
    assert await rehearse_crashes(waiting, WAITING) >= 10


async def test_a_crash_may_be_called_for() -> None:
    async with Rehearsal(ASKING) as rehearsal:
        before = await rehearsal.run()
        after = await rehearsal.crash()
        assert after == before


# --- deliveries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", [CHAIN, PARENT], ids=lambda one: one.name)
async def test_what_is_delivered_twice_runs_once(definition: Definition) -> None:
    async with Rehearsal(definition, others=[CHILD], deliver_twice=True) as rehearsal:
        assert (await rehearsal.run()).status is Status.COMPLETED
        assert all(call.attempt == 1 for call in rehearsal.calls())
        assert len(rehearsal.calls()) == len({call.idempotency_key for call in rehearsal.calls()})
        roles = rehearsal.runtime.roles
        assert roles is not None
        async with asyncio.timeout(10):
            while sum(roles.consumer.counts.values()) < len(rehearsal.calls()):  # noqa: ASYNC110 - deliveries trail behind
                await asyncio.sleep(0)


async def test_a_once_step_delivered_twice_is_called_once() -> None:
    async with Rehearsal(PAYING_FLOW, stubs={pay: Result(i=1)}, deliver_twice=True) as rehearsal:
        assert (await rehearsal.run()).status is Status.COMPLETED
        assert len(rehearsal.calls(pay)) == 1


# --- keeping --------------------------------------------------------------------------------------------------------


async def test_a_home_of_ones_own_is_kept(tmp_path: Path) -> None:
    async with Rehearsal(CHAIN, home=tmp_path / "kept") as rehearsal:
        await rehearsal.run(workflow_id="mine")
        assert rehearsal.home == tmp_path / "kept"
    async with Runtime(tmp_path / "kept", definitions=[CHAIN], examples=False) as runtime:
        assert runtime.store.load("mine").status is Status.COMPLETED


async def test_plain_functions_are_called_for_real() -> None:
    @activity(effect="pure")
    def plain(given: Number) -> int:
        return given.i + 1

    @activity(effect="pure")
    async def named(given: Number, *, context: Context) -> str:
        return context.step

    recipe = Definition("plain", steps=[Step("one", plain), Step("two", named)])
    async with Rehearsal(recipe) as rehearsal:
        await rehearsal.run(input={"i": 4})
        assert (rehearsal.output("one"), rehearsal.output("two")) == (5, "two")
        assert [call.activity for call in rehearsal.calls()] == ["plain", "named"]


async def test_failures_without_a_way_back_end_as_declared() -> None:
    async with Rehearsal(UNDOING, stubs={reserve: Result(i=1), refuse: Permanent("never")}) as rehearsal:
        state = await rehearsal.run()
        assert state.status is Status.COMPENSATED
        assert [call.activity for call in rehearsal.calls()] == ["reserve", "refuse", "undo_reserve"]
