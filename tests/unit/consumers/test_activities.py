"""The runner: one claimed command, one call of the activity, one recorded outcome; whatever the activity does."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from consumers.activities import Bounds
from domain.context import Context
from domain.definitions import activity
from domain.errors import DecisionFault, Permanent, StoreUnavailable
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
