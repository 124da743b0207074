"""What every store keeps of archived workflows, and that nothing is ever added to one of them."""

from typing import Any

import pytest

from domain.errors import StoreError, VersionConflict, WorkflowArchived, WorkflowUnknown
from domain.store.recorder import EVENTS
from domain.store.tombstones import Bury, Tombstone, how_many, tombstones_between, tombstones_of
from domain.triggers import CancelWorkflow
from tests.contracts.stage import Stage

CANCEL = CancelWorkflow(by="ann", reason="no")


def tombstone(name: str, began: int = 1, position: int = 9, **others: Any) -> Tombstone:
    given: dict[str, Any] = {
        "definition": "chain",
        "definition_version": "1",
        "status": "completed",
        "version": 9,
        "head": "d" * 64,
        "started_at": "2024-05-01T08:00:00+00:00",
        "ended_at": "2024-05-01T09:00:00+00:00",
        "archived_at": "2025-06-01T09:00:00+00:00",
        "archived_by": "ann",
        "reason": "old",
        "file": "may.jsonl",
        "root": "r" * 64,
    }
    return Tombstone(workflow_id=name, began=began, position=position, **{**given, **others})


class TombstoneContract:
    """Run by each store."""

    def archive(self, stage: Stage, name: str) -> None:
        """Take a workflow away, as archiving does."""
        with stage.store.transaction() as cursor:
            for table, key in ((EVENTS, "originator_id"), ("workflow_keys", "workflow_id")):
                cursor.execute(f"DELETE FROM {table} WHERE {key} = ?", (name,))
            stage.store.recorder.hold_up_inserts(cursor)
            Bury([tombstone(name)]).run(cursor)

    def test_what_is_written_is_read(self, stage: Stage) -> None:
        store = stage.store
        many = [tombstone(f"w{number:03}", began=1_000 - number, position=1_000 + number) for number in range(300)]
        with store.transaction() as cursor:
            Bury(many).run(cursor)
        assert tombstones_of(store.query, [*(one.workflow_id for one in many), "nobody"]) == {
            one.workflow_id: one for one in many
        }
        assert tombstones_between(store.query, 800, 1_000, 1_100, 2) == [many[100], many[99]]
        assert (how_many(store.query), how_many(store.query, "chain"), how_many(store.query, "other")) == (300, 300, 0)
        with pytest.raises(VersionConflict), store.transaction() as cursor:
            Bury([tombstone("w007")]).run(cursor)

    def test_whoever_asks_is_told_where_it_is(self, stage: Stage) -> None:
        stage.begin("a")
        self.archive(stage, "a")
        words = r"'a' \(completed on 2024-05-01\) was archived on 2025-06-01 by ann: its 9 events are in may.jsonl"
        with pytest.raises(WorkflowArchived, match=words):
            stage.store.load("a")
        with pytest.raises(WorkflowArchived, match=r"`handrail import may\.jsonl --read-only"):
            stage.store.read("a")
        with pytest.raises(WorkflowUnknown) as unknown:
            stage.store.load("b")
        assert not isinstance(unknown.value, WorkflowArchived)

    def test_its_id_is_never_given_again(self, stage: Stage) -> None:
        stage.finish(stage.begin("a"))
        self.archive(stage, "a")
        again, other = stage.decide(stage.start("a"), stage.start("b"))
        assert isinstance(again.error, WorkflowArchived)
        assert other.error is None
        (late,) = stage.decide(stage.ask("a", CANCEL))
        assert isinstance(late.error, WorkflowArchived)
        assert stage.store.query(f"SELECT count(*) FROM {EVENTS} WHERE originator_id = 'a'") == [(0,)]

    def test_local_numbers_pass_it_over(self, stage: Stage) -> None:
        stage.begin("wf_001")
        self.archive(stage, "wf_001")
        assert stage.store.next_local_number() == 2

    def test_who_decided_before_it_went_adds_nothing_behind(self, stage: Stage, other: Stage) -> None:
        """The workflow is taken away between a decision on it and its save: nothing of it may come back."""
        stage.begin("a", "b")
        stage.meddler.then = lambda: self.archive(other, "a")
        first, second = stage.decide(stage.ask("a", CANCEL), stage.ask("b", CANCEL))
        assert isinstance(first.error, WorkflowArchived)
        assert second.error is None
        assert second.events
        assert stage.store.query(f"SELECT count(*) FROM {EVENTS} WHERE originator_id = 'a'") == [(0,)]

    def test_the_database_itself_refuses_events(self, stage: Stage) -> None:
        """A process of the version before asks nobody: it inserts."""
        with stage.store.transaction() as cursor:
            Bury([tombstone("a")]).run(cursor)
        with pytest.raises(StoreError, match="this workflow was archived"), stage.store.transaction() as cursor:
            cursor.execute(
                f"INSERT INTO {EVENTS} (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
                ("a", 10, "WorkflowStarted", b"x"),
            )
