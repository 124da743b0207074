"""Events whose payloads were erased, as the views fold them: by their clear headers, and what is left of the workflow.

Of an erased workflow the views keep what says nothing of its goal: its id and definition, when it began and ended, how
it ended, and how often failures of which fingerprint were counted with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from domain import events as e
from domain.errors import EventCorrupt, PayloadWithheld
from domain.failures import Failure, FailureClass
from domain.recorded import RecordedEvent, instant_in
from domain.state import Status
from projections.rows import FailureNote, WorkflowRow
from projections.views import ViewBroken, fold

ENDINGS: Final[Mapping[str, str]] = {
    e.WorkflowCompleted.stored_name: Status.COMPLETED.value,
    e.WorkflowFailed.stored_name: Status.FAILED.value,
    e.WorkflowCancelled.stored_name: Status.CANCELLED.value,
    e.WorkflowCompensated.stored_name: Status.COMPENSATED.value,
}
"""The status that a workflow has from an event of this name on."""

_MOST_FAILURES: Final = 1_000
"""So many kinds of failure are left of a workflow at most."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """An event of the log whose payload was erased: where it is, whose, and what its header and its store say."""

    position: int
    workflow_id: str
    version: int
    name: str
    at: datetime
    left: Mapping[str, Any] = field(default_factory=dict)


def withheld_entry(position: int, row: Sequence[Any], error: PayloadWithheld) -> Withheld:
    """The entry of a row of the log (workflow, version, topic, state). Raises EventCorrupt for a header of no event."""
    workflow_id, version, topic, state = row
    try:
        at = instant_in(from_json(bytes(state).split(b"\n", 1)[0]))
    except (ValueError, KeyError, TypeError) as damage:
        raise EventCorrupt(f"workflow {workflow_id} event {version}: its header cannot be read: {damage}") from damage
    return Withheld(position, workflow_id, version, topic, at, error.left)


def left_of(events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """What is to be left of a workflow with these events, beside its headers. Raises ViewBroken."""
    row = WorkflowRow(events[0].originator_id if events else "")
    failures: dict[str, list[Any]] = {}
    for recorded in events:
        fold(row, recorded)
        for note in row.notes:
            if isinstance(note, FailureNote):
                at = note.at.isoformat()
                made = [note.failure.fingerprint, note.activity, note.failure.kind.value, 0, at, at]
                counted = failures.setdefault(note.failure.fingerprint, made)
                counted[3] += 1
                counted[5] = at
        row.notes.clear()
    if len(failures) > _MOST_FAILURES:
        raise ViewBroken(f"more than {_MOST_FAILURES} different failures")
    return {
        "definition": row.definition,
        "definition_version": row.definition_version,
        "parent_workflow": row.parent_workflow,
        "forked_from": row.forked_from,
        "failures": list(failures.values()),
    }


def fold_withheld(row: WorkflowRow, entry: Withheld) -> None:
    """Fold one event without its payload. Raises ViewBroken for one that does not follow the row's."""
    if entry.version != row.version + 1:
        raise ViewBroken(f"event {entry.version} does not follow event {row.version}")
    left = entry.left
    if entry.version == 1:
        row.started_at = entry.at
        row.definition = left.get("definition", "")
        row.definition_version = left.get("definition_version", "")
        row.parent_workflow = left.get("parent_workflow")
        row.forked_from = left.get("forked_from")
        row.notes.extend(_notes(left))
    row.version = entry.version
    row.changed_at = entry.at
    ended = ENDINGS.get(entry.name.partition("@")[0])
    if ended is not None:
        row.standing.ended = ended
        row.standing.planning = False
        row.ended_at = entry.at


def _notes(left: Mapping[str, Any]) -> Iterator[FailureNote]:
    """The failures that are left, as they were counted: the first at its time, the others at the last one's."""
    for fingerprint, activity, kind, number, first, last in left.get("failures", ()):
        failure = Failure(kind=FailureClass(kind), type="", message="", fingerprint=fingerprint)
        for count in range(number):
            yield FailureNote(failure, activity, datetime.fromisoformat(first if count == 0 else last))
