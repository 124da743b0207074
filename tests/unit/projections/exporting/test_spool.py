"""Lines that wait on the disk: each once, in their order; and no room for them."""

import pytest

from domain.errors import StoreUnavailable
from projections.exporting.spool import Spool


def test_lines_come_out_once_in_the_order_in_which_they_came() -> None:
    with Spool() as spool:
        spool.add([("b", b"1"), ("a", b"2"), ("b", b"3")])
        spool.add_once("c", b"4")
        spool.add_once("c", b"4")
        assert list(spool.lines()) == [b"1", b"2", b"4"]


def test_what_is_referred_to_and_has_no_line_is_missing() -> None:
    with Spool() as spool:
        for name in ("z", "a", "z", "b"):
            spool.refer(name)
        spool.add([("a", b"1")])
        assert list(spool.missing()) == ["b", "z"]


def test_a_disk_without_room_is_told_in_words() -> None:
    with Spool() as spool:
        spool._connection.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreUnavailable, match="set TMPDIR to a folder with room"):
            spool.add((str(number), b"line" * 1_000) for number in range(1_000))
