"""What still travels of a time that was lost with its store is recognised by its message id, and buried."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.claims import Claims
from consumers.restoring import RevokeAll, live_claims
from consumers.settlement import Delivered
from domain.definitions import activity
from domain.ids import EPOCH_ATTEMPTS, message_id
from domain.messages.names import Fault
from domain.ports import Command
from domain.store.application import WorkflowStore
from domain.store.epochs import EPOCH
from tests.unit.consumers.intake_stage import Process
from tests.unit.consumers.stage import LEASE_SECONDS, OWNER, DatabaseClock, Workshop, open_inbox, put, rows
from tests.unit.consumers.test_dead_commands import Morgue
from tests.unit.consumers.test_foreign import QUEUE, begun, outcome, set_state
from tests.unit.consumers.test_waiting import Received


@activity(effect="once", pivot=True, name="a")
async def act(given: dict[str, Any]) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, DatabaseClock())
    yield opened
    opened.close()


def raise_epoch(store: WorkflowStore, number: int = 2) -> None:
    with store.transaction() as cursor:
        cursor.execute("INSERT INTO store_facts (name, value) VALUES (?, ?)", (EPOCH, str(number)))


def of_epoch(command: Command, number: int) -> Command:
    attempt = (number - 1) * EPOCH_ATTEMPTS + 1
    name = message_id(command.workflow_id, command.step, command.kind, attempt)
    return replace(command, attempt=attempt, message_id=name)


async def test_a_command_of_an_older_epoch_is_buried_whether_its_row_is_there_or_not(store: WorkflowStore) -> None:
    shop = Workshop(act)
    received = Received(store, shop)
    known, unknown = shop.command("a", "wf_1"), shop.command("a", "wf_2")
    put(store, "wf_1")
    store.run(RevokeAll())
    raise_epoch(store)
    received.consumer.put([known, unknown, of_epoch(unknown, 2)])
    await received.turn()
    assert received.told == [
        ("wf_1", Delivered.EPOCH_PASSED),
        ("wf_2", Delivered.EPOCH_PASSED),
        ("wf_2", Delivered.UNKNOWN),
    ]
    assert shop.decisions.outcomes == []


async def test_in_one_epoch_nothing_is_of_an_older_one(store: WorkflowStore) -> None:
    received = Received(store, shop := Workshop(act))
    received.consumer.put([shop.command("a", "wf_1")])
    await received.turn()
    assert received.told == [("wf_1", Delivered.UNKNOWN)]


@pytest.mark.parametrize("scheduled", [True, False])
async def test_a_dead_command_of_an_older_epoch_is_parked_and_told_to_nobody(
    store: WorkflowStore, scheduled: bool
) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled(state="revoked") if scheduled else morgue.shop.command("a", "wf_9")
    raise_epoch(store)
    await morgue.intake([morgue.dead(command)])
    assert [one.fault for one in morgue.parked] == [Fault.EPOCH_PASSED]
    assert morgue.told == []


@pytest.mark.parametrize("there", [True, False])
async def test_an_outcome_of_an_older_epoch_is_buried_and_changes_nothing(process: Process, there: bool) -> None:
    command = await begun(process)
    workflow_id = command.partition("/")[0]
    before = process.names(workflow_id)
    if there:
        assert set_state(process, command, "revoked") == 1
    raise_epoch(process.store)
    await process.send(outcome(command if there else f"{workflow_id}/scan/run/7"))
    (buried,) = process.dead
    assert buried[0] == QUEUE
    assert Fault.EPOCH_PASSED in buried
    assert process.names(workflow_id) == before


async def test_a_restore_revokes_what_is_open_claimed_or_handed_over(store: WorkflowStore) -> None:
    names = ("wf_1", "wf_2", "wf_3")
    for name in names:
        put(store, name)
    one, two, _ = (Workshop(act).command("a", name).message_id for name in names)
    claims = Claims(store, OWNER, lease_seconds=LEASE_SECONDS)
    assert claims.claim([one]) == {one}
    assert claims.hand_over([two]) == {two}
    assert live_claims(store) == 1
    store.run(RevokeAll())
    assert {state for state, _ in rows(store).values()} == {"revoked"}
    assert live_claims(store) == 0
