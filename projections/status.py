"""How the views are: how far, how much is in them, what is parked, when something was judged last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from domain.errors import EventCorrupt, EventUnknown, PayloadWithheld
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.store.covers import CLEAR, Texts
from domain.store.positions import position_of
from projections.lag import Lag, lag_of
from projections.schema import JUDGED_AT, POSITION, TABLES

PARKED_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Parked:
    """A workflow whose history cannot be folded: the event's position in the log, and what is wrong with it."""

    workflow_id: str
    position: int
    error: str


@dataclass(frozen=True, slots=True)
class ViewsStatus:
    """How the views are. `rows` counts each view's, `parked` are the first of those that are.

    `judged_at` is when something was judged last, `due_at` since when (or from when on) something is to be judged.
    """

    position: int
    newest: int
    lag: Lag
    rows: dict[str, int]
    parked: tuple[Parked, ...]
    judged_at: datetime | None
    due_at: datetime | None


def status_of(
    cursor: Cursor, decode: Callable[[str, int, str, bytes], RecordedEvent], texts: Texts = CLEAR
) -> ViewsStatus:
    """How the views are now; `texts` shows what is kept hidden."""
    ((newest,),) = cursor.query("SELECT coalesce(max(id), 0) FROM stored_events")
    parked = cursor.query(
        "SELECT workflow_id, position, error FROM parked_views ORDER BY position, workflow_id LIMIT ?", (PARKED_SHOWN,)
    )
    judged = position_of(cursor, JUDGED_AT)
    ((due,),) = cursor.query("SELECT min(look_at) FROM workflows WHERE look_at IS NOT NULL")
    position = position_of(cursor, POSITION)
    try:
        lag = lag_of(cursor, decode)
    except (EventCorrupt, EventUnknown, PayloadWithheld):
        # The projector will park its workflow; how old the event is cannot be told.
        lag = Lag(newest - position)
    return ViewsStatus(
        position=position,
        newest=newest,
        lag=lag,
        rows={name: cursor.query(f"SELECT count(*) FROM {name}")[0][0] for name in TABLES},  # noqa: S608 - ours
        parked=tuple(Parked(name, place, texts.show(error)) for name, place, error in parked),
        judged_at=datetime.fromtimestamp(judged, UTC) if judged else None,
        due_at=datetime.fromisoformat(due) if due is not None else None,
    )
