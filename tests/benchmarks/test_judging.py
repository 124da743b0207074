"""That rounds of judging are measured at all, in a blink."""

from tests.benchmarks.judging import measured
from tests.servers.postgres import Database


def test_judging_is_measured(own_database: Database) -> None:
    first, again = measured(own_database, 700)
    assert (first.judged, first.stuck) == (again.judged, again.stuck) == (700, 700)
    assert 0.0 < first.longest_wait < first.seconds
