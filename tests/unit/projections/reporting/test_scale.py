"""The scale of a timeline: in order, linear, and broken where few waits are far longer than all else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.reporting.scale import BREAK_WIDTH, MOST_BREAKS, Scale

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY = 86_400.0


def scale_of(*lengths: float) -> Scale:
    """A scale of stretches of so many seconds, one after the other."""
    instants, at = [START], START
    for length in lengths:
        at += timedelta(seconds=length)
        instants.append(at)
    return Scale(instants, 100, 900)


def broken(*lengths: float) -> list[float]:
    return [piece.seconds for piece in scale_of(*lengths).breaks]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((1.0, 3.0), []),
        ((5.0, 1.0, 2.0, 9.0), []),
        ([1.0] * 9, []),
        ((1.0, 3 * DAY, 2.0), [3 * DAY]),
        ((0.5, DAY, 4.0, 2 * DAY, 1.0), [DAY, 2 * DAY]),
        ([1.0, DAY] * (MOST_BREAKS + 1), []),
        ((DAY,), []),
    ],
)
def test_only_what_is_far_longer_than_all_else_is_cut_short(lengths: list[float], expected: list[float]) -> None:
    assert broken(*lengths) == expected


def test_what_is_left_is_to_scale_and_shares_the_width() -> None:
    scale = scale_of(10, 3 * DAY, 30)
    first, gap, last = scale.pieces
    assert (first.left, last.right) == (100, 900)
    assert gap.right - gap.left == pytest.approx(BREAK_WIDTH)
    assert last.right - last.left == pytest.approx(3 * (first.right - first.left))
    assert scale.x(START + timedelta(seconds=5)) == pytest.approx((first.left + first.right) / 2)


def test_an_instant_alone_has_a_place() -> None:
    scale = scale_of()
    assert scale.x(START) == 100
    assert scale.at(500) == START


@given(st.lists(st.floats(min_value=0, max_value=1e7), min_size=1, max_size=60))
def test_order_is_kept_and_nothing_is_outside(lengths: list[float]) -> None:
    scale = scale_of(*lengths)
    at, places = START, [scale.x(START)]
    for length in lengths:
        at += timedelta(seconds=length)
        places.append(scale.x(at))
    assert places == sorted(places)
    assert 100 <= min(places) <= max(places) <= 900 + 1e-6
    assert [piece.left for piece in scale.pieces[1:]] == [piece.right for piece in scale.pieces[:-1]]
    assert scale.pieces[-1].right == pytest.approx(900)


@given(st.floats(min_value=100, max_value=900))
def test_a_place_leads_back_to_its_instant(x: float) -> None:
    scale = scale_of(10, 3 * DAY, 30)
    assert scale.x(scale.at(x)) == pytest.approx(x, abs=1e-3)
