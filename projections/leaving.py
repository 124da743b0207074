"""Takes archived workflows out of the views: their rows go, and the tallies with them; their failures stay counted.

How often a make of failure was seen is history, and of use for as long as it may come again: archiving does not make it
smaller. What an archived workflow had added is kept beside it, in `archived_failures`, and whoever folds the log anew
begins with that: so a rebuild comes to the same numbers without the events.

The views' position is held while this happens, so that nobody writes rows of these workflows once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from domain.ports import Cursor
from domain.recorded import RecordedEvent
from projections.rows import FailureNote, WorkflowRow
from projections.schema import ARCHIVED, ARCHIVED_FAILURES
from projections.sql import text_of
from projections.tables import count_failure
from projections.views import fold

LEFT_FROM: Final = ("steps", "waits", "attempts", "parked_views", "workflows", "replay_mismatches")
_COUNT: Final = count_failure(ARCHIVED_FAILURES)


class Failed(NamedTuple):
    """How often a workflow failed in one way, and from when to when."""

    fingerprint: str
    activity: str
    kind: str
    number: int
    first_seen: str
    last_seen: str


def failures_of(workflow_id: str, events: Iterable[RecordedEvent]) -> list[Failed]:
    """What a workflow has added to the counted failures: its events folded as the views fold them."""
    row = WorkflowRow(workflow_id)
    found: dict[str, Failed] = {}
    for recorded in events:
        fold(row, recorded)
        for note in row.notes:
            if isinstance(note, FailureNote):
                name, at = note.failure.fingerprint, text_of(note.at) or ""
                one = found.get(name) or Failed(name, note.activity, note.failure.kind.value, 0, at, at)
                first, last = min(one.first_seen, at), max(one.last_seen, at)
                found[name] = one._replace(number=one.number + 1, first_seen=first, last_seen=last)
        row.notes.clear()
    return sorted(found.values())


class Leave:
    """Statements that take workflows out of the views. Run them with the views' position held."""

    def __init__(self, workflow_ids: Sequence[str], failures: Sequence[Failed] = ()) -> None:
        """At most as many ids as one query takes; `failures` are what all of them had added."""
        self._ids = list(workflow_ids)
        self._failures = sorted(failures)

    def run(self, cursor: Cursor) -> None:
        """Delete the rows, count the tallies down, and count the failures as those of archived workflows."""
        marks = ", ".join("?" * len(self._ids))
        counted = Counter(
            cursor.query(
                "SELECT definition, status, coalesce(stuck_cause, '') FROM workflows "  # noqa: S608 - marks
                f"WHERE workflow_id IN ({marks})",
                self._ids,
            )
        )
        for key, number in sorted(counted.items()):
            cursor.execute(
                "UPDATE tallies SET number = number - ? WHERE definition = ? AND status = ? AND cause = ?",
                (number, *key),
            )
        for table in LEFT_FROM:
            cursor.execute(f"DELETE FROM {table} WHERE workflow_id IN ({marks})", self._ids)  # noqa: S608 - the same
        for one in self._failures:
            # In the words that the view has: they may be covered there, and are never compared.
            words = cursor.query("SELECT message FROM failures WHERE fingerprint = ?", (one.fingerprint,))
            message = words[0][0] if words else ""
            counted_up = (one.fingerprint, one.activity, one.kind, message, one.number, one.first_seen, one.last_seen)
            cursor.execute(_COUNT, counted_up)
        cursor.execute(
            "INSERT INTO positions (name, position) VALUES (?, 1) "
            "ON CONFLICT (name) DO UPDATE SET position = positions.position + 1",
            (ARCHIVED,),
        )
