"""The check that decides histories again: what differs is stuck and says why, until it agrees again."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from deploy.replays import AGAIN, FIRST_LOOK_SECONDS, LOOK_SECONDS, WALK_AGAIN, Replays, position_name
from deploy.stuck_facts import facts_of
from domain.definitions import Definition
from domain.errors import StoreUnavailable
from domain.triggers import CancelWorkflow
from handrail import ApprovalPolicy, GatePolicy, Step
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.queries import stuck_workflows
from projections.stuck import judge
from projections.thresholds import Thresholds
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import ASKING, CHAIN, common
from tests.integration.outbound.stage import Process, loaded

OTHERWISE = Definition("asking review", steps=[Step("ask", common)])
"""As ASKING, by name and version, and without the approval."""


class Check:
    """The check of one process, on a clock of its own."""

    def __init__(self, process: Process, *known: Definition, per_second: float = 2.0) -> None:
        self.process = process
        self.store = process.store
        self.now = datetime.now(UTC)
        self.pauses: list[float] = []
        self.computed = 0.0
        self.each_seconds = 0.0
        definitions = loaded(*known)
        self.replays = Replays(
            process.store,
            definitions,
            definitions,
            clock=lambda: self.now,
            checks_per_second=per_second,
            pause=self.pause,
            used_seconds=self.used,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def used(self) -> float:
        self.computed += self.each_seconds
        return self.computed

    async def round(self) -> list[tuple[str, str]]:
        """One round, and what is stuck then."""
        await self.replays.round()
        return self.stuck()

    def keep(self) -> None:
        catch_up(Keeper(self.store), LogReader(self.store.recorder, self.store.mapper.read))

    def stuck(self) -> list[tuple[str, str]]:
        """What is stuck when what is due has been judged."""
        keeper = Keeper(self.store)
        keeper.begin()
        rows = keeper.to_judge(self.now, 100)
        facts = facts_of(self.store, rows, {})
        keeper.judged([(row, judge(row, facts, self.now, Thresholds())) for row in rows])
        return [(row["workflow_id"], row["stuck_cause"]) for row in stuck_workflows(self.store.query)]

    def rewrite(self, workflow_id: str, change: Callable[[bytes], bytes]) -> None:
        """Change a workflow's first event in the store."""
        with self.store.transaction() as cursor:
            ((state,),) = cursor.query(
                "SELECT state FROM stored_events WHERE originator_id = ? AND originator_version = 1", (workflow_id,)
            )
            cursor.execute(
                "UPDATE stored_events SET state = ? WHERE originator_id = ? AND originator_version = 1",
                (change(bytes(state)), workflow_id),
            )


async def blocked_and_closed(process: Process) -> None:
    """One workflow that waits for a person, one that was cancelled, one that is under way."""
    await process.start(ASKING, 1, "asks")
    await process.start(CHAIN, 2, "chain")
    await process.ask("chain_000", CancelWorkflow(by="olga", reason="a test"))


async def test_what_agrees_is_not_stuck_and_costs_its_time(begin: Begin) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    check = Check(process, ASKING, CHAIN)
    check.keep()
    assert await check.round() == []
    assert check.replays.checked == 2
    assert check.pauses == [0.5, 0.5, 0.5], "for each that was decided again, and for the stretch of the log"
    await check.round()
    assert check.replays.checked == 2, "nothing has come to rest since"


async def test_at_rest_a_round_asks_one_statement(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    check = Check(process, ASKING, CHAIN)
    check.keep()
    await check.round()
    asked: list[str] = []
    query = process.store.query

    def counted(statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        asked.append(statement)
        return query(statement, parameters)

    def refused(*_: object) -> None:
        raise StoreUnavailable("nothing else is to be asked")

    monkeypatch.setattr(process.store, "query", counted)
    monkeypatch.setattr(process.store, "transaction", refused)
    monkeypatch.setattr(process.store, "reading", refused)
    await check.replays.round()
    assert len(asked) == 1


async def test_what_is_decided_otherwise_is_stuck_until_it_agrees_again(begin: Begin) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    other = Check(process, OTHERWISE, CHAIN)
    other.keep()
    assert await other.round() == [("asks_000", "replay_mismatch")]
    ((version, words),) = process.store.query("SELECT version, words FROM replay_mismatches")
    assert version > 1
    assert "decided again it is" in words
    check = Check(process, ASKING, CHAIN)
    assert await check.round() == []
    assert process.store.query("SELECT workflow_id FROM replay_mismatches") == []


async def test_a_definition_that_was_changed_and_kept_its_version_is_found_in_what_was_looked_at_before(
    begin: Begin,
) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    check = Check(process, ASKING, CHAIN)
    check.keep()
    assert await check.round() == []
    assert await Check(process, OTHERWISE, CHAIN).round() == [("asks_000", "replay_mismatch")]


def test_whatever_is_data_of_a_definition_makes_another_walk() -> None:
    names = [
        position_name([Definition("one", steps=[Step("a", common)], **more)])
        for more in (
            {},
            {"version": "2"},
            {"parallel": 2},
            {"on_failure": "intervene"},
            {"approvals": [ApprovalPolicy(required=2)]},
            {"gates": [GatePolicy(name="strict", verdict="deny")]},
        )
    ]
    names += [position_name([Definition("one", steps=[Step("b", common)])])]
    assert len(set(names)) == len(names)
    assert position_name([Definition("one", steps=[Step("a", common)])]) == names[0]


async def test_a_history_that_was_changed_in_the_store_is_found_and_forgotten_when_put_right(begin: Begin) -> None:
    process = begin(ASKING, CHAIN)
    await process.start(CHAIN, 1, "chain")
    await process.ask("chain_000", CancelWorkflow(by="olga", reason="a test"))
    check = Check(process, ASKING, CHAIN)
    check.keep()
    await check.round()
    check.rewrite("chain_000", lambda state: state.replace(b'"alice"', b'"mallory"'))
    assert await check.round() == [], "it was looked at before"
    check.now += WALK_AGAIN
    await check.round()
    assert await check.round() == [("chain_000", "replay_mismatch")]
    check.rewrite("chain_000", lambda state: state.replace(b'"mallory"', b'"alice"'))
    assert await check.round() == [("chain_000", "replay_mismatch")]
    check.now += AGAIN
    assert await check.round() == []


async def test_what_is_not_loaded_is_passed_over_and_looked_at_by_who_has_it(begin: Begin) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    check = Check(process, CHAIN)
    check.keep()
    assert await check.round() == []
    assert check.replays.checked == 1
    both = Check(process, ASKING, CHAIN)
    await both.round()
    assert both.replays.checked == 2
    names = [name for (name,) in process.store.query("SELECT name FROM positions WHERE name LIKE 'replays-%'")]
    assert len(names) == 1


async def test_another_engine_decided_otherwise_is_no_mismatch(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    check = Check(process, OTHERWISE, CHAIN)
    check.keep()
    monkeypatch.setattr("domain.replay.ENGINE", "2")
    assert await check.round() == []
    assert check.replays.checked == 2


async def test_a_longer_computation_is_paid_for_with_a_longer_pause(begin: Begin) -> None:
    process = begin(ASKING)
    await process.start(ASKING, 1, "asks")
    check = Check(process, ASKING)
    check.keep()
    check.each_seconds = 0.1
    await check.round()
    # A tenth of a second for reading, and one for deciding, of a hundredth of a core.
    assert check.pauses == [pytest.approx(20.0), 0.5]


async def test_what_is_handrails_own_is_not_looked_at(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    check = Check(process, ASKING, CHAIN)
    check.keep()
    monkeypatch.setattr("deploy.replays.is_hidden", lambda name: name == CHAIN.name)
    await check.round()
    assert check.replays.checked == 1


async def test_of_very_many_that_differ_some_are_decided_again_at_a_time(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.replays.DIFFERING_AT_ONCE", 2)
    process = begin(ASKING)
    names = await process.start(ASKING, 5, "asks")
    other = Check(process, OTHERWISE)
    other.keep()
    assert await other.round() == [(name, "replay_mismatch") for name in names]
    check = Check(process, ASKING)
    check.replays._position = check.store.newest()  # the walk is through
    check.replays._some_differ = True
    left = []
    for _ in range(4):
        check.now += AGAIN
        await check.replays.round()
        left.append(check.store.query("SELECT count(*) FROM replay_mismatches")[0][0])
    assert left == [3, 1, 0, 0]


async def test_the_next_process_goes_on_where_the_last_one_was(begin: Begin) -> None:
    process = begin(ASKING, CHAIN)
    await blocked_and_closed(process)
    first, second = Check(process, ASKING, CHAIN), Check(process, ASKING, CHAIN)
    first.keep()
    await first.round()
    await process.ask("chain_001", CancelWorkflow(by="olga", reason="a test"))
    first.keep()
    await second.round()
    assert (first.replays.checked, second.replays.checked) == (2, 1)


class Enough(Exception):
    """It has run for long enough."""


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), ValueError("a fault")])
async def test_trouble_is_waited_out(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    check = Check(begin(ASKING), ASKING)
    rounds: list[int] = []

    async def round_() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise trouble

    async def pause(seconds: float) -> None:
        check.pauses.append(seconds)
        if len(check.pauses) == 3:
            raise Enough

    monkeypatch.setattr(check.replays, "round", round_)
    monkeypatch.setattr(check.replays, "_pause", pause)
    with caplog.at_level(logging.WARNING), pytest.raises(Enough):
        await check.replays.run()
    assert check.pauses == [FIRST_LOOK_SECONDS, LOOK_SECONDS, LOOK_SECONDS]
    assert len(rounds) == 2
    assert "not decided again for now" in caplog.text


async def test_a_rate_of_nothing_is_off(begin: Begin) -> None:
    check = Check(begin(ASKING), ASKING, per_second=0.0)
    await check.replays.run()
    assert check.pauses == []


def test_times_are_in_order() -> None:
    assert timedelta(seconds=FIRST_LOOK_SECONDS) < timedelta(seconds=LOOK_SECONDS) < AGAIN < WALK_AGAIN
