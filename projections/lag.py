"""How far the views are behind the log: computed where they are read, since a projector that is dead cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.store.positions import position_of
from projections.schema import JUDGED_AT, POSITION, UNHEARD_AT
from projections.sql import text_of

UNJUDGED: Final = timedelta(minutes=1)
"""How late it may be looked at a workflow that is due: longer than another projector takes to begin."""
UNHEARD: Final = timedelta(minutes=1)
"""For how long it is told that the broker did not say how a queue is; while that is so, it is found out much sooner."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Events that the views do not have yet, and since when the first of them has been in the log."""

    events: int
    since: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """How long the first of them has waited."""
        return 0.0 if self.since is None else max(0.0, (now - self.since).total_seconds())


def lag_of(cursor: Cursor, decode: Callable[[str, int, str, bytes], RecordedEvent]) -> Lag:
    """How far the views are behind now. Raises EventCorrupt, EventUnknown where the first event cannot be read."""
    position = position_of(cursor, POSITION)
    ((newest,),) = cursor.query("SELECT coalesce(max(id), 0) FROM stored_events")
    if newest <= position:
        return Lag(0)
    rows = cursor.query(
        "SELECT originator_id, originator_version, topic, state FROM stored_events WHERE id > ? ORDER BY id LIMIT 1",
        (position,),
    )
    return Lag(newest - position, decode(*rows[0]).timestamp if rows else None)


def unjudged_since(cursor: Cursor, now: datetime) -> datetime | None:
    """Since when a workflow is due that nobody judges; None where somebody judges, though there be more than is done.

    Where nothing happens any more, the views are not behind: that nobody says what is stuck has to be seen by this.
    """
    if now - datetime.fromtimestamp(position_of(cursor, JUDGED_AT), UTC) < UNJUDGED:
        return None
    ((due,),) = cursor.query("SELECT min(look_at) FROM workflows WHERE look_at <= ?", (text_of(now - UNJUDGED),))
    return None if due is None else datetime.fromisoformat(due)


def is_unheard(cursor: Cursor, now: datetime) -> bool:
    """Whether it was judged lately without what the broker says of queues that commands lie in."""
    return now - datetime.fromtimestamp(position_of(cursor, UNHEARD_AT), UTC) < UNHEARD
