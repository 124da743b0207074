"""Messages whose definition this process lacks: held with all that was said of them, decided once where it is."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumers import held_messages, later
from consumers.held_messages import AGAIN_AFTER_SECONDS, HELD_FOR, HeldMessage, HeldMessages
from consumers.later import LaterAnswers
from domain.definitions import Definition
from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.events import ApprovalRecorded, DecisionRefused, WorkflowPaused
from domain.faultpoints import arm
from domain.messages.names import Fault, control_type
from domain.transport import Published
from tests.databases import set_clock
from tests.unit.consumers.intake_stage import DEFINITIONS, Process, RecordingPublisher, Settled
from tests.unit.consumers.stage import DatabaseClock
from tests.unit.domain.wire_samples import CONTROL_BODIES, delivery

APPROVALS = "handrail.approvals"
SENT_AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def having(process: Process, clock: DatabaseClock) -> Process:
    """A process that has the definitions."""
    set_clock(process.store, clock)
    return process


@pytest.fixture
def lacking(tmp_path: Path, having: Process, clock: DatabaseClock) -> Iterator[Process]:
    """A process on the same store that has none of them."""
    made = Process(tmp_path / "store.db", having.publisher, having.settled, definitions=())
    set_clock(made.store, clock)
    yield made
    made.store.close()


def held(process: Process) -> list[str]:
    return [row[0] for row in process.store.query("SELECT message_id FROM messages_held ORDER BY held_at")]


def decisions(process: Process, workflow_id: str) -> list[tuple[str, str]]:
    """Who decided, and in whose name it was said."""
    recorded = process.store.read(workflow_id, verified=True)
    return [(one.event.decided_by, one.actor) for one in recorded if isinstance(one.event, ApprovalRecorded)]


# --- holding --------------------------------------------------------------------------------------------------------


async def test_an_approval_is_held_and_decided_on_later_in_its_senders_name(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    assert (lacking.acknowledged, lacking.dead, held(lacking)) == (["m-1", "d-1"], [], ["d-1"])
    assert lacking.counts.received[APPROVALS, "held"] == 1
    assert decisions(having, workflow_id) == []
    assert await lacking.later.once() == (0, 0)

    assert await having.later.once() == (1, 0)
    assert decisions(having, workflow_id) == [("bea", "desk")]
    assert having.receipts()["approval:desk:d-1"] == "approval done"
    assert (held(having), having.dead) == ([], [])


async def test_an_act_of_an_operator_too(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    content = {**CONTROL_BODIES["pause"], "workflow_id": workflow_id}
    await lacking.send(delivery(control_type("pause"), content, message_id="c-1"))
    assert (lacking.acknowledged, held(lacking)) == (["m-1", "c-1"], ["c-1"])
    assert await having.later.once() == (1, 0)
    assert [type(event) for event in having.events(workflow_id)].count(WorkflowPaused) == 1


async def test_what_the_broker_said_of_a_message_stays_with_it(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    headers: dict[str, object] = {"traceparent": "00-1", "handrail-replays": 2, "x-death": [{"count": 1}], "odd": b"\0"}
    sent = replace(
        lacking.decision(workflow_id),
        headers=headers,
        timestamp=SENT_AT,
        app_id="desk\0app",
        correlation_id="c\udcff",
        routing_key="approval.refund",
    )
    body = sent.body
    await lacking.send(sent)
    (one,) = await having.held.take([APPROVALS], ["refund 1"], 10)
    again = one.delivery(lambda _: None)
    expected = replace(sent, headers={"traceparent": "00-1", "handrail-replays": 2}, redelivered=True)
    assert (again, again.body) == (expected, body)


async def test_who_may_not_decide_has_nothing_held(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id, sender="shop"))
    assert lacking.dead == [(APPROVALS, Fault.SENDER_NOT_ALLOWED, "d-1")]
    assert held(lacking) == []


async def test_a_right_that_was_taken_away_meanwhile_counts_no_more(
    having: Process, lacking: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    monkeypatch.setattr("domain.authority.VouchingGrants.may", lambda *_: False)
    await having.later.once()
    assert having.dead == [(APPROVALS, Fault.SENDER_NOT_ALLOWED, "d-1")]
    assert having.publisher.published[0].headers["handrail-original-user-id"] == "desk"
    assert held(having) == []


# --- repeats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_repeat_of_what_is_held_is_held_once(having: Process, lacking: Process, at_once: bool) -> None:
    workflow_id = await having.goal()
    one, again = (lacking.decision(workflow_id) for _ in range(2))
    for turn in [[one, again]] if at_once else [[one], [again]]:
        await lacking.send(*turn)
    assert (lacking.acknowledged, held(lacking)) == (["m-1", "d-1", "d-1"], ["d-1"])


async def test_another_body_under_the_id_of_what_is_held_is_a_conflict(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    await lacking.send(lacking.decision(workflow_id, decided_by="carl"))
    assert lacking.dead == [(APPROVALS, Fault.CONFLICT, "d-1")]
    assert await having.later.once() == (1, 0)
    assert decisions(having, workflow_id) == [("bea", "desk")]


async def test_what_was_decided_on_elsewhere_meanwhile_is_a_repeat(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    await having.send(having.decision(workflow_id))
    assert await having.later.once() == (1, 0)
    assert decisions(having, workflow_id) == [("bea", "desk")]
    assert [type(event) for event in having.events(workflow_id)].count(DecisionRefused) == 0
    assert (held(having), having.dead) == ([], [])


async def test_several_come_back_in_their_order(having: Process, lacking: Process, clock: DatabaseClock) -> None:
    workflow_id = await having.goal()
    names = [f"d-{number}" for number in range(20)]
    await lacking.send(*(lacking.decision(workflow_id, name) for name in names[:12]))
    clock.at += 1
    await lacking.send(*(lacking.decision(workflow_id, name) for name in names[12:]))
    found = await having.held.take([APPROVALS], ["refund 1"], 15)
    assert [one.message_id for one in found] == names[:15]
    assert held(having) == names
    assert having.store.query("SELECT count(DISTINCT held_at) FROM messages_held") == [(20,)], "no order by chance"


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["MOST_HELD", "MOST_HELD_BYTES"])
async def test_so_many_are_held_at_most(
    having: Process, lacking: Process, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    workflow_id = await having.goal()
    messages = [lacking.decision(workflow_id, f"d-{number}") for number in range(3)]
    monkeypatch.setattr(held_messages, bound, 2 if bound == "MOST_HELD" else 2 * len(messages[0].body))
    await lacking.send(*messages)
    assert held(lacking) == ["d-0", "d-1"]
    assert lacking.dead == [(APPROVALS, Fault.DEFINITION_UNKNOWN, "d-2")]
    assert "2 messages wait for definitions, and no more are held" in lacking.reasons[0]
    await lacking.send(lacking.decision(workflow_id, "d-1"))
    assert len(lacking.dead) == 1, "what is held already is held"


async def test_after_a_day_it_goes_to_the_dead_queue_whoever_finds_it(
    having: Process, lacking: Process, clock: DatabaseClock
) -> None:
    workflow_id = await having.goal()
    await lacking.send(replace(lacking.decision(workflow_id), timestamp=SENT_AT))
    clock.at += HELD_FOR.total_seconds() - 1
    assert await lacking.later.once() == (0, 0)
    clock.at += 2
    assert await lacking.later.once() == (1, 0)
    assert lacking.dead == [(APPROVALS, Fault.DEFINITION_UNKNOWN, "d-1")]
    assert "'refund' version '1' is not loaded here" in lacking.reasons[0]
    assert "it was held for 24 hours, and no process that has it took it in" in lacking.reasons[0]
    headers = lacking.publisher.published[0].headers
    assert headers["handrail-original-user-id"] == "desk"
    assert headers["handrail-original-timestamp"] == SENT_AT.isoformat()
    assert held(lacking) == []


async def test_who_has_the_definition_decides_however_old_it_is(
    having: Process, lacking: Process, clock: DatabaseClock
) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    clock.at += 10 * HELD_FOR.total_seconds()
    assert await having.later.once() == (1, 0)
    assert (len(decisions(having, workflow_id)), having.dead) == (1, [])


# --- who takes what -------------------------------------------------------------------------------------------------


async def test_of_two_processes_one_takes(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    assert len(await having.held.take([APPROVALS], ["refund 1"], 10)) == 1
    assert await lacking.held.take([APPROVALS], ["refund 1"], 10) == []


async def test_only_messages_of_the_queues_that_are_served_are_taken(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    having.later.intakes.pop(APPROVALS)
    assert await having.later.once() == (0, 0)
    having.later.intakes.clear()
    assert await having.later.once() == (0, 0)


async def test_what_cannot_be_decided_on_after_all_stays_and_is_tried_at_growing_intervals(
    having: Process, lacking: Process, clock: DatabaseClock
) -> None:
    """A definition of that name and version is loaded, and is not the one that the workflow began on."""
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    mistaken = LaterAnswers(lacking.held, ["refund 1"])
    mistaken.intakes[APPROVALS] = lacking.intake(lacking.intakes[APPROVALS]._source, mistaken)
    pauses = []
    for _ in range(3):
        assert await mistaken.once() == (1, 1)
        ((due,),) = lacking.store.query("SELECT next_try FROM messages_held")
        pauses.append(due - clock.at)
        clock.at = due - 0.5
        assert await mistaken.once() == (0, 0)
        clock.at = due
    assert pauses == pytest.approx([AGAIN_AFTER_SECONDS, 11, 12.1], abs=1e-3)
    assert (held(lacking), lacking.dead) == (["d-1"], [])
    assert await having.later.once() == (1, 0)


# --- trouble --------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_written_down_is_not_acknowledged(
    having: Process, lacking: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id = await having.goal()

    def gone(*_: Any) -> None:
        raise StoreUnavailable("the database is away")

    one = lacking.decision(workflow_id)
    monkeypatch.setattr(lacking.held, "_tell", gone)
    with pytest.raises(StoreUnavailable):
        await lacking.send(one)
    assert (lacking.acknowledged, lacking.dead, held(lacking)) == (["m-1"], [], [])
    monkeypatch.setattr(lacking.held, "_tell", lacking.store.tell)
    await lacking.send(one)
    assert (lacking.acknowledged, held(lacking)) == (["m-1", "d-1"], ["d-1"])


async def test_what_no_dead_queue_takes_stays_held(having: Process, lacking: Process, clock: DatabaseClock) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    clock.at += HELD_FOR.total_seconds() + 1
    lacking.publisher.answers = [Published.REFUSED]
    with pytest.raises(BrokerUnavailable, match="cannot be moved to their dead queue"):
        await lacking.later.once()
    assert held(lacking) == ["d-1"]


class Killed(BaseException):
    """Stands for a process that ends where it is."""


@contextmanager
def killed_at(number: int) -> Iterator[Counter[str]]:
    """Die at the fault point that is reached as this one; how often each was reached."""
    reached: Counter[str] = Counter()

    def die(name: str) -> None:
        reached[name] += 1
        if reached.total() == number:
            raise Killed(name)

    arm(die)
    try:
        with suppress(Killed):
            yield reached
    finally:
        arm(None)


async def decided_on_once(place: Path, number: int) -> tuple[Counter[str], Counter[str]]:
    """A process that lacks the definition, and then one that has it, each killed there; what they reached."""
    clock, publisher, settled = DatabaseClock(), RecordingPublisher(), Settled()

    @contextmanager
    def alive(definitions: Sequence[Definition] = DEFINITIONS) -> Iterator[Process]:
        process = Process(place, publisher, settled, definitions)
        set_clock(process.store, clock)
        try:
            yield process
        finally:
            process.store.close()

    with alive() as beginning:
        workflow_id = await beginning.goal()
        asked = beginning.decision(workflow_id)
    with alive(()) as first, killed_at(number) as holding:
        await first.send(replace(asked))
    if "d-1" not in first.acknowledged:  # the broker still has it
        with alive(()) as again:
            await again.send(replace(asked))
    with alive() as second, killed_at(number) as answering:
        await second.later.once()
    clock.at += 2 * AGAIN_AFTER_SECONDS
    with alive() as last:
        await last.later.once()
        assert decisions(last, workflow_id) == [("bea", "desk")], f"killed at the {number}. point"
        assert (held(last), last.dead) == ([], []), f"killed at the {number}. point"
        assert last.acknowledged.count("d-1") == 1
    return holding, answering


async def test_killed_at_any_point_it_is_decided_on_once(tmp_path: Path) -> None:
    holding, answering = await decided_on_once(tmp_path / "whole.db", 0)
    assert (holding["commit.before"], holding["commit.after"], holding["acknowledge.before"]) == (1, 1, 1)
    assert answering["commit.before"] == answering["commit.after"] == 3, "it takes, decides, forgets"
    for number in range(1, 1 + max(holding.total(), answering.total())):
        await decided_on_once(tmp_path / f"{number}.db", number)


# --- when it looks --------------------------------------------------------------------------------------------------


class Looks(HeldMessages):
    """The table, empty; counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    async def take(self, *_: Any) -> list[HeldMessage]:
        self.times += 1
        return []


async def test_it_looks_when_it_begins_when_it_is_told_and_otherwise_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "LOOK_SECONDS", 0.0)
    looks = Looks()
    hearers: list[Callable[[], None]] = []
    running = asyncio.create_task(LaterAnswers(looks, ["refund 1"], hearers=hearers).run())

    async def settled() -> int:
        for _ in range(20):
            await asyncio.sleep(0)
        return looks.times

    assert await settled() == 1, "nothing is asked while nothing is told"
    for hear in hearers:
        hear()
    assert await settled() == 2
    assert await settled() == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert hearers == []


async def test_it_looks_by_itself_for_what_it_was_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(later, "SELDOM_SECONDS", 0.001)
    looks = Looks()
    running = asyncio.create_task(LaterAnswers(looks, ["refund 1"]).run())
    async with asyncio.timeout(30):
        while looks.times < 3:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
