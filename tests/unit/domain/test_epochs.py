"""The store's epoch: begun once a restore, never the same twice, and nobody gets in while it is unfinished."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.errors import StoreUnavailable
from domain.ports import Cursor, Receipt, Request
from domain.store.application import WorkflowStore
from domain.store.deciding import begun_in
from domain.store.epochs import LOCAL_NUMBERS_AN_EPOCH, BeginEpoch, EndRestore, Epoch, read_epoch
from domain.store.opening import open_sqlite_store
from domain.triggers import ForkWorkflow, StartWorkflow, Wake
from tests.unit.domain.scenario import Loaded

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
START = StartWorkflow(goal="goal", definition="test", definition_version="1", requested_by="rita")
REQUEST = Request("wf_1", START, NOON, "cause", "actor", receipt=Receipt("m", "goal", "d"))
SECOND = Epoch(2, doubted_until=NOON)


class Counted:
    """Counts how often it was run along."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, _: Cursor) -> None:
        self.runs += 1


def opened(folder: Path, *, restoring: bool = False, read_only: bool = False) -> WorkflowStore:
    return open_sqlite_store(folder / "s.db", definitions=Loaded(), restoring=restoring, read_only=read_only)


def epoch_of_store(store: WorkflowStore) -> Epoch:
    with store.reading() as cursor:
        return read_epoch(cursor)


def test_a_store_begins_in_its_first_epoch(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.epoch == Epoch(1)
    store.close()


def test_an_unfinished_restore_lets_nobody_in_and_is_begun_once(tmp_path: Path) -> None:
    store, along = opened(tmp_path), Counted()
    begun = BeginEpoch(along, doubt_seconds=60)
    store.run(begun)
    again = BeginEpoch(along, doubt_seconds=60)
    store.run(again)
    assert (again.epoch, along.runs) == (begun.epoch, 1)
    assert begun.epoch.number > 2_000_000_000, "the minute, so that the same backup put back twice begins two"
    store.close()
    with pytest.raises(StoreUnavailable, match="run `handrail restore` again"):
        opened(tmp_path)
    opened(tmp_path, read_only=True).close()
    store = opened(tmp_path, restoring=True)
    store.run(EndRestore())
    store.close()
    store = opened(tmp_path)
    assert store.epoch == replace(begun.epoch, unfinished=False)
    assert store.next_local_number() == begun.epoch.number * LOCAL_NUMBERS_AN_EPOCH + 1
    store.run(second := BeginEpoch(along, doubt_seconds=60))
    assert (second.epoch.number > begun.epoch.number, along.runs) == (True, 2)
    assert epoch_of_store(store) == second.epoch
    store.close()


def started(request: Request, epoch: Epoch = SECOND) -> StartWorkflow:
    trigger = begun_in(epoch, request)
    assert isinstance(trigger, StartWorkflow)
    return trigger


def test_a_goal_that_was_sent_before_is_doubted_and_one_sent_later_is_not() -> None:
    early, late = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)
    assert started(replace(REQUEST, at=early)).doubted
    assert started(replace(REQUEST, at=late)).doubted is None
    assert started(replace(REQUEST, at=late, sent_at=early)).doubted
    assert started(replace(REQUEST, at=late)).epoch == 2


def test_what_has_a_number_of_this_epoch_is_not_doubted_and_what_somebody_named_is() -> None:
    early = replace(REQUEST, at=NOON - timedelta(seconds=1), receipt=None)
    assert started(early).doubted
    assert started(replace(early, workflow_id="wf_007")).doubted
    assert started(replace(early, workflow_id="wf_20001")).doubted is None


def test_a_child_of_a_workflow_that_began_in_this_epoch_is_not_doubted() -> None:
    child = START.model_copy(update={"parent_workflow": "wf_20001", "parent_step": "enrol"})
    early = replace(REQUEST, workflow_id="wf_20001.enrol", trigger=child, at=NOON - timedelta(seconds=1))
    assert started(early).doubted is None


def test_a_child_of_a_doubted_workflow_stays_doubted() -> None:
    child = START.model_copy(update={"doubted": True})
    assert started(replace(REQUEST, trigger=child, at=NOON, receipt=None)).doubted


def test_in_the_first_epoch_and_for_other_triggers_nothing_is_said() -> None:
    assert begun_in(Epoch(), REQUEST) is START
    wake = Wake()
    assert begun_in(SECOND, replace(REQUEST, trigger=wake)) is wake
    fork = ForkWorkflow(source="wf_9", source_version=1, source_digest="0", state={}, requested_by="fred")
    forked = begun_in(SECOND, replace(REQUEST, trigger=fork))
    assert isinstance(forked, ForkWorkflow)
    assert forked.epoch == 2
