"""What erasing promises, whatever the database: nothing is left of what people wrote, and all else still fits."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.erasing import Erasing
from deploy.http.problems import problem_of
from deploy.keyring import RingFile, new_ring
from deploy.opened import SCHEMA as ROOMS
from deploy.rewrapping import enable, rewrap
from domain.errors import EventCorrupt, PayloadWithheld, Refused, StoreUnavailable
from domain.failures import Failure, FailureClass
from domain.faultpoints import arm
from domain.store.application import WorkflowStore
from domain.store.covers import Covers
from domain.store.erasing import counts
from domain.store.positions import MovePosition, position_of
from domain.triggers import CancelWorkflow, RecordOutcome
from producers.relay import RELAY
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection, definition_in
from projections.exporting.redaction import Redaction
from projections.exporting.verifying import Verification
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.queries import list_workflows
from projections.rebuilding import Rebuild
from projections.status import status_of
from tests.contracts import stage as stages_of
from tests.contracts.covers_contract import PAUSED, WORD, Damage
from tests.contracts.stage import Stage, goal
from tests.contracts.staged import RESUME, Staged

SCHEMA = (*ROOMS, *stages_of.SCHEMA[-1:])
NOW = datetime(2024, 6, 1, tzinfo=UTC)
KEPT = ("wf_1", "wf_3")
ALL = Selection()

Covered = Callable[..., Stage]


class Killed(BaseException):
    """Stands for the end of the process."""


class ErasingContract(Staged):
    @pytest.fixture
    def ring(self, tmp_path: Path) -> Path:
        path = tmp_path / "ring.json"
        new_ring(path)
        return path

    @pytest.fixture
    def opening(self, place: Any, ring: Path) -> Iterator[Covered]:
        """Opens processes on the test's database: with the ring, or in clear."""
        opened: list[Stage] = []

        def another(*, clear: bool = False, **more: Any) -> Stage:
            covers = None if clear else Covers(RingFile(ring))

            def store(**options: Any) -> WorkflowStore:
                return self.opened(place, covers=covers, **{**options, **more, "schema": SCHEMA})

            opened.append(Stage(store))
            return opened[-1]

        yield another
        arm(None)
        for one in opened:
            one.store.close()

    @pytest.fixture
    def stage(self, opening: Covered) -> Stage:
        """Three workflows that ended, two of them after a failure, and the views up to date."""
        stage = opening()
        for name in ("wf_1", "wf_2", "wf_3"):
            self.lived(stage, name)
        self.viewed(stage.store)
        return stage

    # --- acts

    def lived(self, stage: Stage, name: str, *, ended: bool = True) -> None:
        stage.begun.taken()
        trigger = goal(f"count {WORD}").model_copy(update={"tags": {"for": WORD}, "input": {"who": WORD}})
        stage.done(stage.ask(name, trigger, f"goal/{name}"))
        (first,) = stage.begun.taken()
        stage.done(stage.ask(name, PAUSED), stage.ask(name, RESUME))
        failure = Failure(kind=FailureClass.PERMANENT, type="Permanent", message=f"no {WORD}", fingerprint="f" * 16)
        failed = RecordOutcome(step=first.step, kind="run", attempt=1, status="failed", failure=failure, worker="w")
        stage.done(stage.ask(name, failed, first.message_id, completes=first.message_id))
        if ended and stage.store.load(name).ended is None:
            stage.done(stage.ask(name, CancelWorkflow(by="ann", reason=WORD)))

    def viewed(self, store: WorkflowStore) -> None:
        catch_up(Keeper(store), LogReader(store.recorder, store.mapper.read))

    def erasing(self, stage: Stage, folder: Path, *, shared: bool = False) -> Erasing:
        return Erasing(stage.store, folder, by="ann", reason="asked for", shared=shared)

    def sent_on(self, stage: Stage, position: int) -> None:
        """Have the relay stand there."""
        with stage.store.transaction() as cursor:
            MovePosition(RELAY, position_of(cursor, RELAY), position).run(cursor)

    def rewrapped(self, stage: Stage) -> int:
        covers = stage.store.mapper.covers
        assert covers is not None
        return rewrap(stage.store, covers, lambda _: None)

    def exported(self, store: WorkflowStore, selection: Selection = ALL) -> tuple[bytes, JsonLines]:
        lines = JsonLines(selection, Redaction())
        histories = Histories(store, store.mapper.clear, selection)
        return b"".join(lines.lines(histories)), lines

    def differing(self, store: WorkflowStore) -> int:
        self.viewed(store)
        log = LogReader(store.recorder, store.mapper.read)
        return Rebuild(store, log).run(mend=False, now=NOW).total

    def rows_of(self, store: WorkflowStore) -> dict[str, str]:
        """Every row of every table, as a text."""
        return {
            table: "".join(
                bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
                for row in store.query(f"SELECT * FROM {table}")
                for value in row
            )
            for table in self.tables(store)
        }

    def tables(self, store: WorkflowStore) -> list[str]:
        """The names of all tables."""
        raise NotImplementedError

    # --- before

    def test_no_column_of_any_table_holds_what_people_wrote(self, stage: Stage) -> None:
        for table, content in self.rows_of(stage.store).items():
            assert WORD not in content, table

    def test_views_show_it_to_who_has_the_ring(self, stage: Stage) -> None:
        rows = list(list_workflows(stage.store.query, tags={"for": WORD}, texts=stage.store.texts))
        assert [row["goal"] for row in rows] == [f"count {WORD}"] * 3
        assert self.differing(stage.store) == 0

    # --- after

    def test_an_erased_workflow_is_withheld_and_all_else_as_it_was(
        self, stage: Stage, opening: Covered, tmp_path: Path
    ) -> None:
        before = {name: stage.checked(name) for name in KEPT}
        _, exported = self.exported(stage.store)
        erasing = self.erasing(stage, tmp_path)
        erasing.erase("wf_2")
        other = opening()
        for one in (stage, other):
            with pytest.raises(PayloadWithheld, match=r"erased on .* by ann \(asked for\)"):
                one.store.load("wf_2")
            assert {name: one.checked(name) for name in KEPT} == before
        content, again = self.exported(other.store)
        assert again.root == exported.root
        assert (again.withheld, again.first_damage) == (again.events // 3, None)
        assert Verification().run(content.splitlines(keepends=True)).sound

    @pytest.mark.parametrize(("definition", "workflows"), [("chain", 3), ("wide", 0)])
    def test_it_is_exported_with_the_others_of_its_definition(
        self, stage: Stage, tmp_path: Path, definition: str, workflows: int
    ) -> None:
        selection = Selection(definition=definition)
        _, before = self.exported(stage.store, selection)
        self.erasing(stage, tmp_path).erase("wf_2")
        _, after = self.exported(stage.store, selection)
        assert (after.workflows, after.root) == (workflows, before.root)
        histories = Histories(stage.store, stage.store.mapper.clear, ALL)
        assert [definition_in(next(iter(one.rows))) for one in histories] == [("chain", "1")] * 3

    @pytest.mark.parametrize("act", ["load", "read", "decide"])
    def test_another_process_that_has_it_at_hand_withholds_it_at_once(
        self, stage: Stage, opening: Covered, tmp_path: Path, act: str
    ) -> None:
        other = opening()
        assert other.store.load("wf_2").goal == f"count {WORD}"
        self.erasing(stage, tmp_path).erase("wf_2")
        if act == "decide":
            (decided,) = other.decide(other.ask("wf_2", CancelWorkflow(by="ann", reason="late")))
            assert isinstance(decided.error, PayloadWithheld)
        else:
            with pytest.raises(PayloadWithheld):
                getattr(other.store, act)("wf_2")

    def test_the_views_tell_what_is_left_and_a_rebuild_tells_the_same(self, stage: Stage, tmp_path: Path) -> None:
        tallies = stage.rows("tallies")
        erasing = self.erasing(stage, tmp_path)
        erasing.erase("wf_2")
        (row,) = [one for one in list_workflows(stage.store.query) if one["workflow_id"] == "wf_2"]
        assert (row["status"], row["definition"], row["goal"], row["tags"]) == ("failed", "chain", "", {})
        assert row["started_at"] is not None
        assert row["ended_at"] is not None
        assert stage.store.query("SELECT 1 FROM steps WHERE workflow_id = 'wf_2'") == []
        assert stage.store.query("SELECT number, message FROM failures") == [(3, "")]
        assert stage.rows("tallies") == tallies
        assert self.differing(stage.store) == 0

    def test_nothing_of_its_key_is_left(self, stage: Stage, tmp_path: Path) -> None:
        ((salt, wrapped),) = stage.store.query("SELECT key, wrapped FROM workflow_keys WHERE workflow_id = 'wf_2'")
        self.erasing(stage, tmp_path).erase("wf_2")
        for table, content in self.rows_of(stage.store).items():
            assert wrapped not in content, table
            assert salt not in content, table
        assert counts(stage.store.query) == ({"k1": 2}, 1, 0, 0)

    def test_erasing_again_changes_nothing(self, stage: Stage, tmp_path: Path) -> None:
        erasing = self.erasing(stage, tmp_path)
        erasing.erase("wf_2")
        before = self.rows_of(stage.store)
        assert erasing.erase("wf_2").before.startswith("erased on ")
        assert self.rows_of(stage.store) == before

    @pytest.mark.parametrize("point", ["commit.before", "commit.after"])
    def test_killed_anywhere_it_is_run_again(self, stage: Stage, opening: Covered, tmp_path: Path, point: str) -> None:
        def kill(name: str) -> None:
            if name == point:
                raise Killed

        arm(kill)
        with suppress(Killed):
            self.erasing(stage, tmp_path).erase("wf_2")
        arm(None)
        other = opening()
        erased = point == "commit.after"
        assert len(other.store.query("SELECT 1 FROM erasures")) == erased
        assert bool(self.erasing(other, tmp_path).erase("wf_2").before) == erased
        with pytest.raises(PayloadWithheld):
            other.store.load("wf_2")
        assert self.differing(other.store) == 0

    def test_artifacts_go_with_it_but_for_what_others_share(self, stage: Stage, tmp_path: Path) -> None:
        folder = tmp_path / "workflows" / "wf_2"
        folder.mkdir(parents=True)
        (folder / "letter.txt").write_text(WORD)
        self.erasing(stage, tmp_path).erase("wf_2")
        assert not folder.exists()

    def test_a_late_message_for_it_is_refused(self, stage: Stage, tmp_path: Path) -> None:
        self.erasing(stage, tmp_path).erase("wf_2")
        (decided,) = stage.decide(stage.ask("wf_2", CancelWorkflow(by="ann", reason="late")))
        assert isinstance(decided.error, PayloadWithheld)

    # --- refused

    def test_one_that_has_not_ended_is_refused(self, stage: Stage, tmp_path: Path) -> None:
        stage.begin("wf_4")
        with pytest.raises(Refused, match="cancel it first"):
            self.erasing(stage, tmp_path).erase("wf_4")

    def test_what_was_not_sent_on_yet_stays_as_it_is(self, stage: Stage, tmp_path: Path) -> None:
        folder = tmp_path / "workflows" / "wf_2"
        folder.mkdir(parents=True)
        ((last,),) = stage.store.query("SELECT max(id) FROM stored_events WHERE originator_id = 'wf_2'")
        assert last < stage.store.newest()
        erasing = self.erasing(stage, tmp_path, shared=True)
        for position in (0, last - 1):
            self.sent_on(stage, position)
            before = self.rows_of(stage.store)
            for act in (erasing.look, erasing.erase):
                with pytest.raises(StoreUnavailable, match="wf_2 has events that were not sent on yet: run it again"):
                    act("wf_2")
            assert self.rows_of(stage.store) == before
            assert folder.exists()
        self.sent_on(stage, last)
        erasing.erase("wf_2")
        with pytest.raises(PayloadWithheld):
            stage.store.load("wf_2")

    def test_what_the_views_do_not_show_yet_stays_as_it_is(self, stage: Stage, tmp_path: Path) -> None:
        """Who keeps them may have the key at hand, and would write into them what is to be erased."""
        self.lived(stage, "wf_4")
        erasing = self.erasing(stage, tmp_path)
        with pytest.raises(StoreUnavailable, match="wf_4 has events that the views do not show yet: run it again"):
            erasing.erase("wf_4")
        assert stage.store.load("wf_4").goal
        erasing.bring_up_to_date()
        erasing.erase("wf_4")
        assert self.differing(stage.store) == 0

    def test_a_store_in_clear_is_refused(self, opening: Covered, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="its events never change: `handrail archive`"):
            self.erasing(opening(clear=True), tmp_path)

    # --- keys

    def test_keys_are_wrapped_anew_while_workflows_run(self, stage: Stage, opening: Covered, ring: Path) -> None:
        running = stage.begin("wf_4")
        RingFile(ring).add()
        rotating = opening()
        assert self.rewrapped(rotating) == 4
        assert counts(rotating.store.query)[0] == {"k2": 4}
        running = stage.go_on(running)
        stage.begin("wf_5")
        assert counts(rotating.store.query)[0] == {"k2": 5}, "who runs on hears of the new key before it wraps another"
        late = opening()
        late.begun.commands = list(running)
        late.finish(late.begun.taken())
        assert [stage.store.load(name).version for name in ("wf_1", "wf_4")]
        assert self.rewrapped(late) == 0

    def test_killed_while_wrapping_it_goes_on(
        self, stage: Stage, opening: Covered, ring: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deploy.rewrapping.PAGE", 1)
        RingFile(ring).add()
        rotating = opening()
        left = [3]

        def kill(name: str) -> None:
            left[0] -= name == "commit.after"
            if left[0] == 0:
                raise Killed

        arm(kill)
        with suppress(Killed):
            self.rewrapped(rotating)
        arm(None)
        assert counts(stage.store.query)[0] == {"k1": 1, "k2": 2}
        again = opening()
        assert self.rewrapped(again) == 1
        assert all(again.checked(name) for name in ("wf_1", "wf_2", "wf_3"))

    # --- beginning with a store in clear

    def test_a_store_in_clear_is_enabled_and_goes_on(
        self, opening: Covered, ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deploy.rewrapping.PAGE", 1)
        clear = opening(clear=True)
        self.lived(clear, "wf_1")
        commands = clear.begin("wf_2")
        self.viewed(clear.store)
        upto = clear.store.load("wf_2").version
        with pytest.raises(StoreUnavailable, match="run `handrail keys enable`"):
            opening()
        commits = [0]

        def kill(name: str) -> None:
            commits[0] += name == "commit.after"
            if commits[0] == 2:
                raise Killed

        arm(kill)
        with suppress(Killed):
            enable(opening(enabling=True).store, Covers(RingFile(ring)), lambda _: None)
        arm(None)
        with pytest.raises(StoreUnavailable, match="that has not ended: run `handrail keys enable` again"):
            opening()
        assert enable(opening(enabling=True).store, Covers(RingFile(ring)), lambda _: None) == 1
        stage = opening()
        stage.finish(commands)
        assert counts(stage.store.query) == ({"k1": 2}, 0, 2, 0)
        assert self.differing(stage.store) == 0
        assert WORD not in self.rows_of(stage.store)["workflows"]
        with pytest.raises(Refused, match=f"its events up to {upto} are in clear"):
            self.erasing(stage, tmp_path).erase("wf_2")
        event = stage.checked("wf_2")[upto]
        state = b"\n".join((event.header, f"{event.previous} {event.payload_digest}".encode(), event.payload))
        where = f"originator_id = 'wf_2' AND originator_version = {upto + 1}"
        stage.store.run(Damage(f"UPDATE stored_events SET state = ? WHERE {where}", state))
        with pytest.raises(EventCorrupt, match="its payload is clear and must be covered"):
            opening().checked("wf_2")

    # --- who asks besides

    def test_a_parked_view_says_why_to_who_has_the_ring(self, stage: Stage) -> None:
        where = "originator_id = 'wf_2' AND originator_version = 2"
        stage.store.run(Damage(f"UPDATE stored_events SET state = ? WHERE {where}", b"gone"))
        keeper = Keeper(stage.store)
        keeper.rebuild()
        catch_up(keeper, LogReader(stage.store.recorder, stage.store.mapper.read))
        with stage.store.reading() as cursor:
            (parked,) = status_of(cursor, stage.store.mapper.read, stage.store.texts).parked
        assert "event 2" in parked.error
        assert "event 2" not in self.rows_of(stage.store)["parked_views"]

    def test_a_view_that_is_behind_an_erased_event_tells_how_far(self, stage: Stage, tmp_path: Path) -> None:
        self.erasing(stage, tmp_path).erase("wf_1")
        keeper = Keeper(stage.store)
        keeper.rebuild()
        with stage.store.reading() as cursor:
            assert status_of(cursor, stage.store.mapper.read).lag.events == stage.store.newest()

    def test_over_http_an_erased_workflow_is_gone(self, stage: Stage, tmp_path: Path) -> None:
        self.erasing(stage, tmp_path).erase("wf_2")
        with pytest.raises(PayloadWithheld) as raised:
            stage.store.load("wf_2")
        problem = problem_of(raised.value)
        assert (problem.status, problem.name) == (410, "erased")
        assert "asked for" not in problem.detail, "why is nobody's business there"
