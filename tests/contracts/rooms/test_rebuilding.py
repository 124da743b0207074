"""The rebuilding of the views, on PostgreSQL."""

import time
from concurrent.futures import ThreadPoolExecutor

from projections.keeper import Keeper
from projections.mending import hold_position, tell_projector
from projections.projector import catch_up
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import history
from tests.unit.projections.test_rebuilding import *  # noqa: F403 - each of its tests

LIMIT_SECONDS = 10.0


def test_a_projector_that_waits_while_rows_are_mended_writes_nothing_over_them(place: Place) -> None:
    """It waits for the position in the middle of its statement, which sees the other rows as they were before."""
    log = history(73, 6)
    place.put(log[:-2])
    keeper = Keeper(place.recorder)
    catch_up(keeper, place.log)
    place.put(log[-2:])
    keeper.take(place.log.read(keeper.position, 10))
    with ThreadPoolExecutor(1) as threads:
        with place.recorder.transaction("project") as cursor:
            position = hold_position(cursor)
            writing = threads.submit(keeper.write)
            limit = time.monotonic() + LIMIT_SECONDS
            while not cursor.query("SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert time.monotonic() < limit, "the projector does not come to the position"
            tell_projector(cursor, position)
        assert writing.result(LIMIT_SECONDS) is False
    assert keeper.position == position
