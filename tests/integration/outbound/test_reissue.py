"""What is issued again: everything by `reconcile`; by itself what is lost, and not what merely waits in a queue."""

from collections.abc import Sequence
from typing import Any

import pytest

from domain.ports import Request
from domain.triggers import RecordDecision
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import ASKING, CHAIN, LONELY
from tests.integration.outbound.stage import Process, ScriptedBroker, damage, running, until, utc_now


class _Shifted:
    """All open commands were issued so many seconds earlier than they were, and are due; or only some of them."""

    def __init__(self, seconds: float, like: str = "%") -> None:
        self._seconds = seconds
        self._like = like

    def run(self, cursor: Any) -> None:
        cursor.execute(
            "UPDATE inbox SET issued_at = issued_at - ?, issue_after = issue_after - ? "
            "WHERE state = 'open' AND workflow_id LIKE ?",
            (self._seconds, self._seconds, self._like),
        )


async def sent_by_the_relay(process: Process, broker: ScriptedBroker, count: int) -> None:
    async with process.relaying():
        await until(lambda: broker.published.total() >= count)


# --- reconcile ------------------------------------------------------------------------------------------------------


async def test_everything_outstanding_is_issued_again_after_the_queues_were_lost(
    begin: Begin, broker: ScriptedBroker
) -> None:
    process = begin(CHAIN, ASKING)
    names = await process.start(CHAIN, 30)
    asking = await process.start(ASKING, 3, "asking")
    async with process.relaying():
        await until(lambda: broker.published.total() == 30 and len(broker.told) == 36)
    assert broker.purge() == 30
    broker.told.clear()

    counted = await process.outbound.outstanding.reconcile(dry_run=True)
    assert (counted.commands, counted.approvals, broker.waiting, broker.told) == (30, 3, [], [])
    done = await process.outbound.outstanding.reconcile()
    assert (done.commands_sent, done.approvals_sent) == (30, 3)
    assert sorted(one.correlation_id for one in broker.told) == asking
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended(names))
    assert set(process.ran.values()) == {1}
    assert (await process.outbound.outstanding.reconcile()).commands == 0


async def test_what_the_broker_would_not_take_is_counted_and_parked(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(LONELY)
    await process.start(LONELY, 2)
    broker.unbound.add("lonely")
    done = await process.outbound.outstanding.reconcile()
    assert (done.commands, done.commands_sent, done.parked) == (2, 0, 2)


# --- approvals ------------------------------------------------------------------------------------------------------


async def decide(process: Process, name: str) -> None:
    asked = process.state(name).ballots["ask"].request
    trigger = RecordDecision(
        approval_id=asked.approval_id, round=asked.round, digest=asked.digest, decision="approve", decided_by="bob"
    )
    await process.turns.decide(Request(name, trigger, utc_now(), "decision", "bob"))


async def test_an_approval_is_asked_for_again_until_it_is_decided(
    begin: Begin, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.reminders.FIRST_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("deploy.serving.reconciling.PAGE", 1)
    process = begin(ASKING)
    kept, decided = await process.start(ASKING, 2)
    await decide(process, decided)
    outstanding = process.outbound.outstanding
    counted = await outstanding.reconcile(dry_run=True)
    assert counted.approvals == 1

    async with running(outstanding.remind()):
        await until(lambda: len(broker.told) >= 2)  # told again without end, as no time passes between
    assert {one.correlation_id for one in broker.told} == {kept}


async def test_a_workflow_whose_beginning_cannot_be_read_keeps_no_other_from_being_asked_for(
    begin: Begin, broker: ScriptedBroker
) -> None:
    damaged, other = await begin(ASKING).start(ASKING, 2)
    process = begin(ASKING, name="two")
    damage(process, damaged)
    done = await process.outbound.outstanding.reconcile()
    assert (done.approvals, done.approvals_sent) == (2, 1)
    assert [one.correlation_id for one in broker.told] == [other]


# --- by itself ------------------------------------------------------------------------------------------------------


async def claim(process: Process, names: Sequence[str]) -> None:
    assert process.claims.claim([f"{name}/only/run/1" for name in names]) == {f"{name}/only/run/1" for name in names}


async def test_a_backlog_that_is_being_worked_off_is_not_multiplied(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(LONELY)
    names = await process.start(LONELY, 40)
    await sent_by_the_relay(process, broker, 40)
    process.store.run(_Shifted(100.0))
    await claim(process, names[:5])  # the consumers have come so far
    for _ in range(5):
        await process.sweep.once()
        process.store.run(_Due())
    assert broker.published.total() == 40


async def test_a_command_that_its_queue_has_passed_over_is_issued_again(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(LONELY)
    lost, *others = await process.start(LONELY, 10)
    await sent_by_the_relay(process, broker, 10)
    process.store.run(_Shifted(100.0, lost))
    process.store.run(_Due())
    await claim(process, others[:3])
    await process.sweep.once()
    assert broker.published.most_common(2)[0] == (f"{lost}/only/run/1", 2)
    assert broker.published.total() == 11


async def test_where_nothing_is_claimed_one_command_asks_for_all_and_they_follow_it(
    begin: Begin, broker: ScriptedBroker
) -> None:
    process = begin(LONELY)
    names = await process.start(LONELY, 20)
    await sent_by_the_relay(process, broker, 20)
    broker.purge()
    process.store.run(_Shifted(100.0))
    for _ in range(4):  # no consumers
        await process.sweep.once()
        process.store.run(_Due(but_issued=True))
    assert len(broker.waiting) == 1
    async with process.relaying(), running(process.work(broker)):  # there they are
        await until(lambda: process.ran.total() == 1)
        process.store.run(_Due())
        await process.sweep.once()
        await until(lambda: process.ended(names))
    assert broker.published.total() == 20 + 1 + 19


class _Due:
    """All open commands are due to be looked at now; `but_issued`: those that were not issued again."""

    def __init__(self, *, but_issued: bool = False) -> None:
        self._where = " AND issued = 0" if but_issued else ""

    def run(self, cursor: Any) -> None:
        cursor.execute(f"UPDATE inbox SET issue_after = 0 WHERE state = 'open'{self._where}")
