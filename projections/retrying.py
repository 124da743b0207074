"""Takes parked workflows up again: each is folded anew from its own events, with its rows of every view.

What parked them has to be gone: an event that an older version could not read, or a history put right. Those that still
cannot be folded stay parked, with what is wrong now. Each is one transaction that holds the views' position, so rows
are of the event that the other workflows' rows are of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.errors import InputInvalid, PayloadWithheld, StoreError, StoreUnavailable
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.store.covers import Texts, texts_of
from projections.keeper import ERROR_CHARACTERS, Database
from projections.mending import hold_position, tell_projector
from projections.rows import AttemptNote, WorkflowRow
from projections.sql import ViewsAlong, load_parked, load_workflows
from projections.stuck import first_look, rounded, still
from projections.thresholds import AT_ONCE
from projections.views import ViewBroken, fold
from projections.withheld import Withheld, fold_withheld, withheld_entry

PAGE_EVENTS: Final = 1_000

Decode = Callable[[str, int, str, bytes], RecordedEvent]


@dataclass(slots=True)
class Retried:
    """What became of parked workflows: those that are folded now, and those parked again, each with what is wrong."""

    folded: list[str] = field(default_factory=list)
    parked: dict[str, str] = field(default_factory=dict)


class _NotFolded(Exception):
    """A workflow that still cannot be folded: where, and why."""

    def __init__(self, position: int, error: str) -> None:
        """The position of the event that stands in the way, and what is wrong with it."""
        super().__init__(error)
        self.position = position


def retry_parked(database: Database, decode: Decode, workflow_ids: Sequence[str] | None) -> Retried:
    """Fold these parked workflows anew, or (None) all of them. Raises InputInvalid for one that is not parked."""
    parked = load_parked(database.query)
    wanted = sorted(parked) if workflow_ids is None else list(dict.fromkeys(workflow_ids))
    for workflow_id in wanted:
        if workflow_id not in parked:
            raise InputInvalid(
                f"workflow {workflow_id[:200]!r} is not parked: `handrail projections status` shows those that are"
            )
    done = Retried()
    for workflow_id in wanted:
        with database.transaction("project") as cursor:
            position = hold_position(cursor)
            try:
                row = _folded(cursor, decode, workflow_id, position)
            except _NotFolded as found:
                error = done.parked[workflow_id] = str(found)[:ERROR_CHARACTERS]
                cursor.execute("DELETE FROM parked_views WHERE workflow_id = ?", (workflow_id,))
                ViewsAlong((), [(workflow_id, found.position, error)], texts=texts_of(database)).run(cursor)
                continue
            _replace(cursor, row, position, texts_of(database))
            done.folded.append(workflow_id)
    return done


def fold_anew(cursor: Cursor, decode: Decode, workflow_id: str, texts: Texts) -> None:
    """Have a workflow's rows be as its events make them now, in a transaction that is open. Raises StoreError."""
    position = hold_position(cursor)
    try:
        row = _folded(cursor, decode, workflow_id, position)
    except _NotFolded as found:
        raise StoreError(f"workflow {workflow_id}: its view cannot be built: {found}") from found
    _replace(cursor, row, position, texts)


def _replace(cursor: Cursor, row: WorkflowRow, position: int, texts: Texts) -> None:
    for table in ("parked_views", "workflows", "steps", "waits", "attempts"):
        cursor.execute(f"DELETE FROM {table} WHERE workflow_id = ?", (row.workflow_id,))  # noqa: S608 - ours
    if row.version:
        ViewsAlong([row], texts=texts).run(cursor)
    tell_projector(cursor, position)


def _folded(cursor: Cursor, decode: Decode, workflow_id: str, position: int) -> WorkflowRow:
    """The workflow's row as its events up to the position make it. Raises _NotFolded."""
    before = load_workflows(cursor.query, [workflow_id]).get(workflow_id)
    counted = before.version if before is not None else 0
    row = WorkflowRow(workflow_id)
    for place, recorded in _events(cursor, decode, workflow_id, position):
        try:
            if isinstance(recorded, Withheld):
                fold_withheld(row, recorded)
            else:
                fold(row, recorded)
        except ViewBroken as error:
            raise _NotFolded(place, str(error)) from error
        if row.version <= counted:
            # Its failures up to there are in the counts already.
            row.notes = [note for note in row.notes if isinstance(note, AttemptNote)]
    look_at = first_look(row, AT_ONCE)
    row.look_at = rounded(look_at) if look_at is not None else None
    if before is not None:
        row.counted = before.counted
        row.stuck = before.stuck if before.stuck is not None and still(row, before.stuck) else None
    return row


def _decoded(decode: Decode, place: int, event: Sequence[Any]) -> RecordedEvent | Withheld:
    try:
        return decode(*event)
    except PayloadWithheld as error:
        return withheld_entry(place, event, error)


def _events(
    cursor: Cursor, decode: Decode, workflow_id: str, position: int
) -> Iterator[tuple[int, RecordedEvent | Withheld]]:
    version = 0
    while True:
        rows = cursor.query(
            "SELECT id, originator_id, originator_version, topic, state FROM stored_events "
            "WHERE originator_id = ? AND originator_version > ? AND id <= ? ORDER BY originator_version LIMIT ?",
            (workflow_id, version, position, PAGE_EVENTS),
        )
        for place, *event in rows:
            try:
                yield place, _decoded(decode, place, event)
            except StoreUnavailable:
                raise
            except StoreError as error:
                raise _NotFolded(place, str(error)) from error
        if len(rows) < PAGE_EVENTS:
            return
        version = rows[-1][2]
