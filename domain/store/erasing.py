"""Destroying a workflow's key: the statements, for the transaction that takes away whatever else tells of its payloads.

What is destroyed is overwritten where the database can do that (SQLite's `secure_delete`, and its log file emptied
afterwards). PostgreSQL keeps old versions of rows until they are vacuumed, and the write-ahead log until it is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from domain.errors import FenceMissed
from domain.ports import Cursor
from domain.store.covers import ERASURE_COLUMNS, Query
from domain.store.recorder import EVENTS, SNAPSHOTS

EMPTIED: Final = ("replay_mismatches", "relay_parked", "subscriptions", "approvals_pending", "timers")
"""Tables whose rows of an erased workflow are taken away: what they are for is over when it has ended."""


class Erase:
    """Statements that destroy a workflow's keys and its snapshots, and say who did it."""

    def __init__(self, workflow_id: str, version: int, *, by: str, reason: str, left: dict[str, Any]) -> None:
        """`version` is that of its last event, `left` what its view is built from afterwards."""
        self._workflow_id = workflow_id
        self._version = version
        self._by = by
        self._reason = reason
        self._left = json.dumps(left, ensure_ascii=False)

    def run(self, cursor: Cursor) -> None:
        """Destroy. Raises FenceMissed where the workflow went on, or was erased, meanwhile."""
        name = (self._workflow_id,)
        erased = cursor.execute(
            "UPDATE workflow_keys SET key = '', key_id = NULL, wrapped = NULL, clear_upto = NULL "
            "WHERE workflow_id = ? AND wrapped IS NOT NULL",
            name,
        )
        newest = cursor.query(f"SELECT max(originator_version) FROM {EVENTS} WHERE originator_id = ?", name)
        if not erased or newest != [(self._version,)]:
            raise FenceMissed(f"workflow {self._workflow_id} went on, or was erased, meanwhile; run it again")
        cursor.execute(f"DELETE FROM {SNAPSHOTS} WHERE originator_id = ?", name)
        for table in EMPTIED:
            cursor.execute(f"DELETE FROM {table} WHERE workflow_id = ?", name)
        cursor.execute(
            f"INSERT INTO erasures ({ERASURE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            (self._workflow_id, self._version, cursor.now(), self._by, self._reason, self._left),
        )


def rewrap_pages(query: Query, current: str, page: int) -> Iterator[list[tuple[str, str, str, int]]]:
    """The workflows whose keys are wrapped with another key than the current one, with their rows, page by page."""
    after = ""
    while True:
        rows = query(
            "SELECT workflow_id, key_id, wrapped, clear_upto FROM workflow_keys "
            "WHERE workflow_id > ? AND wrapped IS NOT NULL AND key_id <> ? ORDER BY workflow_id LIMIT ?",
            (after, current, page),
        )
        if rows:
            yield [(row[0], row[1], row[2], row[3]) for row in rows]
        if len(rows) < page:
            return
        after = rows[-1][0]


def clear_page(query: Query, page: int) -> list[tuple[str, int]]:
    """Up to so many workflows whose key is not wrapped and that were not erased, each with its last version."""
    rows = query(
        "SELECT workflow_keys.workflow_id, (SELECT max(originator_version) FROM stored_events "
        "WHERE originator_id = workflow_keys.workflow_id) FROM workflow_keys LEFT JOIN erasures "
        "ON erasures.workflow_id = workflow_keys.workflow_id "
        "WHERE workflow_keys.wrapped IS NULL AND erasures.workflow_id IS NULL "
        "ORDER BY workflow_keys.workflow_id LIMIT ?",
        (page,),
    )
    return [(row[0], row[1] or 0) for row in rows]


def counts(query: Query) -> tuple[dict[str, int], int, int, int]:
    """How many workflows are under which key of the ring, how many erased, begun in clear, and without any key."""
    rows: Sequence[tuple[Any, ...]] = query(
        "SELECT key_id, count(*), sum(CASE WHEN clear_upto > 0 THEN 1 ELSE 0 END) FROM workflow_keys "
        "WHERE wrapped IS NOT NULL GROUP BY key_id ORDER BY key_id",
        (),
    )
    ((erased,),) = query("SELECT count(*) FROM erasures", ())
    ((without,),) = query(
        "SELECT count(*) FROM workflow_keys LEFT JOIN erasures ON erasures.workflow_id = workflow_keys.workflow_id "
        "WHERE workflow_keys.wrapped IS NULL AND erasures.workflow_id IS NULL",
        (),
    )
    in_clear = sum(int(row[2]) for row in rows)
    return {row[0]: int(row[1]) for row in rows}, int(erased), in_clear, int(without)
