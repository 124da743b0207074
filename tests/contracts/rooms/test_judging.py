"""Who judges, on PostgreSQL."""

import time
from concurrent.futures import ThreadPoolExecutor

from projections.keeper import Keeper
from projections.mending import hold_position
from projections.sql import DUE
from projections.stuck import Facts, judge
from projections.thresholds import Thresholds
from tests.unit.projections.conftest import Place
from tests.unit.projections.test_judging import *  # noqa: F403 - each of its tests
from tests.unit.projections.test_judging import LATER, Bench

LIMIT_SECONDS = 10.0


async def test_of_two_who_judge_at_one_moment_one_wins(place: Place) -> None:
    """The second waits for the position in the middle of its statement, which sees the rest as it was before."""
    bench = Bench(place)
    keepers = [bench.keeper, Keeper(place.recorder)]
    keepers[1].begin()
    found = [keeper.to_judge(LATER, 100) for keeper in keepers]
    judgements = [[(row, judge(row, Facts(), LATER, Thresholds())) for row in rows] for rows in found]
    with ThreadPoolExecutor(2) as threads:
        with place.recorder.transaction("project") as cursor:
            hold_position(cursor)
            judging = [threads.submit(keeper.judged, rows) for keeper, rows in zip(keepers, judgements, strict=True)]
            limit = time.monotonic() + LIMIT_SECONDS
            while len(cursor.query("SELECT 1 FROM pg_locks WHERE NOT granted")) < len(keepers):
                assert time.monotonic() < limit, "they do not come to the position"
        assert sorted(one.result(LIMIT_SECONDS) for one in judging) == [False, True]
    assert bench.rows() == bench.counted()


def test_who_is_due_is_found_by_indexes(place: Place) -> None:
    question = DUE.replace("?", "'2030'", 2).replace("?", "500")
    plan = "\n".join(row[0] for row in place.recorder.query(f"EXPLAIN (COSTS OFF) {question}"))
    assert "workflows_to_look_at" in plan, plan
    assert "Seq Scan" not in plan, plan
