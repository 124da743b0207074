"""What the store keeps in memory and beside the events: bounded, and passed over wherever it does not fit them."""

from collections.abc import Callable, Sequence

import pytest

from domain.errors import EventCorrupt
from domain.ports import Command
from domain.state import STATE, Status
from domain.store.snapshots import EVENTS_AT_LEAST
from tests.contracts.stage import Stage
from tests.contracts.staged import PAUSE, RESUME, Staged, Stages

ANOTHER_S_STATE = "SELECT state FROM stored_events WHERE originator_id = 'wf_3' AND originator_version = 2"


def change_state(stage: Stage, table: str, where: str, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the state of the rows; as a program with the database's password could."""
    with stage.store.transaction() as cursor:
        found = cursor.query(f"SELECT originator_id, originator_version, state FROM {table} WHERE {where}")
        assert found
        for name, version, state in found:
            assert change(bytes(state)) != state
            cursor.execute(
                f"UPDATE {table} SET state = ? WHERE originator_id = ? AND originator_version = ?",
                (change(bytes(state)), name, version),
            )


def without_origin(state: bytes) -> bytes:
    """The event without the digest of the one before it."""
    header, digests, payload = state.split(b"\n", 2)
    return b"\n".join((header, b"0" * 64 + digests[64:], payload))


class MemoryContract(Staged):
    # --- memory

    def test_memory_is_bounded(self, stages: Stages) -> None:
        stage = stages.open("one", workflows_held=2)
        commands = stage.begin(*[f"wf_{number}" for number in range(10)])
        assert len(stage.store.shelf) == 2
        for command in commands:
            stage.go_on([command])
        assert len(stage.store.shelf) == 2
        assert {len(stage.checked(f"wf_{number}")) for number in range(10)} == {len(stage.checked("wf_0"))}

    def test_unknown_workflows_take_no_memory(self, stage: Stage) -> None:
        stage.decide(*[stage.ask(f"wf_{number}", PAUSE) for number in range(50)])
        assert len(stage.store.shelf) == 0

    # --- snapshots and keys

    def toggled(self, stage: Stage, workflow_id: str, pairs: int = 50) -> None:
        """Two events more for each pair, and no step further."""
        stage.done(*[stage.ask(workflow_id, trigger) for _ in range(pairs) for trigger in (PAUSE, RESUME)])

    def snapshotted(self, stage: Stage, workflow_id: str) -> list[Command]:
        """A workflow whose newest event is in its snapshot; the commands it goes on with."""
        commands = stage.begin(workflow_id)
        while not stage.store.query("SELECT 1 FROM stored_snapshots WHERE originator_id = ?", (workflow_id,)):
            self.toggled(stage, workflow_id)
        return commands

    def test_a_long_workflow_is_loaded_from_its_snapshot(self, stage: Stage, other: Stage) -> None:
        commands = self.snapshotted(stage, "wf_1")
        first = stage.store.query("SELECT originator_version FROM stored_snapshots")
        for _ in range(3):
            self.toggled(stage, "wf_1")
        ((version,),) = stage.store.query("SELECT originator_version FROM stored_snapshots")
        assert version > first[0][0] > EVENTS_AT_LEAST
        stage.go_on(commands)
        whole = stage.checked("wf_1")
        assert len(whole) > version
        state = other.store.load("wf_1")
        assert state == other.store.load("wf_1", upto=len(whole))
        assert (state.version, state.head) == (len(whole), whole[-1].digest)

    def test_it_goes_on_from_its_snapshot(self, stage: Stage, other: Stage) -> None:
        other.finish(self.snapshotted(stage, "wf_1"))
        assert other.store.load("wf_1").status is Status.COMPLETED
        assert other.checked("wf_1")

    def test_a_short_workflow_has_no_snapshot(self, stage: Stage) -> None:
        stage.finish(stage.begin("wf_1"))
        assert stage.store.query("SELECT 1 FROM stored_snapshots") == []

    @pytest.mark.parametrize(
        "spoiled",
        [
            "state = 'x'",
            "topic = 'State@0.older'",
            "originator_version = originator_version - 1",
            "state = (SELECT state FROM stored_snapshots WHERE originator_id = 'wf_2')",
        ],
    )
    def test_a_snapshot_that_does_not_fit_is_passed_over(self, stage: Stage, other: Stage, spoiled: str) -> None:
        commands = self.snapshotted(stage, "wf_1")
        self.snapshotted(stage, "wf_2")
        change_state(stage, "stored_snapshots", "true", lambda state: state.replace(b'"goal":"count"', b'"goal":"lie"'))
        with stage.store.transaction() as cursor:
            assert cursor.execute(f"UPDATE stored_snapshots SET {spoiled} WHERE originator_id = 'wf_1'") == 1
        loaded = other.store.load("wf_1")
        assert (loaded.workflow_id, loaded.goal, loaded.head) == ("wf_1", "count", stage.checked("wf_1")[-1].digest)
        other.go_on(commands)
        assert other.checked("wf_1")

    def test_a_snapshot_that_its_events_do_not_follow_is_passed_over(self, stage: Stage, other: Stage) -> None:
        commands = stage.go_on(self.snapshotted(stage, "wf_1"))
        with stage.store.transaction() as cursor:
            ((state,),) = cursor.query("SELECT state FROM stored_snapshots")
            head = STATE.validate_json(state).head
            changed = bytes(state).replace(head.encode(), b"0" * 64)
            assert cursor.execute("UPDATE stored_snapshots SET state = ?", (changed,)) == 1
        assert other.store.load("wf_1").head == stage.checked("wf_1")[-1].digest
        other.go_on(commands)
        assert other.checked("wf_1")

    def test_a_workflow_has_one_key_for_its_life(self, stage: Stage, other: Stage) -> None:
        stage.begin("wf_1", "wf_2")
        keys: dict[str, str] = stage.rows("workflow_keys")
        assert len(set(keys.values())) == 2
        assert {len(bytes.fromhex(key)) for key in keys.values()} == {32}
        other.done(other.ask("wf_1", PAUSE))
        assert stage.rows("workflow_keys") == keys
        loaded = other.store.shelf.take(["wf_1"])["wf_1"]
        assert getattr(loaded, "workflow").key.hex() == keys["wf_1"]  # noqa: B009 - it is no StoreError

    # --- what is damaged

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            ("UPDATE stored_events SET state = 'x' WHERE", "cannot be read"),
            ("UPDATE stored_events SET topic = 'Unheard' WHERE", "another event"),
            ("DELETE FROM stored_events WHERE", "event 2 is missing"),
            (f"UPDATE stored_events SET state = ({ANOTHER_S_STATE}) WHERE", "another event"),
        ],
    )
    def test_a_broken_event_stops_its_workflow_only(self, stage: Stage, other: Stage, damage: str, words: str) -> None:
        commands = stage.begin("wf_1", "wf_2", "wf_3")
        with stage.store.transaction() as cursor:
            assert cursor.execute(f"{damage} originator_id = 'wf_2' AND originator_version = 2") == 1
        self.only_that_one_stops(other, commands, words)

    def test_so_does_one_that_does_not_follow(self, stage: Stage, other: Stage) -> None:
        commands = stage.begin("wf_1", "wf_2", "wf_3")
        change_state(stage, "stored_events", "originator_id = 'wf_2' AND originator_version = 2", without_origin)
        self.only_that_one_stops(other, commands, "does not follow the event before it")

    def only_that_one_stops(self, other: Stage, commands: Sequence[Command], words: str) -> None:
        turn = other.decide(*[other.outcome(command) for command in commands])
        assert [decided.error is None for decided in turn] == [True, False, True]
        message = str(turn[1].error)
        assert "wf_2" in message
        assert words in message
        assert "\n" not in message

    def test_a_changed_payload_is_found_when_the_chain_is_checked(self, stage: Stage) -> None:
        stage.begin("wf_1")
        change_state(
            stage,
            "stored_events",
            "originator_version = 1",
            lambda state: state.replace(b'"goal":"count"', b'"goal":"steal"'),
        )
        assert stage.store.read("wf_1")[0].event.model_dump()["goal"] == "steal"
        with pytest.raises(EventCorrupt, match="wf_1 event 1"):
            stage.store.read("wf_1", verified=True)
