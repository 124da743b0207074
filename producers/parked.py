"""What the relay could not carry on here: events kept in a row each, so that the position moves on and nothing is lost.

It happens where a process relays for workflows whose definitions it has not loaded. Whoever relays next tries again.
"""

from __future__ import annotations

from typing import Final

from domain.ports import Transactions

PARKED_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS relay_parked (
        workflow_id TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (workflow_id, version))""",
)

POINT: Final = "position"
"""A row stands for an event that the position has passed: a crash around it is a crash around the position."""

ParkedEvent = tuple[str, int]
"""A workflow's id, and the version of one of its events."""


class Parked:
    """The rows."""

    def __init__(self, store: Transactions) -> None:
        """Keep them in this store."""
        self._store = store

    def keep(self, event: ParkedEvent) -> None:
        """Keep an event; one that is kept already stays."""
        with self._store.transaction(POINT) as cursor:
            cursor.execute(
                "INSERT INTO relay_parked (workflow_id, version) VALUES (?, ?) ON CONFLICT DO NOTHING", event
            )

    def drop(self, event: ParkedEvent) -> None:
        """Forget an event that was carried on."""
        with self._store.transaction(POINT) as cursor:
            cursor.execute("DELETE FROM relay_parked WHERE workflow_id = ? AND version = ?", event)

    def all(self) -> list[ParkedEvent]:
        """All that are kept, those of a workflow in their order."""
        with self._store.reading() as cursor:
            rows = cursor.query("SELECT workflow_id, version FROM relay_parked ORDER BY workflow_id, version")
        return [(row[0], row[1]) for row in rows]
