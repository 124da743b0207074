"""What the relay has parked holds a workflow up where it is a command that nobody has taken; announcements do not."""

from datetime import timedelta
from typing import Any

import pytest

from deploy.stuck_facts import facts_of
from projections.causes import Cause
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rows import WorkflowRow
from projections.sql import load_workflows
from projections.stuck import first_look, judge
from projections.thresholds import SHIPPED, Thresholds
from tests.broker.stage import eventually
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import ASKING, CHAIN, LONELY, PARENT
from tests.integration.outbound.stage import Process


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.01)


def row_of(process: Process, name: str) -> WorkflowRow:
    """A workflow as the views have it."""
    catch_up(Keeper(process.store), LogReader(process.store.recorder, process.store.mapper.read))
    return load_workflows(process.store.query, [name])[name]


async def test_an_announcement_that_a_listener_refuses_holds_nobody_up(begin: Begin, broker: Any) -> None:
    process = begin(ASKING)
    broker.full.add("approval.requested.asking-review")
    (name,) = await process.start(ASKING)
    async with process.relaying():
        await eventually(lambda: len(process.parked()) == 1, "the announcement is kept")
        assert facts_of(process.store, [row_of(process, name)], {}).parked == {}


async def test_a_child_that_the_relay_cannot_begin_lacks_a_definition(begin: Begin) -> None:
    process, without = begin(PARENT, CHAIN), begin(LONELY, name="two")
    (name,) = await process.start(PARENT)
    async with without.relaying():
        await eventually(lambda: len(without.parked()) == 1, "the child is not begun")
        row = row_of(process, name)
        facts = facts_of(process.store, [row], {})
    since = facts.unasked[name]
    over = since + SHIPPED["definition"]
    assert facts.parked == {}
    first = first_look(row, Thresholds())
    assert first is not None
    assert first <= over
    assert judge(row, facts, over - timedelta(milliseconds=1), Thresholds()).stuck is None
    found = judge(row, facts, over, Thresholds())
    assert found.stuck is not None
    assert (found.stuck.cause, found.stuck.since) == (Cause.DEFINITION_MISSING, since)
    assert found.look_at is not None, "nothing of the parent will tell that it was begun"
    async with process.relaying():
        await eventually(lambda: not process.parked(), "it is begun")
        assert facts_of(process.store, [row], {}).unasked == {}


async def test_a_command_does_until_somebody_has_taken_it(begin: Begin, broker: Any) -> None:
    process = begin(LONELY)
    broker.full.add("lonely")
    (name,) = await process.start(LONELY)
    async with process.relaying():
        await eventually(lambda: len(process.parked()) == 1, "the command is kept")
        row = row_of(process, name)
        assert facts_of(process.store, [row], {}).parked.keys() == {name}
        process.claims.claim([f"{name}/only/run/1"])
        assert len(process.parked()) == 1
        assert facts_of(process.store, [row], {}).parked == {}
