"""What the relay has parked holds a workflow up where it is a command that nobody has taken; announcements do not."""

from typing import Any

import pytest

from deploy.stuck_facts import facts_of
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rows import WorkflowRow
from projections.sql import load_workflows
from tests.broker.stage import eventually
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import ASKING, LONELY
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
