"""What is left of workflows that were archived: who they were, how they ended, and where their events are now.

A tombstone is written by the transaction that takes the events away, and never changes. Its id is given to nobody
again: the database itself refuses events of a workflow that has a tombstone, whichever process, of whichever version of
Handrail, decided on them. `began` and `position` are the positions that its first and its last event had in the log,
`version` and `head` are the version and the digest of the last, `file` and `root` say which export holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any, Final

from domain.errors import StoreError, WorkflowArchived, WorkflowUnknown
from domain.ports import Cursor
from domain.store.recorder import EVENTS

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one SELECT; its rows."""

TOMBSTONES: Final = "tombstones"
IDS_A_QUERY: Final = 250


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One archived workflow. Instants are ISO 8601 texts in UTC."""

    workflow_id: str
    definition: str
    definition_version: str
    status: str
    version: int
    head: str
    began: int
    position: int
    started_at: str | None
    ended_at: str
    archived_at: str
    archived_by: str
    reason: str
    file: str
    root: str

    @property
    def words(self) -> str:
        """What is said to whoever asks for the workflow."""
        return (
            f"workflow {self.workflow_id!r} ({self.status} on {_day(self.ended_at)}) was archived on "
            f"{_day(self.archived_at)} by {self.archived_by}: its {self.version} events are in {self.file}; to look at "
            f"it: `handrail import {self.file} --read-only --home DIR`"
        )


COLUMNS: Final = tuple(one.name for one in fields(Tombstone))
_LISTED: Final = ", ".join(COLUMNS)


def tombstones_of(query: Query, workflow_ids: Iterable[str]) -> dict[str, Tombstone]:
    """The tombstones of those of the workflows that have one."""
    found: dict[str, Tombstone] = {}
    names = list(workflow_ids)
    for start in range(0, len(names), IDS_A_QUERY):
        page = names[start : start + IDS_A_QUERY]
        marks = ", ".join("?" * len(page))
        rows = _asked(query, f"SELECT {_LISTED} FROM {TOMBSTONES} WHERE workflow_id IN ({marks})", page)
        found.update((row[0], Tombstone(*row)) for row in rows)
    return found


def tombstones_between(query: Query, after: int, until: int, upto: int, limit: int) -> list[Tombstone]:
    """Up to `limit` tombstones of workflows that began behind a position, `until` another, as they began.

    Those are left out whose last event is behind the position `upto`.
    """
    rows = _asked(
        query,
        f"SELECT {_LISTED} FROM {TOMBSTONES} WHERE began > ? AND began <= ? AND position <= ? ORDER BY began LIMIT ?",
        (after, until, upto, limit),
    )
    return [Tombstone(*row) for row in rows]


def how_many(query: Query, definition: str | None = None) -> int:
    """How many workflows, or how many of a definition, are archived."""
    which, parameters = ("", ()) if definition is None else (" WHERE definition = ?", (definition,))
    rows = _asked(query, f"SELECT count(*) FROM {TOMBSTONES}{which}", parameters)
    return int(rows[0][0]) if rows else 0


def lacking(query: Query, workflow_id: str) -> WorkflowUnknown:
    """What is said of an id that has no events in the store: that it was archived, or that nothing is known of it."""
    found = tombstones_of(query, [workflow_id]).get(workflow_id)
    if found is not None:
        return WorkflowArchived(found.words)
    return WorkflowUnknown(f"there is no workflow {workflow_id!r}: `handrail list` shows those there are")


class Bury:
    """Statements that write tombstones."""

    def __init__(self, tombstones: Sequence[Tombstone]) -> None:
        """Of workflows whose events this transaction has taken away."""
        self._rows = [astuple(one) for one in tombstones]

    def run(self, cursor: Cursor) -> None:
        """Write them; raises VersionConflict where there is one already."""
        marks = ", ".join("?" * len(COLUMNS))
        cursor.executemany(f"INSERT INTO {TOMBSTONES} ({_LISTED}) VALUES ({marks})", self._rows)


def heads_still_there(cursor: Cursor, workflow_ids: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    """Of those of the workflows that have events, the last version and its position."""
    marks = ", ".join("?" * len(workflow_ids))
    rows = cursor.query(
        f"SELECT originator_id, max(originator_version), max(id) FROM {EVENTS} WHERE originator_id IN ({marks}) "
        "GROUP BY originator_id",
        list(workflow_ids),
    )
    return {name: (int(version), int(position)) for name, version, position in rows}


def _asked(query: Query, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows; none where a file of an older version, opened for reading only, has no tombstones yet."""
    try:
        return query(statement, parameters)
    except StoreError as error:
        if f"no such table: {TOMBSTONES}" in str(error):
            return []
        raise


def _day(instant: str) -> str:
    try:
        return f"{datetime.fromisoformat(instant):%Y-%m-%d}"
    except ValueError:
        return instant[:10]
