"""When a heartbeat completed last, as the views show it: the whole path was whole then.

The instant stands in the table of positions, which every process reads anyway to tell how far behind it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.ports import Cursor
from domain.state import Status
from projections.sql import Query

COMPLETED: Final = "heartbeat-completed"
"""Name of the row; its position is an instant in whole seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Beaten:
    """How a heartbeat ended, by the views."""

    completed: bool
    at: datetime


def heartbeat_completed_at(query: Query) -> float | None:
    """When a heartbeat completed last, in seconds since 1970; None: never."""
    rows = query("SELECT position FROM positions WHERE name = ?", (COMPLETED,))
    return float(rows[0][0]) if rows else None


def heartbeat_ended(query: Query, workflow_id: str) -> Beaten | None:
    """How this heartbeat ended; None where the views do not know of it, or that it has ended."""
    rows = query(
        "SELECT status, ended_at FROM workflows WHERE workflow_id = ? AND ended_at IS NOT NULL", (workflow_id,)
    )
    if not rows:
        return None
    ((status, ended_at),) = rows
    return Beaten(status == Status.COMPLETED.value, datetime.fromisoformat(ended_at))


class HeartbeatCompleted:
    """Statements to run along: a heartbeat has completed then. A later one stays."""

    def __init__(self, at: datetime) -> None:
        """At this instant."""
        self._at = int(at.timestamp())

    def run(self, cursor: Cursor) -> None:
        """Write it."""
        cursor.execute(
            "INSERT INTO positions (name, position) VALUES (?, ?) ON CONFLICT (name) DO UPDATE "
            "SET position = excluded.position WHERE positions.position < excluded.position",
            (COMPLETED, self._at),
        )
