"""Parked workflows are folded anew, with their rows of every view, as if nothing had ever been wrong with them."""

from datetime import timedelta

import pytest

from domain.errors import InputInvalid
from domain.events import AttemptFailed
from domain.recorded import RecordedEvent
from projections.comparing import NAMES
from projections.keeper import Keeper
from projections.projector import catch_up
from projections.rebuilding import Rebuild
from projections.retrying import retry_parked
from projections.status import status_of
from projections.stuck import Facts, judge
from projections.thresholds import Thresholds
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import START, history
from tests.unit.projections.test_keeper import histories

NOW = START + timedelta(days=400)
NEW_WORDS = b"what an older version cannot read"


class Damaged:
    """A place where an event of `wf_002` cannot be read, and the views have gone on without it."""

    def __init__(self, place: Place, version: int = 5, log: list[RecordedEvent] | None = None) -> None:
        self.place = place
        self.version = version
        place.put(log or histories(81, workflows=8))
        self.keeper = Keeper(place.recorder)
        self.keeper.begin()
        ((self.state,),) = place.recorder.query(
            "SELECT state FROM stored_events WHERE originator_id = 'wf_002' AND originator_version = ?", (version,)
        )
        self.write(NEW_WORDS)
        while entries := place.log.read(self.keeper.position, 9):
            self.keeper.take(entries)
            assert self.keeper.write()
        assert [row[0] for row in place.rows("parked_views")] == ["wf_002"]

    def write(self, state: bytes) -> None:
        with self.place.recorder.transaction() as cursor:
            cursor.execute(
                "UPDATE stored_events SET state = ? WHERE originator_id = 'wf_002' AND originator_version = ?",
                (state, self.version),
            )

    def retry(self, *workflow_ids: str) -> tuple[list[str], list[str]]:
        place = self.place
        done = retry_parked(place.recorder, place.mapper.read, workflow_ids or None)
        return done.folded, list(done.parked)


@pytest.mark.parametrize("version", [1, 2, 5])
def test_what_can_be_read_again_has_all_its_rows(place: Place, version: int) -> None:
    damaged = Damaged(place, version)
    damaged.write(damaged.state)
    assert damaged.retry("wf_002") == (["wf_002"], [])
    assert place.rows("parked_views") == []
    report = Rebuild(place.recorder, place.log, views=NAMES).run(mend=False, now=NOW)
    assert report.shown == []


def test_failures_that_were_counted_before_are_not_counted_again(place: Place) -> None:
    log = next(one for one in (history(seed, 60, workflow_id="wf_002") for seed in range(50)) if len(failed(one)) > 1)
    first, last = failed(log)[0], failed(log)[-1]
    damaged = Damaged(place, last, log)
    counted = sum(int(str(row[4])) for row in place.rows("failures"))
    assert counted >= 1, f"event {first} was counted"
    damaged.write(damaged.state)
    assert damaged.retry("wf_002") == (["wf_002"], [])
    assert sum(int(str(row[4])) for row in place.rows("failures")) > counted
    assert Rebuild(place.recorder, place.log).run(mend=False, now=NOW).shown == []


def failed(log: list[RecordedEvent]) -> list[int]:
    """The versions of events that count a failure."""
    return [one.originator_version for one in log if isinstance(one.event, AttemptFailed)]


def test_what_still_cannot_be_read_is_parked_again_and_named(place: Place) -> None:
    damaged = Damaged(place)
    before = place.rows("workflows")
    with place.recorder.transaction() as cursor:
        cursor.execute("UPDATE parked_views SET position = 1, error = 'as an older version said it'")
    assert damaged.retry() == ([], ["wf_002"])
    ((_, position, error),) = place.rows("parked_views")
    assert "wf_002 event 5" in str(error)
    assert int(str(position)) > 1
    assert place.rows("workflows") == before


def test_the_projector_goes_on_with_it_behind_its_position(place: Place) -> None:
    damaged = Damaged(place)
    damaged.write(damaged.state)
    keeper = damaged.keeper
    assert keeper.parked == 1
    damaged.retry()
    place.put(history(91, 5, workflow_id="more_001"))
    keeper.take(place.log.read(keeper.position, 100))
    assert keeper.write() is False
    assert keeper.parked == 0
    catch_up(keeper, place.log)
    assert Rebuild(place.recorder, place.log).run(mend=False, now=NOW).total == 0


def test_one_that_is_not_parked_is_refused(place: Place) -> None:
    with pytest.raises(InputInvalid, match="wf_001' is not parked"):
        Damaged(place).retry("wf_001")


def test_the_status_counts_rows_and_names_what_is_parked(place: Place) -> None:
    damaged = Damaged(place)
    with place.recorder.reading() as cursor:
        before = status_of(cursor, place.mapper.read)
    assert before.judged_at is None
    assert before.due_at is not None
    assert (before.position, before.lag.events) == (before.newest, 0)
    assert before.rows["workflows"] == 8
    assert before.rows["parked_views"] == 1
    assert [one.workflow_id for one in before.parked] == ["wf_002"]
    due = damaged.keeper.to_judge(NOW, 100)
    damaged.keeper.judged([(row, judge(row, Facts(), NOW, Thresholds())) for row in due])
    with place.recorder.transaction() as cursor:
        cursor.execute("UPDATE positions SET position = position - 3 WHERE name = 'views-2'")
    with place.recorder.reading() as cursor:
        after = status_of(cursor, place.mapper.read)
    assert after.judged_at is not None
    assert after.lag.events == 3
    assert after.lag.since is not None
    with place.recorder.transaction() as cursor:
        cursor.execute("UPDATE stored_events SET state = ? WHERE id > ?", (NEW_WORDS, after.position))
    with place.recorder.reading() as cursor:
        torn = status_of(cursor, place.mapper.read)
    assert (torn.lag.events, torn.lag.since) == (3, None)
