"""The whole runtime on a real home: goals run to their ends, people and signals move them, trouble is told."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import (
    DefinitionUnknown,
    InputInvalid,
    StoreError,
    StoreUnavailable,
    WorkflowConflict,
    WorkflowUnknown,
)
from domain.state import State, Status
from domain.triggers import CancelWorkflow, PauseWorkflow, RecordDecision, ResumeWorkflow
from handrail import Context, Definition, Permanent, Runtime, Step, activity
from tests.integration.flows import (
    ALL,
    ASKING,
    ASKING_PARENT,
    CHAIN,
    GATED,
    NO_CHILD,
    PARENT,
    PAYING,
    UNDOING,
    WAITING,
    Number,
    World,
    run,
    until,
)


@pytest.fixture
def world() -> World:
    return World.new()


@pytest.fixture
async def runtime(tmp_path: Path, world: World) -> AsyncIterator[Runtime]:
    async with Runtime(tmp_path / "home", definitions=ALL, examples=False) as opened:
        yield opened


def inbox(runtime: Runtime) -> dict[str, str]:
    """State of each command's row."""
    found = runtime.store.query("SELECT message_id, state FROM inbox WHERE message_id LIKE 'wf_%/%/%/%'")
    return {row[0]: row[1] for row in found}


def names(runtime: Runtime, workflow_id: str) -> list[str]:
    return [one.event.stored_name for one in runtime.store.read(workflow_id, verified=True)]


async def grant(runtime: Runtime, state: State, by: str = "carol") -> None:
    for ballot in list(state.ballots.values()):
        asked = ballot.request
        vote = RecordDecision(
            approval_id=asked.approval_id, round=asked.round, digest=asked.digest, decision="approve", decided_by=by
        )
        await runtime.decide(state.workflow_id, vote, actor=by)


# --- ends -----------------------------------------------------------------------------------------------------------


async def test_a_chain_runs_each_step_once_and_leaves_every_row_done(runtime: Runtime, world: World) -> None:
    state = await run(runtime, CHAIN)
    assert (state.workflow_id, state.status) == ("wf_001", Status.COMPLETED)
    assert world.calls == {f"wf_001/s{number}/run": 1 for number in range(5)}
    assert set(inbox(runtime).values()) == {"done"}
    assert len(inbox(runtime)) == 5


async def test_many_at_once_all_end(runtime: Runtime, world: World) -> None:
    states = await asyncio.gather(*(run(runtime, CHAIN) for _ in range(60)))
    assert {state.status for state in states} == {Status.COMPLETED}
    assert len({state.workflow_id for state in states}) == 60
    assert set(world.calls.values()) == {1}


async def test_a_failure_undoes_what_was_done(runtime: Runtime, world: World) -> None:
    state = await run(runtime, UNDOING)
    assert state.status is Status.COMPENSATED
    assert world.undone == ["wf_001/reserve/run"]


async def test_a_once_step_is_claimed_by_a_delivery_of_its_own(runtime: Runtime, world: World) -> None:
    world.open("before paying")
    world.open("after paying")
    state = await run(runtime, PAYING)
    assert state.status is Status.COMPLETED
    assert world.calls["wf_001/pay/run"] == 1
    assert runtime.roles is not None
    assert sum(runtime.roles.consumer.counts.values()) == 1


async def test_an_activity_that_calls_exit_ends_neither_process_nor_runtime(runtime: Runtime, world: World) -> None:
    @activity(effect="pure")
    async def leave(given: Number) -> None:
        raise SystemExit(3)

    state = await run(runtime, Definition("leaving", steps=[Step("leave", leave)]))
    assert [wait.reason for wait in state.people_waits()] == ["intervention"]
    assert (await run(runtime, CHAIN)).status is Status.COMPLETED


# --- people ---------------------------------------------------------------------------------------------------------


async def test_a_wait_ends_where_only_a_person_can_move_on(runtime: Runtime, world: World) -> None:
    blocked = await run(runtime, ASKING)
    assert (blocked.status, blocked.blocked) == (Status.BLOCKED, True)
    await grant(runtime, blocked)
    ended = await runtime.wait("wf_001", timeout=10)
    assert ended.status is Status.COMPLETED
    assert ended.settled["ask"].output["i"] == 9
    # What was handed out before is the caller's own, and has not changed.
    assert blocked.status is Status.BLOCKED


async def test_a_wait_ends_where_a_child_needs_a_person(runtime: Runtime, world: World) -> None:
    blocked = await run(runtime, ASKING_PARENT)
    assert [wait.reason for wait in blocked.waits.values()] == ["child"]
    await grant(runtime, runtime.store.load("wf_001.child"))
    assert (await runtime.wait("wf_001", timeout=10)).status is Status.COMPLETED


async def test_a_paused_workflow_rests_when_what_was_under_way_has_ended(runtime: Runtime, world: World) -> None:
    workflow_id = await runtime.start("gated", requested_by="alice")
    await world.here.wait()
    await runtime.decide(workflow_id, PauseWorkflow(by="bob", reason="holiday"), actor="bob")
    waiting = asyncio.create_task(runtime.wait(workflow_id, timeout=10))
    await asyncio.sleep(0)
    assert not waiting.done()
    world.open(workflow_id)
    assert (await waiting).status is Status.PAUSED
    await runtime.decide(workflow_id, ResumeWorkflow(by="bob", reason="back"), actor="bob")
    assert (await runtime.wait(workflow_id, timeout=10)).status is Status.COMPLETED


async def test_a_cancelled_workflow_tells_its_attempt(runtime: Runtime, world: World) -> None:
    begun = asyncio.Event()

    @activity(effect="pure")
    async def works(given: Number, context: Context) -> str:
        begun.set()
        while not await context.heartbeat():
            pass
        raise Permanent("stopped half-way")

    workflow_id = await runtime.start("works", Definition("works", steps=[Step("work", works)]), requested_by="alice")
    await begun.wait()
    await runtime.decide(workflow_id, CancelWorkflow(by="bob", reason="no longer wanted"), actor="bob")
    assert (await runtime.wait(workflow_id, timeout=10)).status is Status.CANCELLED


async def test_one_who_waits_in_vain_gets_a_timeout(runtime: Runtime, world: World) -> None:
    workflow_id = await runtime.start("gated", requested_by="alice")
    with pytest.raises(TimeoutError):
        await runtime.wait(workflow_id, timeout=0.01)
    world.open(workflow_id)
    assert (await runtime.wait(workflow_id, timeout=10)).status is Status.COMPLETED


# --- starting -------------------------------------------------------------------------------------------------------


async def test_the_same_id_again_goes_on_and_another_goal_is_a_conflict(runtime: Runtime, world: World) -> None:
    first = await runtime.start("chain", input={"i": 1}, requested_by="alice", workflow_id="mine")
    await runtime.wait(first, timeout=10)
    version = runtime.store.load("mine").version
    assert await runtime.start("chain", input={"i": 1}, requested_by="alice", workflow_id="mine") == "mine"
    assert runtime.store.load("mine").version == version
    for goal, definition, given in [("chain", None, {"i": 2}), ("Chain", None, {"i": 1}), ("chain", GATED, {"i": 1})]:
        with pytest.raises(WorkflowConflict, match="workflow mine exists with another"):
            await runtime.start(goal, definition, given, requested_by="alice", workflow_id="mine")


async def test_local_ids_count_up_and_pass_over_what_is_taken(runtime: Runtime, world: World, tmp_path: Path) -> None:
    assert await runtime.start("chain", requested_by="alice") == "wf_001"
    await runtime.start("chain", requested_by="alice", workflow_id="wf_002")
    assert await runtime.start("chain", requested_by="alice") == "wf_003"
    async with Runtime(tmp_path / "home", definitions=ALL, examples=False) as other:
        assert await other.start("chain", requested_by="alice") == "wf_004"
        # This one does not know of the other's yet; with equal words it must not take it for its own.
        assert await runtime.start("chain", requested_by="alice") == "wf_005"
        ids = await asyncio.gather(*(one.start("chain", requested_by="alice") for one in [runtime, other] * 5))
    assert sorted(ids) == [f"wf_{number:03d}" for number in range(6, 16)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"goal": "nobody knows this"}, DefinitionUnknown),
        ({"goal": "x", "definition": "nobody"}, DefinitionUnknown),
        ({"goal": "chain", "input": {"x": float("nan")}}, InputInvalid),
        ({"goal": "chain", "input": {"x": "y" * 300_000}}, InputInvalid),
        ({"goal": "chain", "workflow_id": "../x"}, InputInvalid),
        ({"goal": "chain", "tags": {"": "x"}}, InputInvalid),
        ({"goal": "chain", "tags": {str(n): "" for n in range(101)}}, InputInvalid),
        ({"goal": "x" * 1_000_001, "definition": "chain"}, InputInvalid),
        ({"goal": " ", "definition": "chain"}, InputInvalid),
        ({"goal": "chain", "deadline": timedelta(days=36_526)}, InputInvalid),
        ({"goal": "chain", "deadline": datetime(9999, 1, 1, tzinfo=UTC)}, InputInvalid),
        ({"goal": "\udc80", "definition": "chain"}, InputInvalid),
    ],
)
async def test_what_cannot_be_a_goal_is_refused_and_leaves_nothing(
    runtime: Runtime, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await runtime.start(requested_by="alice", **options)
    assert runtime.store.workflow_ids() == []


async def test_an_unknown_workflow_is_an_error(runtime: Runtime) -> None:
    with pytest.raises(WorkflowUnknown):
        await runtime.wait("wf_404")
    with pytest.raises(WorkflowUnknown):
        await runtime.decide("wf_404", PauseWorkflow(by="bob", reason="x"), actor="bob")


async def test_a_deadline_may_be_a_duration(runtime: Runtime, world: World) -> None:
    workflow_id = await runtime.start("gated", requested_by="alice", deadline=timedelta(milliseconds=10))
    await world.here.wait()
    await until(lambda: runtime.store.load(workflow_id).status is Status.STOPPING)
    world.open(workflow_id)
    state = await runtime.wait(workflow_id, timeout=10)
    assert (state.status, "deadline" in state.ended_reason) == (Status.FAILED, True)


# --- children -------------------------------------------------------------------------------------------------------


async def test_a_parent_awaits_its_child(runtime: Runtime, world: World) -> None:
    state = await run(runtime, PARENT)
    assert state.status is Status.COMPLETED
    child = runtime.store.load("wf_001.child")
    assert (child.status, child.parent_workflow, child.requested_by) == (Status.COMPLETED, "wf_001", "alice")
    assert names(runtime, "wf_001").count("ChildEnded") == 1


async def test_a_child_that_cannot_be_started_fails_its_step(runtime: Runtime, world: World) -> None:
    state = await run(runtime, NO_CHILD)
    assert state.status is Status.FAILED
    assert "there is no definition 'nobody has it'" in state.ended_reason


async def test_a_stopping_parent_asks_its_child_to_stop(runtime: Runtime, world: World) -> None:
    blocked = await run(runtime, ASKING_PARENT)
    await runtime.decide(blocked.workflow_id, CancelWorkflow(by="bob", reason="enough"), actor="bob")
    assert (await runtime.wait("wf_001", timeout=10)).status is Status.CANCELLED
    assert (await runtime.wait("wf_001.child", timeout=10)).status is Status.CANCELLED


# --- signals and time -----------------------------------------------------------------------------------------------


async def test_a_signal_moves_who_waits_for_it(runtime: Runtime, world: World) -> None:
    ids = [await runtime.start("waiting", input={"key": key}, requested_by="alice") for key in ("a", "b")]
    await until(lambda: all(runtime.store.load(one).waits for one in ids))
    assert await runtime.signal("papers", "a", {"pages": 3}, sender="post") == [ids[0]]
    state = await runtime.wait(ids[0], timeout=10)
    assert (state.status, state.settled["signal"].output) == (Status.COMPLETED, {"pages": 3})
    assert runtime.store.load(ids[1]).status is Status.BLOCKED


async def test_a_signal_that_came_first_is_kept_for_one_workflow(runtime: Runtime, world: World) -> None:
    assert await runtime.signal("papers", "a", 1, message_id="letter-1") == []
    assert await runtime.signal("papers", "a", 1, message_id="letter-1") == []
    first = await run(runtime, WAITING, key="a")
    assert (first.status, first.settled["signal"].output) == (Status.COMPLETED, 1)
    second = await runtime.start("waiting", input={"key": "a"}, requested_by="alice")
    await until(lambda: bool(runtime.store.load(second).waits))
    assert await runtime.signal("papers", "a", 2) == [second]


async def test_a_signals_message_id_stands_for_one_body(runtime: Runtime, world: World) -> None:
    await runtime.signal("papers", "a", 1, message_id="letter-1")
    with pytest.raises(WorkflowConflict):
        await runtime.signal("papers", "a", 2, message_id="letter-1")
    for name, correlation, payload in [("No name", "a", 1), ("papers", "", 1), ("papers", "a", float("inf"))]:
        with pytest.raises(InputInvalid):
            await runtime.signal(name, correlation, payload)


# --- following ------------------------------------------------------------------------------------------------------


async def test_followers_see_every_event_once_and_in_order(runtime: Runtime, world: World) -> None:
    workflow_id = await runtime.start("gated", requested_by="alice")
    seen: list[int] = []
    both = asyncio.Event()

    async def follow(after: int) -> list[str]:
        found: list[str] = []
        async for recorded in runtime.follow(workflow_id, after):
            seen.append(recorded.originator_version)
            both.set()
            found.append(recorded.event.stored_name)
            if recorded.event.stored_name == "WorkflowCompleted":
                break
        return found

    following = [asyncio.create_task(follow(after)) for after in (0, 2)]
    await both.wait()
    world.open(workflow_id)
    everything, later = await asyncio.gather(*following)
    assert everything == names(runtime, workflow_id)
    assert later == everything[2:]


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- trouble --------------------------------------------------------------------------------------------------------


async def test_outside_its_with_a_runtime_does_nothing(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, definitions=ALL, examples=False)
    with pytest.raises(StoreError, match="async with"):
        await runtime.start("chain")
    with pytest.raises(StoreError, match="async with"):
        runtime.store.newest()


async def test_a_home_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as error:
        async with Runtime(tmp_path / "file" / "home", definitions=ALL, examples=False):
            pass
    assert re.fullmatch(r"home .*home cannot be made \(.*\); .*", str(error.value))


async def test_a_home_that_is_made_can_be_entered_by_its_owner_alone(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    for home, mode in ((tmp_path / "new", 0o700), (there, 0o755)):
        async with Runtime(home, definitions=ALL, examples=False):
            assert home.stat().st_mode & 0o777 == mode


async def test_one_who_waits_is_told_of_a_store_that_takes_no_outcome(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id = await runtime.start("gated", requested_by="alice")
    await world.here.wait()

    def full(*_: object, **__: object) -> None:
        raise StoreUnavailable("store is on a full disk; free space and run again: nothing was lost")

    with monkeypatch.context() as patched:
        patched.setattr(runtime.store, "save", full)
        waiting = asyncio.create_task(runtime.wait(workflow_id, timeout=10))
        await asyncio.sleep(0)
        world.open(workflow_id)
        with pytest.raises(StoreUnavailable, match="full disk"):
            await waiting
    # Space was made: the outcome was kept, and is recorded now.
    assert (await runtime.wait(workflow_id, timeout=10)).status is Status.COMPLETED
    assert world.calls[f"{workflow_id}/wait/run"] == 1


async def test_a_secret_reaches_neither_store_nor_artifacts_nor_logs(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    value = 'pa55 "word"/x'
    monkeypatch.setenv("HANDRAIL_SECRET_TOKEN", value)

    @activity(effect="pure", secrets=["token"])
    async def leaky(given: Number, context: Context) -> dict[str, str]:
        secret = context.secret("token").reveal()
        context.logger.error("using %s", secret)
        return {"header": f"Bearer {secret}"}

    @activity(effect="pure", secrets=["token"])
    def failing(given: Number, context: Context) -> None:
        raise RuntimeError(f"refused {context.secret('token').reveal()}")

    recipe = Definition("leaking", steps=[Step("leak", leaky), Step("fail", failing)])
    async with Runtime(tmp_path, definitions=[recipe], examples=False) as runtime:
        workflow_id = await runtime.start("leaking", requested_by="alice")
        await until(lambda: "AttemptFailed" in names(runtime, workflow_id))
        state = runtime.store.load(workflow_id)
    assert state.settled["leak"].output == {"header": "Bearer [secret token]"}
    assert b"pa55" not in all_bytes(tmp_path)
    assert "pa55" not in caplog.text
    assert "[secret token]" in caplog.text
