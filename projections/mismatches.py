"""Histories that are decided otherwise now than they were: rows that the background check writes and takes away.

They are no part of the views: they come from deciding again, not from folding, and a rebuild leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain.ports import Cursor
from projections.sql import KEYS_PER_QUERY, Query, text_of

MISMATCH_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS replay_mismatches (
        workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, words TEXT NOT NULL, since TEXT NOT NULL)""",
)
"""`version` is that of the first event that is decided otherwise, `words` say how."""

WORDS_CHARACTERS: Final = 500


class Mismatch:
    """Statements to run along: a workflow's history is decided otherwise since then; it is to be judged at once."""

    def __init__(self, workflow_id: str, version: int, words: str, now: datetime) -> None:
        """Of one workflow."""
        self._values = workflow_id, version, words[:WORDS_CHARACTERS].replace("\0", "␀"), text_of(now)
        self._workflow_id = workflow_id
        self._now = now

    def run(self, cursor: Cursor) -> None:
        """Write the row; one that is there keeps since when."""
        cursor.execute(
            "INSERT INTO replay_mismatches (workflow_id, version, words, since) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (workflow_id) DO UPDATE SET version = excluded.version, words = excluded.words",
            self._values,
        )
        look_now(cursor, self._workflow_id, self._now)


class Agreed:
    """Statements to run along: a workflow's history is decided as it was; where it was not, it is judged at once."""

    def __init__(self, workflow_id: str, now: datetime) -> None:
        """Of one workflow."""
        self._workflow_id = workflow_id
        self._now = now

    def run(self, cursor: Cursor) -> None:
        """Take the row away."""
        if cursor.execute("DELETE FROM replay_mismatches WHERE workflow_id = ?", (self._workflow_id,)):
            look_now(cursor, self._workflow_id, self._now)


def look_now(cursor: Cursor, workflow_id: str, now: datetime) -> None:
    """Have a workflow judged at the next chance."""
    cursor.execute("UPDATE workflows SET look_at = ? WHERE workflow_id = ?", (text_of(now), workflow_id))


def mismatched_since(query: Query, workflow_ids: Sequence[str]) -> dict[str, datetime]:
    """Since when it is known that the histories of these workflows are decided otherwise; of those that are."""
    found: dict[str, datetime] = {}
    for start in range(0, len(workflow_ids), KEYS_PER_QUERY):
        ids = list(workflow_ids[start : start + KEYS_PER_QUERY])
        marks = ", ".join("?" * len(ids))
        rows = query(f"SELECT workflow_id, since FROM replay_mismatches WHERE workflow_id IN ({marks})", ids)  # noqa: S608
        found.update((name, datetime.fromisoformat(since)) for name, since in rows)
    return found
