"""What can be shown of a workflow whose payloads are withheld: what is known up to there, and what headers say.

Of one that was erased also by whom, when and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.pending import pendings
from deploy.cli.screen import counted
from deploy.cli.session import Session
from deploy.cli.showing import as_document, as_text, minute
from deploy.cli.standing import iso
from domain.errors import PayloadWithheld
from domain.replay import fold
from projections.exporting.reading import Histories, Selection
from projections.exporting.rows import Row
from projections.replaying.documents import erased_document
from projections.replaying.reading import ending_of, moment_of, read_history, status_by
from projections.replaying.report import foldable
from projections.replaying.words import instant

if TYPE_CHECKING:
    from domain.store.application import WorkflowStore


def print_known(session: Session, store: WorkflowStore, workflow_id: str, error: PayloadWithheld) -> ExitCode:
    """Print how the workflow stood before the first event whose payload is withheld."""
    with store.reading() as cursor:
        history = read_history(cursor, store.mapper.read, workflow_id)
    if history is None or not history.withheld:
        raise error
    events, _ = foldable(history.sound)
    gap, last = history.withheld[0], history.entries[-1]
    state = fold(events) if events else None
    ending, erasure = ending_of(history.headers), history.erasure
    began, ended, at = (None if one is None else moment_of(one) for one in (history.entries[0], ending, last))
    left = erasure.left if erasure is not None else {}
    # What would have moved it then is not known to move anything now.
    waits = [replace(one, commands=()) for one in pendings(state, session.place)] if state is not None else []
    if session.screen.as_json:
        session.screen.document(
            {
                "workflow": workflow_id,
                "status": status_by(ending),
                "definition": left.get("definition") or (state.definition if state is not None else None),
                "started_at": iso(began),
                "ended_at": iso(ended),
                "erased": None if erasure is None else erased_document(erasure),
                "events": len(history.entries),
                "withheld": [one.version for one in history.withheld],
                "last_event": last.name,
                "last_event_at": iso(at),
                "known_up_to": len(events),
                "known": None if state is None else as_document(state, waits, events),
            }
        )
        return ExitCode.COMPLETED
    known = "not known" if ending is None else f"{status_by(ending)}; more is not known"
    session.screen.text(
        f"{workflow_id}  {known}: the payload of event {gap.version} is withheld; the last of its "
        f"{counted(len(history.entries), 'event')} is {last.name}, {instant(at)} UTC"
    )
    if erasure is not None:
        session.screen.text(f"  {one_line(erasure.words, 600)}")
    if state is None:
        definition = f"{left.get('definition', '')} {left.get('definition_version', '')}".strip()
        facts = {"definition": definition, "began": minute(began), "ended": minute(ended)}
        for name, fact in facts.items():
            if fact:
                session.screen.text(f"  {name:<13} {fact}")
    if state is not None:
        session.screen.text(f"how it stood after event {len(events)}:")
        for line in as_text(state, waits, events):
            session.screen.text(line)
    return ExitCode.COMPLETED


def known_lines(store: WorkflowStore, workflow_id: str) -> Iterator[str]:
    """The events as `handrail history` prints them, those without their payloads included."""
    for exported in Histories(store, store.mapper.clear, Selection((workflow_id,))):
        for row in exported.rows:
            yield _line(row)


def _line(row: Row) -> str:
    digests = f'"previous":"{row.previous}","digest":"{row.digest}"'
    shown = '"withheld":true' if row.withheld else f'"payload":{row.payload.decode()}'
    return f"{row.header.decode()[:-1]},{digests},{shown}}}"
