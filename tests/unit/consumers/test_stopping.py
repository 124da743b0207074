"""How attempts are stopped: at their time-outs, when their workflow stops, when their claim is lost, at the end."""

import asyncio
import contextlib
import threading
from datetime import timedelta
from typing import Any

import pytest

from domain.context import Context
from domain.definitions import activity
from domain.errors import NotApplied, Permanent
from domain.failures import FailureClass
from domain.triggers import RecordOutcome
from tests.unit.consumers.stage import Workshop
from tests.unit.consumers.test_activities import failure_class, outcome_of

Given = dict[str, Any]


# --- time-outs ------------------------------------------------------------------------------------------------------

SOON = timedelta(milliseconds=10)


async def test_an_async_activity_is_stopped_at_its_time_out() -> None:
    cleaned = False

    @activity(effect="pure", start_to_finish=SOON)
    async def hang(given: Given) -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            cleaned = True

    shop = Workshop(hang)
    outcome = outcome_of(await shop.run(shop.command(hang)))
    assert failure_class(outcome) is FailureClass.TIMEOUT
    assert outcome.failure is not None
    assert not outcome.failure.absent
    assert cleaned


async def test_what_an_activity_says_when_it_is_stopped_counts() -> None:
    @activity(effect="pure", start_to_finish=SOON)
    async def proves(given: Given) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise NotApplied("nothing was sent") from None

    @activity(effect="pure", start_to_finish=SOON)
    async def finishes(given: Given) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "just in time"

    @activity(effect="pure", start_to_finish=SOON)
    async def stumbles(given: Given) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise Permanent("cleaning up failed")

    shop = Workshop(proves, finishes, stumbles)
    outcomes = {one.step: one for one in await shop.run(*map(shop.command, (proves, finishes, stumbles)))}
    assert outcomes["proves"].failure is not None
    assert outcomes["proves"].failure.absent
    assert outcomes["finishes"].output == "just in time"
    assert failure_class(outcomes["stumbles"]) is FailureClass.TIMEOUT


async def test_code_that_does_not_let_itself_be_stopped_is_given_up_and_heard_out() -> None:
    go_on = asyncio.Event()

    @activity(effect="pure", start_to_finish=SOON)
    async def stubborn(given: Given) -> str:
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()
        return "after all"

    shop = Workshop(stubborn)
    command = shop.command(stubborn)
    shop.runner.start([command])
    await asyncio.wait_for(shop.decisions.asked.wait(), 10)
    assert failure_class(outcome_of(shop.decisions.outcomes)) is FailureClass.TIMEOUT
    assert shop.decisions.requests[0].completes == command.message_id
    go_on.set()
    await shop.over([command])
    late = shop.decisions.requests[1]
    assert isinstance(late.trigger, RecordOutcome)
    assert (late.trigger.output, late.completes) == ("after all", None)


async def test_a_thread_is_given_up_at_its_time_out_keeps_its_room_and_is_heard_out() -> None:
    go_on = threading.Event()

    @activity(effect="pure", start_to_finish=SOON, concurrency=1)
    def slow(given: Given) -> str:
        go_on.wait(10)
        return "after all"

    shop = Workshop(slow)
    command = shop.command(slow)
    shop.runner.start([command])
    await asyncio.wait_for(shop.decisions.asked.wait(), 10)
    assert failure_class(outcome_of(shop.decisions.outcomes)) is FailureClass.TIMEOUT
    assert not shop.runner.rooms().take("workshop", "1", "slow")
    go_on.set()
    await shop.over([command])
    assert shop.decisions.outcomes[1].output == "after all"
    assert shop.decisions.requests[1].completes is None
    assert shop.runner.rooms().take("workshop", "1", "slow")


# --- cancelling, losing, ending -------------------------------------------------------------------------------------


async def test_a_stopping_workflow_tells_its_attempts_and_stops_them_after_the_grace() -> None:
    begun = asyncio.Event()
    told: list[bool] = []

    @activity(effect="pure")
    async def works(given: Given, context: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append(await context.heartbeat())

    shop = Workshop(works)
    mine, others = shop.command(works, "wf_001"), shop.command(works, "wf_002")
    shop.runner.start([mine, others])
    await begun.wait()
    shop.runner.request_cancel("wf_001", force=True)
    await shop.over([mine])
    assert told == [True]
    assert failure_class(outcome_of(shop.decisions.outcomes)) is FailureClass.TIMEOUT
    assert list(shop.runner.running) == [others.message_id]
    await shop.runner.close(grace_seconds=0)


async def test_without_force_an_attempt_is_told_and_left_to_end() -> None:
    seen = asyncio.Event()

    @activity(effect="pure")
    async def polite(given: Given, context: Context) -> str:
        seen.set()
        while not await context.heartbeat():
            pass
        return "ended by itself"

    shop = Workshop(polite)
    command = shop.command(polite)
    shop.runner.start([command])
    await seen.wait()
    shop.runner.request_cancel("wf_001", force=False)
    await shop.over([command])
    assert outcome_of(shop.decisions.outcomes).output == "ended by itself"


async def test_a_compensation_is_not_told_to_stop() -> None:
    @activity(effect="pure")
    async def undo(given: Given, context: Context) -> bool:
        for _ in range(3):
            await context.heartbeat()
        return context.cancel_requested

    shop = Workshop(undo)
    command = shop.command(undo, kind="compensate")
    shop.runner.start([command])
    shop.runner.request_cancel("wf_001", force=True)
    await shop.over([command])
    assert outcome_of(shop.decisions.outcomes).output is False


async def test_an_attempt_that_lost_its_claim_is_stopped_and_says_nothing() -> None:
    begun = asyncio.Event()

    @activity(effect="pure")
    async def hang(given: Given) -> None:
        begun.set()
        await asyncio.Event().wait()

    shop = Workshop(hang)
    command = shop.command(hang)
    shop.runner.start([command])
    await begun.wait()
    shop.runner.lose([command.message_id, "wf_009/unknown/run/1"])
    await shop.over([command])
    assert shop.decisions.requests == []


async def test_closing_waits_for_the_grace_and_leaves_the_rest_unrecorded() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @activity(effect="pure")
    async def ends(given: Given) -> str:
        await go_on.wait()
        return "ended"

    @activity(effect="pure")
    async def hangs(given: Given) -> None:
        begun.set()
        await asyncio.Event().wait()

    shop = Workshop(ends, hangs)
    shop.runner.start([shop.command(ends), shop.command(hangs)])
    await begun.wait()
    asyncio.get_running_loop().call_soon(go_on.set)
    await shop.runner.close(grace_seconds=0.05)
    assert [one.step for one in shop.decisions.outcomes] == ["ends"]
    assert not shop.runner.running
    assert not shop.runner.rooms().take("workshop", "1", "ends")


async def test_in_a_hurry_only_once_activities_are_waited_for() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @activity(effect="once", pivot=True)
    async def pays(given: Given) -> str:
        await go_on.wait()
        return "paid"

    @activity(effect="pure")
    async def looks(given: Given) -> str:
        begun.set()
        await go_on.wait()
        return "seen"

    shop = Workshop(pays, looks)
    shop.runner.start([shop.command(pays), shop.command(looks)])
    await begun.wait()
    asyncio.get_running_loop().call_later(0.01, go_on.set)
    await shop.runner.close(grace_seconds=10, hurry=True)
    assert [one.step for one in shop.decisions.outcomes] == ["pays"]


async def test_a_cancelled_loop_leaves_claims_and_records_no_failure() -> None:
    begun = asyncio.Event()

    @activity(effect="pure")
    async def hangs(given: Given) -> None:
        begun.set()
        await asyncio.Event().wait()

    shop = Workshop(hangs)
    command = shop.command(hangs)
    shop.runner.start([command])
    await begun.wait()
    task = shop.runner.running[command.message_id].task
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shop.decisions.requests == []
