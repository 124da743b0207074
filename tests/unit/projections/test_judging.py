"""What is due is judged, written with the tallies, and kept for as long as what it is stuck by is there."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest

from domain.errors import StoreUnavailable
from projections.judging import ROUND_SECONDS, Judging
from projections.keeper import Entry, Keeper
from projections.projector import catch_up
from projections.queries import stuck_workflows, tallies
from projections.rebuilding import Rebuild
from projections.rows import WorkflowRow
from projections.sql import load_workflows
from projections.stuck import Facts, first_look, judge, rounded
from projections.thresholds import SHIPPED, Limits, Thresholds
from projections.totals import Totals
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import START
from tests.unit.projections.test_keeper import histories

Result = TypeVar("Result")
LATER = START + timedelta(days=400)


class Bench:
    """A keeper that has caught up, and one who judges for it."""

    def __init__(self, place: Place, seed: int = 51, workflows: int = 12) -> None:
        self.place = place
        self.log = histories(seed, workflows)
        place.put(self.log)
        self.keeper = Keeper(place.recorder, thresholds=Thresholds())
        catch_up(self.keeper, place.log)
        self.now = LATER
        self.seconds = 0.0
        self.each_takes = 0.0
        self.asked: list[int] = []
        self.mismatched: dict[str, datetime] = {}
        self.judging = Judging(
            self.keeper,
            between=self.between,
            facts_of=self.facts_of,
            thresholds=Thresholds(),
            now=lambda: self.now,
            pause=self.pause,
            seconds=lambda: self.seconds,
        )

    async def between(self, work: Callable[[], Awaitable[Result]], /) -> Result:
        return await work()

    async def facts_of(self, rows: Sequence[WorkflowRow]) -> Facts:
        self.asked.append(len(rows))
        self.seconds += self.each_takes
        return Facts(mismatched=self.mismatched)

    async def pause(self, seconds: float) -> None:
        assert seconds == 0

    def rows(self) -> list[tuple[str, str, str, int]]:
        return sorted(tallies(self.place.recorder.query))

    def counted(self) -> list[tuple[str, str, str, int]]:
        """The tallies as the rows themselves give them."""
        rows = self.place.recorder.query("SELECT definition, status, coalesce(stuck_cause, '') FROM workflows")
        return sorted((*key, number) for key, number in Counter(rows).items())


def run(place: Place, statement: str) -> None:
    with place.recorder.transaction() as cursor:
        cursor.execute(statement)


@pytest.fixture
def bench(place: Place) -> Bench:
    return Bench(place)


async def test_what_is_due_is_judged_and_the_tallies_move_with_it(bench: Bench) -> None:
    before = bench.rows()
    assert before == bench.counted()
    assert {cause for _, _, cause, _ in before} == {""}
    assert await bench.judging.round() > 0
    assert any(cause for _, _, cause, _ in bench.rows())
    assert bench.rows() == bench.counted()
    found = list(stuck_workflows(bench.place.recorder.query))
    assert [row["stuck_since"] for row in found] == sorted(row["stuck_since"] for row in found)
    assert len(found) == sum(number for _, _, cause, number in bench.rows() if cause)


async def test_within_their_time_nobody_is_asked_about(bench: Bench) -> None:
    bench.now = START - timedelta(days=1)
    assert await bench.judging.round() == 0
    assert bench.asked == []


async def test_who_goes_on_is_stuck_no_more(bench: Bench) -> None:
    await bench.judging.round()
    stuck = {row["workflow_id"] for row in stuck_workflows(bench.place.recorder.query)}
    assert stuck
    with bench.place.recorder.transaction() as cursor:
        cursor.execute("UPDATE workflows SET look_at = ? WHERE stuck_cause IS NOT NULL", (LATER.isoformat(),))
    bench.keeper.begin()
    bench.mismatched = dict.fromkeys(stuck, START)
    await bench.judging.round()
    causes = {row["stuck_cause"] for row in stuck_workflows(bench.place.recorder.query)}
    assert causes == {"replay_mismatch"}
    assert bench.rows() == bench.counted()


async def test_a_keeper_that_was_overtaken_writes_no_judgement(bench: Bench) -> None:
    due = bench.keeper.to_judge(LATER, 100)
    with bench.place.recorder.transaction() as cursor:
        cursor.execute("UPDATE positions SET position = position - 1")
    before = bench.rows()
    assert not bench.keeper.judged([(row, judge(row, Facts(), LATER, Thresholds())) for row in due])
    assert bench.rows() == before
    assert bench.keeper.position == len(bench.log) - 1


async def test_of_two_who_judge_at_one_position_one_wins(bench: Bench) -> None:
    totals = Totals()
    second = Keeper(bench.place.recorder, totals=totals)
    second.begin()
    due = second.to_judge(LATER, 100)
    assert await bench.judging.round() == len(due) > 0
    assert not second.judged([(row, judge(row, Facts(), LATER, Thresholds())) for row in due])
    assert bench.rows() == bench.counted()
    assert sorted((*key, number) for key, number in totals.now().tallies.items()) == bench.counted()


async def test_what_somebody_else_judged_is_taken_in_where_nothing_is_due_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = Totals()
    beside = Keeper(bench.place.recorder, totals=totals)
    beside.begin()
    await bench.judging.round()
    run(bench.place, "UPDATE workflows SET look_at = NULL")
    assert beside.to_judge(LATER, 100) == []
    assert sorted((*key, number) for key, number in totals.now().tallies.items()) == bench.counted()
    beginnings = beside.beginnings
    asked: list[str] = []
    query = bench.place.recorder.query

    def counted(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        asked.append(statement)
        return query(statement, parameters)

    monkeypatch.setattr(bench.place.recorder, "query", counted)
    assert beside.to_judge(LATER, 100) == []
    assert (len(asked), beside.beginnings) == (1, beginnings)


async def test_rows_at_hand_are_not_written_over_what_somebody_else_judged(place: Place) -> None:
    log = histories(51, 12)
    place.put(log[:-6])
    first, second = Keeper(place.recorder), Keeper(place.recorder)
    catch_up(first, place.log)
    second.begin()
    due = second.to_judge(LATER, 100)
    assert second.judged([(row, judge(row, Facts(), LATER, Thresholds())) for row in due])
    place.put(log[-6:])
    first.take(place.log.read(first.position, 10))
    assert not first.write()
    catch_up(first, place.log)
    assert Rebuild(place.recorder, place.log).run(mend=False, now=LATER).total == 0


async def test_judging_beside_a_rebuild_does_not_hold_it_up(bench: Bench) -> None:
    """Its rows are others: were they read anew after every judgement, it would not come to an end."""

    class Judged:
        def read(self, after: int, limit: int) -> Sequence[Entry]:
            if not read:
                due = bench.keeper.to_judge(LATER, 100)
                assert bench.keeper.judged([(row, judge(row, Facts(), LATER, Thresholds())) for row in due])
            read.append(after)
            return bench.place.log.read(after, limit)

    read: list[int] = []
    assert Rebuild(bench.place.recorder, Judged()).run(mend=False, now=LATER).total == 0
    assert read.count(0) == 1


async def test_trouble_with_the_store_leaves_the_rows_as_they_are_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = bench.place.recorder.transaction

    def refused(point: str = "commit") -> object:
        raise StoreUnavailable(f"no {point}")

    monkeypatch.setattr(bench.place.recorder, "transaction", refused)
    with pytest.raises(StoreUnavailable):
        await bench.judging.round()
    monkeypatch.setattr(bench.place.recorder, "transaction", transaction)
    await bench.judging.round()
    assert bench.rows() == bench.counted()


async def test_a_crowd_is_judged_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.judging.JUDGED_AT_ONCE", 3)
    bench = Bench(place, workflows=40)
    judged = await bench.judging.round()
    assert max(bench.asked) == 3
    assert sum(bench.asked) == judged > 3


async def test_a_round_ends_in_time_and_the_next_one_goes_on_behind_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.judging.JUDGED_AT_ONCE", 3)
    bench = Bench(place, workflows=120)
    bench.each_takes = ROUND_SECONDS / 2
    assert await bench.judging.round() == 6
    bench.each_takes = 0.0
    ((left,),) = place.recorder.query("SELECT count(*) FROM workflows WHERE look_at <= ?", (LATER.isoformat(),))
    assert left > 3
    assert await bench.judging.round() == left
    assert bench.rows() == bench.counted()


def looks(place: Place) -> dict[str, datetime | None]:
    rows = place.recorder.query("SELECT workflow_id, look_at FROM workflows WHERE ended_at IS NULL")
    return {name: None if text is None else datetime.fromisoformat(text) for name, text in rows}


@pytest.mark.parametrize("at_once", [2, 500])
async def test_lowered_thresholds_reach_rows_that_others_wrote(
    place: Place, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("projections.judging.JUDGED_AT_ONCE", at_once)
    before = Bench(place, workflows=60)
    before.now = START - timedelta(days=1)
    await before.judging.look_sooner()
    written = looks(place)

    lower = Thresholds(default=Limits(**dict.fromkeys(SHIPPED, timedelta(0))))
    keeper = Keeper(place.recorder, thresholds=lower)
    keeper.begin()
    asked: list[str] = []
    look_sooner = keeper.look_sooner

    def counted(after: str, now: datetime, limit: int) -> str | None:
        asked.append(after)
        return look_sooner(after, now, limit)

    monkeypatch.setattr(keeper, "look_sooner", counted)
    judging = Judging(
        keeper,
        between=before.between,
        facts_of=before.facts_of,
        thresholds=lower,
        now=lambda: before.now,
        pause=before.pause,
    )
    await judging.look_sooner()
    sooner = looks(place)
    assert sooner.keys() == written.keys()
    found = load_workflows(place.recorder.query, list(written))
    expected = {name: first_look(row, lower) for name, row in found.items()}
    assert sooner == {name: None if at is None else rounded(at) for name, at in expected.items()}
    earlier = [name for name, at in sooner.items() if at is not None and at < (written[name] or LATER)]
    assert len(earlier) > 3
    assert len(asked) == (len(written) // 2 + 1 + len(written) % 2 if at_once == 2 else 2)

    asked.clear()
    again = Judging(
        keeper,
        between=before.between,
        facts_of=before.facts_of,
        thresholds=Thresholds(default=Limits(**dict.fromkeys(SHIPPED, timedelta(0)))),
        now=lambda: before.now,
        pause=before.pause,
    )
    await again.look_sooner()
    await judging.look_sooner()
    assert asked == [], "they are those of the last time"


async def test_who_is_stuck_by_lower_thresholds_than_those_of_now_is_looked_at_again(bench: Bench) -> None:
    await bench.judging.look_sooner()
    await bench.judging.round()
    stuck = {row["workflow_id"] for row in stuck_workflows(bench.place.recorder.query)}
    higher = Thresholds(default=Limits(**dict.fromkeys(SHIPPED, timedelta(days=3_000))))
    keeper = Keeper(bench.place.recorder, thresholds=higher)
    keeper.begin()
    judging = Judging(
        keeper,
        between=bench.between,
        facts_of=bench.facts_of,
        thresholds=higher,
        now=lambda: bench.now,
        pause=bench.pause,
    )
    await judging.look_sooner()
    bench.now += timedelta(minutes=1)
    await judging.round()
    still = {row["workflow_id"] for row in stuck_workflows(bench.place.recorder.query)}
    rows = load_workflows(bench.place.recorder.query, sorted(stuck)).values()
    assert still == {row.workflow_id for row in rows if judge(row, Facts(), bench.now, higher).stuck is not None}
    assert still < stuck
    assert bench.rows() == bench.counted()


def test_thresholds_are_told_apart_by_their_digests() -> None:
    minute = Limits(start=timedelta(minutes=1))
    all_of_them = [
        Thresholds(),
        Thresholds(default=minute),
        Thresholds(definitions={"pay": minute}),
        Thresholds(activities={"pay": minute}),
        Thresholds(learnt={"pay": minute}),
        Thresholds(learnt={"lift": minute}),
        Thresholds(learnt={"pay": Limits(lease=timedelta(minutes=1))}),
    ]
    assert len({one.digest for one in all_of_them}) == len(all_of_them)
    assert Thresholds(default=Limits(start=timedelta(seconds=60))).digest == Thresholds(default=minute).digest
    assert all(0 < one.digest < 2**63 for one in all_of_them)
