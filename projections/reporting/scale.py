"""A scale of time that shows seconds beside days: linear, but for a few long waits, which are cut short.

A wait of three days between two attempts of a second each would leave of the attempts nothing to be seen. Where a few
stretches without any event are far longer than everything else, each of them gets the same small width, a break, and
the rest shares what is left of the picture in proportion. The breaks are drawn as such, with how long they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

MOST_BREAKS: Final = 8
_TICK: Final = timedelta(microseconds=1)
BREAK_WIDTH: Final = 56.0
_FAR_LONGER: Final = 20.0
"""How many times longer the shortest break is than the longest stretch that is none."""
_OF_ALL: Final = 4.0
"""How many times longer the breaks are together than everything else together."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time with the same scale throughout: from instant to instant, from x to x."""

    begin: datetime
    end: datetime
    left: float
    right: float
    broken: bool

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.begin).total_seconds()


class Scale:
    """Places of instants between two x."""

    def __init__(self, instants: Iterable[datetime], left: float, right: float) -> None:
        """`instants` are all at which something begins or ends; there is at least one."""
        marks = sorted(set(instants))
        if len(marks) == 1:
            marks.append(marks[0])
        self.left, self.right = left, right
        self.pieces = tuple(_pieces(marks, left, right))
        self._begins = [piece.begin for piece in self.pieces]

    @property
    def breaks(self) -> tuple[Piece, ...]:
        """Those that are not to scale."""
        return tuple(piece for piece in self.pieces if piece.broken)

    def x(self, at: datetime) -> float:
        """Where an instant is; what is outside is at the edge."""
        piece = self.pieces[max(0, bisect_right(self._begins, at) - 1)]
        if piece.seconds <= 0:
            return piece.left
        share = (at - piece.begin).total_seconds() / piece.seconds
        return piece.left + (piece.right - piece.left) * min(1.0, max(0.0, share))

    def at(self, x: float) -> datetime:
        """Which instant is at an x."""
        piece = next((one for one in self.pieces if x <= one.right), self.pieces[-1])
        width = piece.right - piece.left
        share = min(1.0, max(0.0, (x - piece.left) / width)) if width else 0.0
        return piece.begin + timedelta(seconds=piece.seconds * share)


def _pieces(marks: list[datetime], left: float, right: float) -> Iterator[Piece]:
    lengths = [(after - before) // _TICK for before, after in pairwise(marks)]
    broken = _breaks(lengths)
    shared = sum(length for number, length in enumerate(lengths) if number not in broken)
    wide = right - left - BREAK_WIDTH * len(broken)
    begin, x = marks[0], left
    for number in [*sorted(broken), len(marks) - 1]:
        end = marks[number]
        width = wide * ((end - begin) // _TICK / shared if shared else 1.0 / (len(broken) + 1))
        yield Piece(begin, end, x, x + width, broken=False)
        x += width
        if number in broken:
            yield Piece(end, marks[number + 1], x, x + BREAK_WIDTH, broken=True)
            begin, x = marks[number + 1], x + BREAK_WIDTH


def _breaks(lengths: list[int]) -> set[int]:
    """The numbers of the stretches that are far longer than all others; few, or none."""
    longest = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))[: MOST_BREAKS + 1]
    rest = sum(lengths)
    together = best = 0
    ratio = _FAR_LONGER
    for count, (number, following) in enumerate(pairwise(longest), start=1):
        rest -= lengths[number]
        together += lengths[number]
        if lengths[following] and together >= _OF_ALL * rest and lengths[number] / lengths[following] >= ratio:
            best, ratio = count, lengths[number] / lengths[following]
    return set(longest[:best])
