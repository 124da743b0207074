"""One statement for many rows: what costs a round trip or a parse a row elsewhere goes out as a few statements.

An INSERT of one row becomes one of 64, 16, 4 and 1 rows, so that few different statements are prepared. Where rows may
meet one another (an upsert with the same key twice), they go one by one, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

_SIZES: Final = (64, 16, 4, 1)
_INSERT: Final = re.compile(
    r"(?P<head>\s*INSERT\s+INTO\s+\w+\s*\((?P<columns>[^)]*)\)\s*VALUES\s*)(?P<row>\([?,\s]*\))(?P<tail>.*)",
    re.IGNORECASE | re.DOTALL,
)
_KEY: Final = re.compile(r"ON\s+CONFLICT\s*\((?P<key>[^)]*)\)\s*DO\s+UPDATE", re.IGNORECASE)
_STATEMENTS_KNOWN: Final = 512


class _Insert(NamedTuple):
    """An INSERT of plain values, taken apart; `key` are the places of the columns that rows may meet in."""

    head: str
    row: str
    tail: str
    key: tuple[int, ...]


def several(statement: str, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Statements and their parameters that do what the statement does for each row in turn."""
    insert = _taken_apart(statement) if len(rows) > 1 else None
    if insert is None or (insert.key and not _all_different(rows, insert.key)):
        for row in rows:
            yield statement, row
        return
    begin = 0
    for size in _SIZES:
        while len(rows) - begin >= size:
            yield _for(statement, size), list(chain.from_iterable(rows[begin : begin + size]))
            begin += size


def is_insert(statement: str) -> bool:
    """Whether every value of the rows goes into a column."""
    return _taken_apart(statement) is not None


def _all_different(rows: Sequence[Sequence[Any]], key: tuple[int, ...]) -> bool:
    return len({tuple(row[place] for place in key) for row in rows}) == len(rows)


@lru_cache(maxsize=_STATEMENTS_KNOWN)
def _taken_apart(statement: str) -> _Insert | None:
    found = _INSERT.fullmatch(statement)
    if found is None or "?" in found["tail"]:
        return None
    names = [name.strip() for name in found["columns"].split(",")]
    key = _KEY.search(found["tail"])
    places = tuple(names.index(name.strip()) for name in key["key"].split(",")) if key else ()
    return _Insert(found["head"], found["row"], found["tail"], places)


@lru_cache(maxsize=_STATEMENTS_KNOWN)
def _for(statement: str, size: int) -> str:
    insert = _taken_apart(statement)
    if insert is None or size == 1:
        return statement
    return f"{insert.head}{', '.join([insert.row] * size)}{insert.tail}"
