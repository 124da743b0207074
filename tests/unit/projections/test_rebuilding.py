"""A rebuild equals what a projector kept, finds every row that does not, and mends it all at once."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import FenceMissed, InputInvalid, StoreUnavailable
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from projections.comparing import NAMES
from projections.keeper import Entry, Keeper
from projections.projector import catch_up
from projections.rebuilding import Rebuild, Report, TooFar, chosen
from projections.schema import MENDED, POSITION, SHADOW_PREFIX, STEP_COLUMNS, TABLES, WORKFLOW_COLUMNS
from projections.stuck import Facts, judge
from projections.thresholds import Thresholds
from projections.totals import Totals
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import START, history
from tests.unit.projections.test_keeper import histories

NOW = START + timedelta(days=400)


def verified(place: Place, *views: str) -> Report:
    return Rebuild(place.recorder, place.log, views=views or NAMES).run(mend=False, now=NOW)


def rebuilt(place: Place, *views: str) -> Report:
    return Rebuild(place.recorder, place.log, views=views or NAMES).run(mend=True, now=NOW)


def everything(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all views, but for when they are to be judged."""
    found = {name: place.rows(name) for name in TABLES}
    with place.recorder.reading() as cursor:
        found["workflows"] = cursor.query(
            "SELECT workflow_id, version, status, waits, standing, since, stuck_cause, changed_at, attempts "
            "FROM workflows ORDER BY 1"
        )
    found["tallies"] = [row for row in found["tallies"] if row[3]]
    return found


def shadow_is_empty(place: Place) -> bool:
    return not any(place.rows(f"{SHADOW_PREFIX}{name}") for name in TABLES)


def run(place: Place, statement: str, *parameters: object) -> None:
    with place.recorder.transaction() as cursor:
        assert cursor.execute(statement, parameters) != 0


@pytest.fixture
def kept(place: Place) -> Place:
    """A place whose views a projector has kept."""
    place.put(histories(71, workflows=12))
    catch_up(Keeper(place.recorder), place.log)
    return place


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 40))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rebuild_equals_the_live_views_after_any_histories(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int
) -> None:
    place = Place(tmp_path_factory.mktemp("views") / "store.sqlite")
    place.put(histories(seed))
    keeper = Keeper(place.recorder, rows_at_hand=seed % 5)
    keeper.begin()
    while entries := place.log.read(keeper.position, batch):
        keeper.take(entries)
        assert keeper.write()
    report = verified(place)
    assert (report.total, report.shown, report.position) == (0, [], keeper.position)
    assert shadow_is_empty(place)
    place.recorder.close()


def chaos(place: Place, seed: int) -> None:
    """Two projectors at the same log, in turns by chance, each killed now and then."""
    chance = random.Random(seed)
    keepers = [Keeper(place.recorder, rows_at_hand=3) for _ in range(2)]
    for keeper in keepers:
        keeper.begin()
    log = histories(seed, workflows=10)
    while log or any(place.log.read(keeper.position, 1) for keeper in keepers):
        place.put(log[:7])
        del log[:7]
        keeper = chance.choice(keepers)
        if chance.random() < 0.1:
            keeper.begin()
        keeper.take(place.log.read(keeper.position, chance.randint(1, 30)))
        if chance.random() < 0.7:
            keeper.write()
    for keeper in keepers:
        keeper.write()


@pytest.mark.parametrize("seed", range(5))
def test_a_rebuild_equals_the_live_views_after_two_projectors_and_kills(place: Place, seed: int) -> None:
    chaos(place, seed)
    assert verified(place).shown == []
    before = everything(place)
    catch_up(Keeper(place.recorder), place.log)
    assert everything(place) == before


REST = ", ".join(WORKFLOW_COLUMNS[1:])
ONE_MORE = f"INSERT INTO workflows SELECT 'wf_zzz', {REST} FROM workflows WHERE workflow_id = 'wf_001'"
PLANTED = [
    ("workflows", "UPDATE workflows SET status = 'odd' WHERE workflow_id = 'wf_003'", "differs in status"),
    ("workflows", "DELETE FROM workflows WHERE workflow_id = 'wf_004'", "is lacking"),
    (
        "workflows",
        ONE_MORE,
        "is too many",
    ),
    ("steps", "UPDATE steps SET attempts = attempts + 7 WHERE workflow_id = 'wf_002'", "differs in attempts"),
    ("waits", "DELETE FROM waits", "is lacking"),
    ("waits", "INSERT INTO waits VALUES ('wf_001', 'x:time', 'x', 'time', 'fixed', '', 'a', NULL)", "is too many"),
    ("attempts", "UPDATE attempts SET worker = 'nobody'", "differs in worker"),
    ("failures", "UPDATE failures SET number = number + 1", "differs in number"),
    ("parked_views", "INSERT INTO parked_views VALUES ('wf_001', 3, 'odd')", "is too many"),
    ("tallies", "UPDATE tallies SET number = number + 1", "differs in number"),
]


@pytest.mark.parametrize(("view", "statement", "how"), PLANTED)
def test_what_is_planted_is_found_and_mended(kept: Place, view: str, statement: str, how: str) -> None:
    right = everything(kept)
    run(kept, statement)
    report = verified(kept)
    assert report.differing[view] >= 1
    assert how in {one.how for one in report.shown if one.view == view}
    assert not report.mended
    assert everything(kept) != right
    assert verified(kept, view).differing.keys() == {view}
    mended = rebuilt(kept)
    assert mended.mended
    assert mended.differing == report.differing
    assert everything(kept) == right
    assert verified(kept).total == 0
    assert shadow_is_empty(kept)


def test_one_view_is_mended_alone(kept: Place) -> None:
    run(kept, "UPDATE steps SET worker = 'nobody'")
    run(kept, "UPDATE failures SET number = number + 1")
    assert rebuilt(kept, "steps").differing.keys() == {"steps"}
    assert verified(kept).differing.keys() == {"failures"}


def test_many_differences_are_counted_and_some_are_named(kept: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.rebuilding.SHOWN", 2)
    monkeypatch.setattr("projections.rebuilding.MOST_SUSPECTS", 3)
    monkeypatch.setattr("projections.comparing.PAGE_ROWS", 4)
    monkeypatch.setattr("projections.rebuilding.EMPTIED_AT_ONCE", 3)
    right = everything(kept)
    for name in TABLES:
        with kept.recorder.transaction() as cursor:
            cursor.execute(f"DELETE FROM {name}")
    report = rebuilt(kept)
    assert report.differing["workflows"] == 12
    assert len([one for one in report.shown if one.view == "workflows"]) == 2
    assert everything(kept) == right
    assert shadow_is_empty(kept)


def test_the_live_views_may_move_meanwhile(kept: Place) -> None:
    """Each time that the log is read, a projector comes further: the comparison is of one position all the same."""
    log = [one for number in range(30) for one in history(number, 30, workflow_id=f"more_{number:03d}")]
    keeper = Keeper(kept.recorder)

    class Moving:
        def read(self, after: int, limit: int) -> Sequence[Entry]:
            if within.open:
                return kept.log.read(after, limit)
            kept.put(log[:40])
            del log[:40]
            catch_up(keeper, kept.log)
            return kept.log.read(after, 25)

    within = Within(kept)
    run(kept, "UPDATE steps SET worker = 'nobody' WHERE workflow_id = 'wf_002'")
    report = Rebuild(within, Moving()).run(mend=True, now=NOW)
    assert report.differing.keys() == {"steps"}
    assert not log
    assert kept.rows("parked_views") == []
    assert verified(kept).total == 0


class Within:
    """The place's recorder, which knows whether a transaction is open: nobody else writes then."""

    def __init__(self, place: Place) -> None:
        self._recorder = place.recorder
        self.open = False
        self.query = place.recorder.query
        self.reading = place.recorder.reading

    @contextlib.contextmanager
    def transaction(self, point: str = "commit") -> Iterator[Cursor]:
        with self._recorder.transaction(point) as cursor:
            self.open = True
            try:
                yield cursor
            finally:
                self.open = False


class MissingOne(Within):
    """While rows are compared, the live views move, and the steps miss it: they stay what the shadow has."""

    def __init__(self, place: Place, more: list[RecordedEvent]) -> None:
        super().__init__(place)
        self.place = place
        self.more = more

    def ask(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self.more:
            before = self.place.rows("steps")
            self.place.put(self.more)
            self.more = []
            catch_up(Keeper(self.place.recorder), self.place.log)
            assert self.place.rows("steps") != before
            with self.place.recorder.transaction() as cursor:
                cursor.execute("DELETE FROM steps")
                cursor.executemany(f"INSERT INTO steps VALUES ({', '.join('?' * len(STEP_COLUMNS))})", before)
        return self.place.recorder.query(statement, parameters)


def test_a_row_that_misses_an_event_meanwhile_is_found(place: Place) -> None:
    log = history(73, 20)
    place.put(log[:-8])
    catch_up(Keeper(place.recorder), place.log)
    missing = MissingOne(place, log[-8:])
    missing.query = missing.ask
    report = Rebuild(missing, place.log, views=["steps"]).run(mend=True, now=NOW)
    assert report.differing.keys() == {"steps"}
    assert verified(place).total == 0


def test_a_projector_with_rows_at_hand_does_not_write_them_over_the_mended_ones(place: Place) -> None:
    log = history(73, 6)
    place.put(log[:-2])
    keeper = Keeper(place.recorder)
    catch_up(keeper, place.log)
    assert keeper.at_hand("wf_001") is not None
    run(place, "UPDATE workflows SET goal = 'odd', tags = '{}'")
    rebuilt(place)
    beginnings = keeper.beginnings
    place.put(log[-2:])
    keeper.take(place.log.read(keeper.position, 10))
    assert keeper.write() is False
    assert keeper.beginnings == beginnings + 1
    catch_up(keeper, place.log)
    assert verified(place).total == 0


def test_tallies_that_were_mended_are_heard_of_though_nothing_happens(kept: Place) -> None:
    totals = Totals()
    keeper = Keeper(kept.recorder, totals=totals)
    keeper.begin()
    right = totals.now()
    run(kept, "UPDATE tallies SET number = number + 1")
    keeper.begin()
    assert totals.now() != right
    rebuilt(kept, "tallies")
    assert keeper.to_judge(START, 100) == []
    assert totals.now() == right


def test_where_nothing_differs_nobody_has_to_begin_again(kept: Place) -> None:
    keeper = Keeper(kept.recorder)
    keeper.begin()
    assert not rebuilt(kept).mended
    with kept.recorder.reading() as cursor:
        assert cursor.query("SELECT position FROM positions WHERE name = ?", (MENDED,)) == []
    kept.put(history(74, 5, workflow_id="wf_new"))
    keeper.take(kept.log.read(keeper.position, 100))
    assert keeper.write() is True


def test_the_later_of_two_rebuilds_goes_on(kept: Place) -> None:
    class Interrupted:
        def read(self, after: int, limit: int) -> Sequence[Entry]:
            verified(kept)
            return kept.log.read(after, limit)

    run(kept, "UPDATE failures SET number = number + 1")
    before = everything(kept)
    with pytest.raises(FenceMissed, match="another rebuild"):
        Rebuild(kept.recorder, Interrupted()).run(mend=True, now=NOW)
    assert everything(kept) == before
    assert shadow_is_empty(kept)


def test_a_view_that_there_is_not_is_refused() -> None:
    assert chosen("all") == NAMES
    assert chosen("steps") == ("steps",)
    with pytest.raises(InputInvalid, match="choose of parked_views, workflows"):
        chosen("nothing")


def test_a_workflow_that_cannot_be_folded_is_left_as_it_is(place: Place) -> None:
    events = history(5, workflow_id="wf_009")
    place.put([*events[:4], *events[5:], *history(6)])
    keeper = Keeper(place.recorder)
    keeper.begin()
    for _ in range(3):
        keeper.take(place.log.read(keeper.position, 2))
        keeper.write()
    catch_up(keeper, place.log)
    assert [row[0] for row in place.rows("parked_views")] == ["wf_009"]
    report = verified(place)
    assert (report.total, report.parked) == (0, 1)
    run(place, "DELETE FROM parked_views")
    assert rebuilt(place).differing == {"parked_views": 1}
    assert [row[0] for row in place.rows("parked_views")] == ["wf_009"]


def judge_all(place: Place) -> None:
    """Judge whatever is due, from the rows alone."""
    keeper = Keeper(place.recorder)
    keeper.begin()
    rows = keeper.to_judge(NOW, 1_000)
    assert keeper.judged([(row, judge(row, Facts(), NOW, Thresholds())) for row in rows])


def test_deleting_every_view_and_position_gives_the_same_again(kept: Place) -> None:
    judge_all(kept)
    right = everything(kept)
    assert any(cause for _, _, cause, _ in right["tallies"])
    with kept.recorder.transaction() as cursor:
        for name in (*TABLES, "positions"):
            cursor.execute(f"DELETE FROM {name}")
    catch_up(Keeper(kept.recorder), kept.log)
    judge_all(kept)
    assert everything(kept) == right
    assert verified(kept).total == 0


def test_what_is_stuck_is_so_again_after_it_was_mended(kept: Place) -> None:
    judge_all(kept)
    right = everything(kept)
    run(kept, "UPDATE workflows SET goal = 'odd'")
    assert rebuilt(kept).differing == {"workflows": 12}
    judge_all(kept)
    assert everything(kept) == right


def test_views_that_run_away_are_left_as_they_are(kept: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_away(*_: object) -> None:
        raise TooFar

    run(kept, "UPDATE failures SET number = number + 1")
    before = everything(kept)
    monkeypatch.setattr(Rebuild, "_catch_up", run_away)
    with pytest.raises(StoreUnavailable, match="went on faster"):
        rebuilt(kept)
    assert everything(kept) == before
    assert shadow_is_empty(kept)


def test_views_that_begin_again_meanwhile_are_not_compared(kept: Place) -> None:
    class BeginningAgain:
        def read(self, after: int, limit: int) -> Sequence[Entry]:
            with kept.recorder.transaction() as cursor:
                cursor.execute("UPDATE positions SET position = 1 WHERE name = ?", (POSITION,))
            return kept.log.read(after, limit)

    with pytest.raises(StoreUnavailable, match="began again"):
        Rebuild(kept.recorder, BeginningAgain()).run(mend=True, now=NOW)


def test_what_was_removed_for_good_does_not_come_back(kept: Place) -> None:
    """A workflow whose events and rows were taken away after the shadow had folded it."""

    class Removing:
        def read(self, after: int, limit: int) -> Sequence[Entry]:
            entries = kept.log.read(after, limit)
            if entries:
                with kept.recorder.transaction() as cursor:
                    cursor.execute("DELETE FROM stored_events WHERE originator_id = 'wf_003'")
                    for name in ("workflows", "steps", "waits", "attempts"):
                        cursor.execute(f"DELETE FROM {name} WHERE workflow_id = 'wf_003'")
            return entries

    Rebuild(kept.recorder, Removing()).run(mend=True, now=NOW)
    assert "wf_003" not in [row[0] for row in kept.rows("workflows")]
