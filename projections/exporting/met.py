"""Which workflows of a file were met before: eight bytes of a digest of each id, so that a million take 16 MiB.

Ids of a file are in no order that would tell, and a set of them would take ten times as much.
"""

from __future__ import annotations

from array import array
from hashlib import sha256
from typing import Final

_BEGIN: Final = 1_024


class Met:
    """Takes ids, and knows those that it took: a table, half empty at least, where each has its place or one behind.

    Two ids may have the same eight bytes: that is as good as never, and whoever seeks such a pair gains nothing by it.
    """

    def __init__(self) -> None:
        """Nothing was met."""
        self._table = _empty(_BEGIN)
        self._size = 0

    def again(self, workflow: str) -> bool:
        """Whether this one was met before; from now on it is."""
        short = int.from_bytes(sha256(workflow.encode()).digest()[:8]) or 1
        place = _place(self._table, short)
        if self._table[place]:
            return True
        self._table[place] = short
        self._size += 1
        if self._size * 2 > len(self._table):
            larger = _empty(len(self._table) * 2)
            for one in self._table:
                if one:
                    larger[_place(larger, one)] = one
            self._table = larger
        return False


def _empty(places: int) -> array[int]:
    return array("Q", bytes(8 * places))


def _place(table: array[int], short: int) -> int:
    """Where it stands, or the free place that it would take."""
    place = short % len(table)
    while table[place] and table[place] != short:
        place = (place + 1) % len(table)
    return place
