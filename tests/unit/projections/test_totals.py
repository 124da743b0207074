"""What the views come to, in memory: always what the rows in the store give, and shown only where it has changed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import StoreUnavailable
from projections.keeper import Keeper
from projections.projector import catch_up
from projections.rows import Hold, WorkflowRow
from projections.showing import FIRST_LOOK_SECONDS, SHOW_SECONDS, Showing
from projections.stuck import Facts, judge
from projections.thresholds import Thresholds
from projections.totals import Totals, ViewsNow, with_oldest
from tests.unit.projections.conftest import Place
from tests.unit.projections.test_judging import LATER
from tests.unit.projections.test_keeper import histories

Result = TypeVar("Result")


def counted(place: Place) -> ViewsNow:
    """What the rows in the store give, without any shortcut."""
    query = place.recorder.query
    rows = query("SELECT definition, status, coalesce(stuck_cause, ''), ended_at, since_minute FROM workflows")
    waits = query("SELECT definition, since FROM waits WHERE reason = 'approval'")
    oldest: dict[str, float] = {}
    for definition, _, _, ended_at, minute in rows:
        if ended_at is None and minute is not None:
            oldest[definition] = min(oldest.get(definition, float("inf")), minute * 60.0)
    approvals: dict[str, float] = {}
    for definition, since in waits:
        at = datetime.fromisoformat(since).timestamp()
        approvals[definition] = min(approvals.get(definition, float("inf")), at)
    return ViewsNow(
        dict(Counter(row[:3] for row in rows)),
        dict(Counter(definition for definition, _ in waits)),
        len(query("SELECT workflow_id FROM parked_views")),
        oldest,
        approvals,
    )


def judge_all(keeper: Keeper) -> None:
    due = keeper.to_judge(LATER, 1_000)
    assert keeper.judged([(row, judge(row, Facts(), LATER, Thresholds())) for row in due])


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 60), judged_after=st.integers(0, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_totals_are_what_the_rows_give_after_every_write(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, judged_after: int
) -> None:
    place = Place(tmp_path_factory.mktemp("views") / "store.sqlite")
    place.put(histories(seed))
    totals = Totals()
    keeper = Keeper(place.recorder, totals=totals, rows_at_hand=2)
    keeper.begin()
    writes = 0
    while entries := place.log.read(keeper.position, batch):
        keeper.take(entries)
        assert keeper.write()
        writes += 1
        if writes == judged_after:
            judge_all(keeper)
        assert with_oldest(totals.now(), place.recorder.query) == counted(place)
    place.recorder.close()


def test_who_begins_again_knows_the_same(place: Place) -> None:
    place.put(histories(5, 12))
    totals = Totals()
    catch_up(first := Keeper(place.recorder, totals=totals), place.log)
    judge_all(first)
    again = Totals()
    Keeper(place.recorder, totals=again).begin()
    assert again.now() == totals.now()
    assert totals.now().approvals


def test_a_keeper_that_was_overtaken_knows_what_is_in_the_store(place: Place) -> None:
    log = histories(6, 12)
    place.put(log)
    totals = Totals()
    second = Keeper(place.recorder, totals=totals)
    second.begin()
    second.take(place.log.read(0, 30))
    catch_up(Keeper(place.recorder), place.log)
    assert not second.write()
    assert with_oldest(totals.now(), place.recorder.query) == counted(place)


def test_a_rebuild_counts_nothing_twice(place: Place) -> None:
    place.put(histories(8, 12))
    totals = Totals()
    keeper = Keeper(place.recorder, totals=totals)
    catch_up(keeper, place.log)
    before = totals.now()
    keeper.rebuild()
    assert totals.now() == ViewsNow()
    catch_up(keeper, place.log)
    assert totals.now() == before


def test_a_retry_of_a_step_called_approval_is_no_approval() -> None:
    totals, row = Totals(), WorkflowRow("wf_1", definition="demo")
    row.standing.waits["pay:approval"] = Hold(LATER, name="pay.1")
    totals.wrote([row], 0)
    row.noted = {"retry:approval": Hold(LATER), **row.standing.waits}
    totals.wrote([row], 0)
    assert totals.now().approvals == {"demo": 1}
    row.standing.waits.clear()
    totals.wrote([row], 0)
    assert totals.now().approvals == {}


class Bench:
    """Totals, one who shows them, and what was shown."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.totals = Totals()
        self.keeper = Keeper(place.recorder, totals=self.totals)
        self.shown: list[ViewsNow] = []
        self.asked = 0
        self.trouble = False
        self.pauses: list[float] = []
        self.showing = Showing(self.totals, self.query, self.shown.append, between=self.between, pause=self.pause)

    def query(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.trouble:
            raise StoreUnavailable("gone")
        return self.place.recorder.query(statement, parameters)

    async def between(self, work: Callable[[], Awaitable[Result]], /) -> Result:
        return await work()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 3:
            raise KeyboardInterrupt
        if len(self.pauses) == 1:
            catch_up(self.keeper, self.place.log)


@pytest.fixture
def bench(place: Place) -> Bench:
    place.put(histories(9, 12))
    return Bench(place)


async def test_it_is_shown_once_the_keeper_has_begun_and_then_only_what_changed(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        await bench.showing.run()
    assert bench.pauses == [FIRST_LOOK_SECONDS, SHOW_SECONDS, SHOW_SECONDS]
    assert bench.shown == [counted(bench.place)]
    assert bench.asked == 1


async def test_trouble_with_the_store_leaves_what_was_shown(bench: Bench) -> None:
    catch_up(bench.keeper, bench.place.log)
    bench.trouble = True
    with pytest.raises(StoreUnavailable):
        await bench.showing.look()
    assert bench.shown == []
    bench.trouble = False
    assert await bench.showing.look()
    assert not await bench.showing.look()
