"""What covering payloads promises, whatever the database: nothing in clear, nothing moved unseen, no key no payload.

`ring` is a key ring of its own; `plain` opens the same database without it.
"""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.keyring import RingFile, new_ring
from domain.errors import EventCorrupt, StoreUnavailable
from domain.ports import Cursor
from domain.state import Status
from domain.store.application import WorkflowStore
from domain.store.covers import ENCRYPTED, Covers
from domain.triggers import PauseWorkflow
from tests.contracts.stage import Stage, goal
from tests.contracts.staged import RESUME, Staged, Stages

WORD = "Wolpertinger"
PAUSED = PauseWorkflow(by="ann", reason=WORD)

Covered = Callable[..., Stage]


_OTHERS_STATE = "UPDATE stored_events SET state = (SELECT state FROM stored_events WHERE {}) WHERE {}"
_SECOND = "originator_id = 'wf_1' AND originator_version = 2"
CHANGES = {
    "another version's": _OTHERS_STATE.format("originator_id = 'wf_1' AND originator_version = 3", _SECOND),
    "another workflow's": _OTHERS_STATE.format("originator_id = 'wf_2' AND originator_version = 2", _SECOND),
    "another workflow's key": "UPDATE workflow_keys SET wrapped = "
    "(SELECT wrapped FROM workflow_keys WHERE workflow_id = 'wf_2') WHERE workflow_id = 'wf_1'",
    "no key": "UPDATE workflow_keys SET wrapped = NULL, key_id = NULL, clear_upto = NULL WHERE workflow_id = 'wf_1'",
    "in clear": "UPDATE workflow_keys SET clear_upto = 100 WHERE workflow_id = 'wf_1'",
}


class Damage:
    """A statement that somebody runs who can write to the database."""

    def __init__(self, statement: str, *parameters: Any) -> None:
        self.statement = statement
        self.parameters = parameters

    def run(self, cursor: Cursor) -> None:
        assert cursor.execute(self.statement, self.parameters) > 0


def everything(store: WorkflowStore) -> dict[str, bytes]:
    """Every row of every table that holds events, snapshots, keys or facts, as bytes."""
    found = {}
    for table in ("stored_events", "stored_snapshots", "workflow_keys", "store_facts", "inbox"):
        found[table] = b"".join(_bytes(value) for row in store.query(f"SELECT * FROM {table}") for value in row)
    return found


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


class CoversContract(Staged):
    @pytest.fixture
    def ring(self, tmp_path: Path) -> Path:
        path = tmp_path / "ring.json"
        new_ring(path)
        return path

    @pytest.fixture
    def covered(self, place: Any, ring: Path) -> Iterator[Covered]:
        """Opens further processes with a ring: this one's, or another's."""
        opened: list[Stage] = []

        def another(path: Path = ring, **options: Any) -> Stage:
            covers = Covers(RingFile(path))
            opened.append(Stage(lambda **more: self.opened(place, covers=covers, **more), **options))
            return opened[-1]

        yield another
        for one in opened:
            one.store.close()

    @pytest.fixture
    def stage(self, covered: Covered) -> Stage:
        return covered()

    def finished(self, stage: Stage, workflow_id: str = "wf_1") -> None:
        stage.begun.taken()
        stage.done(stage.ask(workflow_id, goal(f"count {WORD}"), f"goal/{workflow_id}"))
        commands = stage.begun.taken()
        while commands:
            stage.done(*[stage.outcome(one, output={"value": 1, "word": WORD}) for one in commands])
            commands = stage.begun.taken()

    # --- what is kept

    def test_workflows_go_to_their_ends_and_are_read_by_other_processes(self, stage: Stage, covered: Covered) -> None:
        self.finished(stage)
        other = covered()
        assert other.store.load("wf_1").status is Status.COMPLETED
        assert [one.payload for one in other.checked("wf_1")] == [one.payload for one in stage.checked("wf_1")]
        assert WORD.encode() in other.checked("wf_1")[0].payload
        assert [one.event.originator_version for one in other.store.select(0, 100)] == list(
            range(1, len(stage.checked("wf_1")) + 1)
        )

    def test_nothing_of_a_payload_is_in_the_store(self, stage: Stage) -> None:
        self.finished(stage)
        stage.done(stage.ask("wf_2", goal(f"count {WORD}"), "goal/wf_2"))
        for _ in range(110):
            stage.done(stage.ask("wf_2", PAUSED), stage.ask("wf_2", RESUME))
        assert stage.store.query("SELECT count(*) FROM stored_snapshots") != [(0,)]
        for table, content in everything(stage.store).items():
            assert WORD.encode() not in content, table
            assert base64.b64encode(WORD.encode())[:12] not in content, table

    def test_a_snapshot_is_gone_on_from(self, stage: Stage, covered: Covered) -> None:
        stage.begin("wf_1")
        for _ in range(110):
            stage.done(stage.ask("wf_1", PAUSED), stage.ask("wf_1", RESUME))
        ((version,),) = stage.store.query("SELECT originator_version FROM stored_snapshots")
        stage.store.run(Damage("UPDATE stored_events SET state = ? WHERE originator_version = 1", b"gone"))
        assert covered().store.load("wf_1").version > version, "only what came after it was read"

    # --- rings

    def test_a_covered_store_is_not_opened_without_a_ring_nor_with_another(
        self, stage: Stage, stages: Stages, covered: Covered, tmp_path: Path
    ) -> None:
        self.finished(stage)
        with pytest.raises(StoreUnavailable, match="are encrypted: name the key ring, HANDRAIL_ENCRYPTION_KEYS"):
            stages.open("one")
        other = tmp_path / "other.json"
        new_ring(other)
        with pytest.raises(StoreUnavailable, match="it is the ring of another store"):
            covered(other)

    def test_a_store_with_workflows_in_clear_is_not_opened_with_a_ring(self, stages: Stages, covered: Covered) -> None:
        stages.open("one").begin("wf_1")
        with pytest.raises(StoreUnavailable, match="run `handrail keys enable`"):
            covered()

    # --- who changes the database

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_what_was_moved_or_changed_is_found(self, stage: Stage, covered: Covered, change: str) -> None:
        self.finished(stage, "wf_1")
        self.finished(stage, "wf_2")
        stage.store.run(Damage(change))
        with pytest.raises(EventCorrupt, match="wf_1"):
            covered().checked("wf_1")
        assert covered().checked("wf_2")

    def test_an_unknown_key_id_is_named(self, stage: Stage, covered: Covered) -> None:
        self.finished(stage)
        stage.store.run(Damage("UPDATE workflow_keys SET key_id = 'k9'"))
        with pytest.raises(StoreUnavailable, match="'k9', which the key ring lacks"):
            covered().checked("wf_1")

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_a_changed_header_digest_or_payload_is_found(self, stage: Stage, covered: Covered, part: int) -> None:
        self.finished(stage)
        ((state,),) = stage.store.query("SELECT state FROM stored_events WHERE originator_version = 2")
        parts = bytes(state).split(b"\n", 2)
        last = parts[part][-1]
        parts[part] = parts[part].replace(b"ann", b"bob") if part == 0 else parts[part][:-1] + bytes([last ^ 1])
        changed = b"\n".join(parts)
        assert changed != bytes(state)
        stage.store.run(Damage("UPDATE stored_events SET state = ? WHERE originator_version = 2", changed))
        with pytest.raises(EventCorrupt, match="event 2"):
            covered().checked("wf_1")

    def test_a_payload_in_clear_is_not_believed(self, stage: Stage, covered: Covered) -> None:
        self.finished(stage)
        event = stage.checked("wf_1")[1]
        clear = b"\n".join((event.header, f"{event.previous} {event.payload_digest}".encode(), event.payload))
        stage.store.run(Damage("UPDATE stored_events SET state = ? WHERE originator_version = 2", clear))
        with pytest.raises(EventCorrupt, match="its payload is clear and must be covered"):
            covered().checked("wf_1")

    def test_a_history_in_clear_is_not_believed_where_its_key_says_so(self, stage: Stage, covered: Covered) -> None:
        self.finished(stage)
        for event in stage.checked("wf_1"):
            clear = b"\n".join((event.header, f"{event.previous} {event.payload_digest}".encode(), event.payload))
            where = f"originator_version = {event.originator_version}"
            stage.store.run(Damage(f"UPDATE stored_events SET state = ? WHERE {where}", clear))
        stage.store.run(Damage("UPDATE workflow_keys SET clear_upto = 100"))
        with pytest.raises(EventCorrupt, match="the key of workflow wf_1 does not open"):
            covered().checked("wf_1")

    def test_a_mark_that_was_taken_away_is_found(self, stage: Stage, stages: Stages, covered: Covered) -> None:
        self.finished(stage)
        stage.store.run(Damage(f"DELETE FROM store_facts WHERE name = '{ENCRYPTED}'"))
        with pytest.raises(StoreUnavailable, match="keys enable"):
            covered()
        with pytest.raises(EventCorrupt):
            stages.open("one").checked("wf_1")
