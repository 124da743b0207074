"""The runner: one claimed command, one call of the activity, one recorded outcome; whatever the activity does."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from consumers.activities import Bounds
from domain.context import Context
from domain.definitions import activity
from domain.errors import DecisionFault, NotApplied, Permanent, StoreUnavailable
from domain.failures import FailureClass
from domain.faultpoints import arm
from domain.ports import Decided, Request
from domain.triggers import RecordOutcome
from tests.unit.consumers.stage import BEGINNING, OWNER, Workshop

Given = dict[str, Any]


@activity(effect="pure")
async def plain(given: Given) -> Given:
    return given


@activity(effect="pure")
def in_thread(given: Given) -> str:
    return threading.current_thread().name


def outcome_of(outcomes: list[RecordOutcome]) -> RecordOutcome:
    assert len(outcomes) == 1
    return outcomes[0]


def failure_class(outcome: RecordOutcome) -> FailureClass:
    assert outcome.status == "failed"
    assert outcome.failure is not None
    return outcome.failure.kind


# --- the good way ---------------------------------------------------------------------------------------------------


async def test_an_outcome_is_recorded_with_its_claim_and_its_times() -> None:
    shop = Workshop(plain)
    outcome = outcome_of(await shop.run(shop.command(plain, given={"x": 1})))
    assert (outcome.status, outcome.output, outcome.worker) == ("ok", {"x": 1}, OWNER)
    assert (outcome.step, outcome.kind, outcome.attempt) == ("plain", "run", 1)
    assert (outcome.claimed_at, outcome.started_at, outcome.finished_at) == (BEGINNING, BEGINNING, BEGINNING)
    request = shop.decisions.requests[0]
    assert (request.completes, request.cause) == ("wf_001/plain/run/1", "wf_001/plain/run/1")
    assert (request.workflow_id, request.actor, request.at) == ("wf_001", OWNER, BEGINNING)
    assert not shop.runner.running


async def test_plain_functions_run_in_threads() -> None:
    shop = Workshop(in_thread)
    outcome = outcome_of(await shop.run(shop.command(in_thread)))
    assert str(outcome.output).startswith("handrail-activity-")


async def test_a_context_is_handed_over_by_position_or_by_name() -> None:
    @activity(effect="pure")
    async def by_position(given: Given, context: Context) -> str:
        return context.idempotency_key

    @activity(effect="pure")
    async def by_name(given: Given, *, context: Context) -> list[Any]:
        return [context.workflow_id, context.step, context.attempt, context.requested_by, str(context.home)]

    shop = Workshop(by_position, by_name)
    first, second = await shop.run(shop.command(by_position), shop.command(by_name, attempt=4))
    assert first.output == "wf_001/by_position/run"
    assert second.output == ["wf_001", "by_name", 4, "alice", "somewhere"]


async def test_the_deadline_is_the_nearer_of_both_time_outs() -> None:
    @activity(effect="pure", start_to_finish=timedelta(seconds=50))
    async def deadline(given: Given, context: Context) -> str:
        return str(context.deadline - BEGINNING)

    shop = Workshop(deadline)
    near = shop.command(deadline, "wf_001", expires_in=timedelta(seconds=20))
    far = shop.command(deadline, "wf_002")
    assert [one.output for one in await shop.run(near, far)] == ["0:00:20", "0:00:50"]


async def test_artifacts_of_an_attempt_are_part_of_its_outcome() -> None:
    @activity(effect="idempotent", pivot=True)
    async def write(given: Given, context: Context) -> str:
        return (await context.write_artifact("a.txt", b"data")).digest

    shop = Workshop(write)
    outcome = outcome_of(await shop.run(shop.command(write)))
    assert [(one.name, one.size) for one in outcome.artifacts] == [("a.txt", 4)]
    assert shop.files.written == {"wf_001/a.txt": b"data"}


async def test_artifacts_must_be_bytes_and_hold_no_secret() -> None:
    @activity(effect="pure", secrets=["token"])
    async def text(given: Given, context: Context) -> None:
        context.write_artifact_sync("a.txt", "text")  # type: ignore[arg-type]

    @activity(effect="pure", secrets=["token"])
    async def leak(given: Given, context: Context) -> None:
        await context.write_artifact("a.txt", f"see {context.secret('token').reveal()}".encode())

    shop = Workshop(text, leak, secrets={"token": "hidden value"})
    outcomes = await shop.run(shop.command(text), shop.command(leak))
    assert [failure_class(one) for one in outcomes] == [FailureClass.PERMANENT, FailureClass.PERMANENT]
    assert not shop.files.written


async def test_only_declared_secrets_are_opened_and_none_gets_into_the_record() -> None:
    @activity(effect="pure", secrets=["token"])
    async def open_it(given: Given, context: Context) -> str:
        return context.secret("token").reveal()

    @activity(effect="pure")
    async def undeclared(given: Given, context: Context) -> str:
        return context.secret("token").reveal()

    shop = Workshop(open_it, undeclared, secrets={"token": "hidden value"})
    opened, refused = await shop.run(shop.command(open_it), shop.command(undeclared))
    assert opened.output == "[secret token]"
    assert failure_class(refused) is FailureClass.PERMANENT


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_an_input_that_does_not_fit_calls_nothing() -> None:
    called = False

    @activity(effect="pure")
    async def counts(given: list[int]) -> None:
        nonlocal called
        called = True

    shop = Workshop(counts)
    outcome = outcome_of(await shop.run(shop.command(counts, given={"not": "a list"})))
    assert failure_class(outcome) is FailureClass.INVALID
    assert outcome.failure is not None
    assert outcome.failure.absent
    assert not called


@pytest.mark.parametrize(
    "error", [SystemExit(3), GeneratorExit(), BaseException("odd"), StopAsyncIteration()], ids=repr
)
@pytest.mark.parametrize("threaded", [False, True])
async def test_nothing_that_is_raised_harms_the_runner(error: BaseException, threaded: bool) -> None:
    def fail(given: Given) -> None:
        raise error

    async def fail_async(given: Given) -> None:
        raise error

    failing = activity(name="fail", effect="pure")(fail if threaded else fail_async)
    shop = Workshop(failing, plain)
    first = outcome_of(await shop.run(shop.command(failing)))
    assert failure_class(first) is FailureClass.BUG
    assert (await shop.run(shop.command(plain)))[1].status == "ok"


@pytest.fixture
def interrupts_are_taken_over() -> Iterator[None]:
    """A loop that handles Ctrl-C itself, as asyncio.run's does."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_are_taken_over")
async def test_a_keyboard_interrupt_of_the_activitys_own_making_is_a_bug() -> None:
    @activity(effect="pure")
    async def interrupt(given: Given) -> None:
        raise KeyboardInterrupt

    shop = Workshop(interrupt)
    assert failure_class(outcome_of(await shop.run(shop.command(interrupt)))) is FailureClass.BUG


async def test_an_activity_that_lets_a_cancellation_of_its_own_escape_has_a_bug() -> None:
    @activity(effect="pure")
    async def tangled(given: Given) -> None:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    shop = Workshop(tangled)
    assert failure_class(outcome_of(await shop.run(shop.command(tangled)))) is FailureClass.BUG


async def test_what_came_after_its_time_is_not_begun() -> None:
    shop = Workshop(plain)
    outcome = outcome_of(await shop.run(shop.command(plain, expires_in=timedelta(0))))
    assert failure_class(outcome) is FailureClass.TIMEOUT
    assert outcome.failure is not None
    assert outcome.failure.absent
    assert outcome.started_at is not None


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


# --- the store ------------------------------------------------------------------------------------------------------


async def test_an_outcome_is_kept_until_the_store_takes_it() -> None:
    shop = Workshop(plain)
    troubles: list[str] = []
    shop.runner.trouble = lambda error: troubles.append(str(error))
    shop.decisions.errors = [StoreUnavailable("full disk"), StoreUnavailable("still full")]
    await shop.run(shop.command(plain))
    assert [one.status for one in shop.decisions.outcomes] == ["ok", "ok", "ok"]
    assert len({id(request) for request in shop.decisions.requests}) == 1
    assert troubles == ["full disk", "still full"]


async def test_a_fault_of_the_engine_is_told_and_not_tried_again() -> None:
    shop = Workshop(plain)
    troubles: list[str] = []
    shop.runner.trouble = lambda error: troubles.append(str(error))
    shop.decisions.errors = [DecisionFault("a node broke a rule")]
    await shop.run(shop.command(plain))
    assert len(shop.decisions.requests) == 1
    assert troubles == ["a node broke a rule"]


# --- room -----------------------------------------------------------------------------------------------------------


async def test_room_is_bounded_in_all_and_by_activity_and_by_threads() -> None:
    go_on = asyncio.Event()

    @activity(effect="pure", concurrency=2)
    async def narrow(given: Given) -> None:
        await go_on.wait()

    @activity(effect="pure")
    def threaded(given: Given) -> None: ...

    shop = Workshop(narrow, plain, threaded, bounds=Bounds(attempts=5, threads=1))
    first = shop.command(narrow, "wf_001")
    shop.runner.start([first])

    def taken(*names: str) -> list[bool]:
        rooms = shop.runner.rooms()
        return [rooms.take("workshop", "1", name) for name in names]

    assert taken("narrow", "narrow") == [True, False]
    assert taken("threaded", "threaded") == [True, False]
    assert taken("plain", "plain", "plain", "plain", "plain") == [True, True, True, True, False]
    assert taken("nobody knows it") == [False]
    go_on.set()
    await shop.over([first])
    assert taken("narrow", "narrow", "narrow") == [True, True, False]


async def test_room_is_free_again_before_the_outcome_is_recorded() -> None:
    @activity(effect="pure", concurrency=1)
    async def narrow(given: Given) -> None: ...

    shop = Workshop(narrow)
    seen: list[bool] = []
    decide = shop.decisions.decide

    def look(request: Request) -> Awaitable[Decided]:
        seen.append(shop.runner.rooms().take("workshop", "1", "narrow"))
        return decide(request)

    shop.decisions.decide = look  # type: ignore[method-assign]
    await shop.run(shop.command(narrow))
    assert seen == [True]


async def test_a_command_that_is_running_or_unknown_is_not_started() -> None:
    go_on = asyncio.Event()
    calls = 0

    @activity(effect="pure")
    async def counts(given: Given) -> None:
        nonlocal calls
        calls += 1
        await go_on.wait()

    shop = Workshop(counts)
    command = shop.command(counts)
    shop.runner.start([command, command, shop.command("not loaded")])
    await asyncio.sleep(0)
    go_on.set()
    await shop.over([command])
    assert calls == 1


async def test_the_effect_lies_between_its_fault_points() -> None:
    seen: list[str] = []

    @activity(effect="pure")
    async def act(given: Given) -> None:
        seen.append("act")

    @activity(effect="pure")
    def fail(given: Given) -> None:
        seen.append("fail")
        raise Permanent("no")

    shop = Workshop(act, fail)
    arm(seen.append)
    try:
        await shop.run(shop.command(act))
        await shop.run(shop.command(fail))
    finally:
        arm(None)
    assert seen == ["effect.before", "act", "effect.after", "effect.before", "fail", "effect.after"]
