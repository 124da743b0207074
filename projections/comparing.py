"""Compares the live views with their shadow, row for row and page by page, and says which rows differ, and how.

What is judged beside the events (when to look, what a workflow is stuck by) is left out, and what a make of failure
tells of one of its failures (words, activity). Rows of workflows that cannot be folded are left out as well: there is
nothing to hold them against. So are failures of heartbeats: they stay counted when the heartbeats are removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from projections.hidden import not_hidden
from projections.schema import (
    ATTEMPT_COLUMNS,
    FAILURE_COLUMNS,
    JUDGED,
    SHADOW_PREFIX,
    STEP_COLUMNS,
    WAIT_COLUMNS,
    WORKFLOW_COLUMNS,
)
from projections.sql import KEYS_PER_QUERY, Query

PAGE_ROWS: Final = 2_000
"""Rows of one table that are compared at once."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class View:
    """One view: its columns, those of its key, and those that are not compared. `lowest` is below every key.

    `which` is the condition on the rows that are compared.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    lowest: tuple[str | int, ...]
    apart: frozenset[str] = frozenset()
    which: str = "1 = 1"

    @property
    def of_workflows(self) -> bool:
        """Whether each row is of one workflow."""
        return self.key[0] == "workflow_id"

    def key_of(self, row: Row) -> Row:
        """The key of a row."""
        return tuple(row[self.columns.index(name)] for name in self.key)


PARKED: Final = View("parked_views", ("workflow_id", "position", "error"), ("workflow_id",), ("",))
WORKFLOWS: Final = View("workflows", WORKFLOW_COLUMNS, ("workflow_id",), ("",), JUDGED)
VIEWS: Final[tuple[View, ...]] = (
    PARKED,
    WORKFLOWS,
    View("steps", STEP_COLUMNS, ("workflow_id", "step"), ("", "")),
    View("waits", WAIT_COLUMNS, ("workflow_id", "key"), ("", "")),
    View("attempts", ATTEMPT_COLUMNS, ("workflow_id", "step", "kind", "attempt"), ("", "", "", 0)),
    View(
        "failures",
        FAILURE_COLUMNS,
        ("fingerprint",),
        ("",),
        frozenset({"activity", "message"}),
        not_hidden("activity"),
    ),
)
TALLIES: Final = "tallies"
NAMES: Final = (*(view.name for view in VIEWS), TALLIES)


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not as its events say. `live` is as it is (None: it is lacking), `folded` as it should be."""

    view: str
    key: Row
    live: Row | None
    folded: Row | None
    columns: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """In words."""
        if self.live is None:
            return "is lacking"
        return "is too many" if self.folded is None else f"differs in {', '.join(self.columns)}"


def differences(
    query: Query, view: View, *, only: Sequence[str] | None = None, leave_out: Collection[str] = ()
) -> Iterator[list[Difference]]:
    """The rows that differ, a page at a time: of all keys, or of these workflows `only`; some are left out."""
    pages = _ranges(query, view) if only is None or not view.of_workflows else _of_workflows(query, view, only)
    for live, folded in pages:
        found = [
            one for one in _compared(view, live, folded) if not (view.of_workflows and str(one.key[0]) in leave_out)
        ]
        if found:
            yield found


def tallies_differing(query: Query) -> list[Difference]:
    """The tallies that do not agree with the rows that they count."""
    return [
        Difference(TALLIES, tuple(key), _with(key, kept), _with(key, counted), ("number",))
        for *key, kept, counted in query(_MISCOUNTED, ())
    ]


COUNTED: Final = (
    "SELECT definition, status, coalesce(stuck_cause, '') AS cause, count(*) AS number FROM workflows "
    "GROUP BY definition, status, coalesce(stuck_cause, '')"
)
# One statement, so that both are seen at one moment, whoever takes rows away meanwhile.
_MISCOUNTED: Final = (
    "SELECT definition, status, cause, CAST(sum(kept) AS BIGINT), CAST(sum(counted) AS BIGINT) FROM ("  # noqa: S608 - fixed parts
    "SELECT definition, status, cause, number AS kept, 0 AS counted FROM tallies "
    f"UNION ALL SELECT definition, status, cause, 0, number FROM ({COUNTED}) AS rows_counted) AS both_counted "
    "GROUP BY definition, status, cause HAVING sum(kept) <> sum(counted) ORDER BY definition, status, cause"
)


def _with(key: Sequence[Any], number: int) -> Row | None:
    """The tally; one that counts nothing is none."""
    return (*key, number) if number else None


def _compared(view: View, live: Mapping[Row, Row], folded: Mapping[Row, Row]) -> Iterator[Difference]:
    for key in {**live, **folded}:
        one, other = live.get(key), folded.get(key)
        if one == other:
            continue
        if one is None or other is None:
            yield Difference(view.name, key, one, other)
            continue
        apart = view.apart
        columns = tuple(
            name for name, a, b in zip(view.columns, one, other, strict=True) if a != b and name not in apart
        )
        if columns:
            yield Difference(view.name, key, one, other, columns)


def _ranges(query: Query, view: View) -> Iterator[tuple[dict[Row, Row], dict[Row, Row]]]:
    """Both tables from the lowest key to the highest. The database says what follows what: orders of texts vary."""
    key, marks = ", ".join(view.key), ", ".join("?" * len(view.key))
    names = view.name, f"{SHADOW_PREFIX}{view.name}"
    part = f"WHERE ({key}) > ({marks}) AND {view.which} ORDER BY {key} LIMIT ?"
    parts = (f"SELECT {key} FROM {name} {part}" for name in names)  # noqa: S608 - names of ours
    live_part, shadow_part = parts
    next_keys = (
        f"SELECT {key} FROM ({live_part}) AS live UNION SELECT {key} FROM ({shadow_part}) AS shadow "  # noqa: S608
        f"ORDER BY {key} LIMIT ?"
    )
    low: Row = view.lowest
    while True:
        keys = query(next_keys, (*low, PAGE_ROWS, *low, PAGE_ROWS, PAGE_ROWS))
        if not keys:
            return
        high = keys[-1]
        where = f"({key}) > ({marks}) AND ({key}) <= ({marks})"
        live, shadow = (_rows(query, view, name, where, (*low, *high)) for name in names)
        yield live, shadow
        if len(keys) < PAGE_ROWS:
            return
        low = high


def _of_workflows(
    query: Query, view: View, workflow_ids: Sequence[str]
) -> Iterator[tuple[dict[Row, Row], dict[Row, Row]]]:
    for start in range(0, len(workflow_ids), KEYS_PER_QUERY):
        ids = workflow_ids[start : start + KEYS_PER_QUERY]
        where = f"workflow_id IN ({', '.join('?' * len(ids))})"
        live, shadow = (_rows(query, view, f"{prefix}{view.name}", where, ids) for prefix in ("", SHADOW_PREFIX))
        yield live, shadow


def _rows(query: Query, view: View, table: str, where: str, parameters: Sequence[Any]) -> dict[Row, Row]:
    found = query(f"SELECT {', '.join(view.columns)} FROM {table} WHERE {where} AND {view.which}", parameters)  # noqa: S608
    return {view.key_of(row): row for row in found}
