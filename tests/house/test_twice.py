"""What stands in two rooms on purpose, because neither may import the other, is the same in both."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_time_limits_are_kept_the_same_way_in_both_rooms() -> None:
    consumers, producers = ((ROOT / room / "bounded.py").read_text() for room in ("consumers", "producers"))
    swapped = consumers.replace("producers", "\0").replace("consumers", "producers").replace("\0", "consumers")
    assert swapped == producers
