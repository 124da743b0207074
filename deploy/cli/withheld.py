"""What can be shown of a workflow whose payloads are withheld: what is known up to there, and what headers say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.cli.exits import ExitCode
from deploy.cli.pending import pendings
from deploy.cli.session import Session
from deploy.cli.showing import as_document, as_text
from domain.errors import PayloadWithheld
from domain.replay import fold
from projections.exporting.reading import Histories, Row, Selection
from projections.replaying.reading import Unreadable, read_history
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
    at = last.at if isinstance(last, Unreadable) else last.timestamp
    state = fold(events) if events else None
    # What would have moved it then is not known to move anything now.
    waits = [replace(one, commands=()) for one in pendings(state, session.place)] if state is not None else []
    if session.screen.as_json:
        session.screen.document(
            {
                "workflow": workflow_id,
                "events": len(history.entries),
                "withheld": [one.version for one in history.withheld],
                "last_event": last.name,
                "last_event_at": None if at is None else at.isoformat(),
                "known_up_to": len(events),
                "known": None if state is None else as_document(state, waits),
            }
        )
        return ExitCode.COMPLETED
    session.screen.text(
        f"{workflow_id}  not known: the payload of event {gap.version} is withheld; the last of its "
        f"{len(history.entries)} events is {last.name}, {instant(at)} UTC"
    )
    if state is not None:
        session.screen.text(f"how it stood after event {len(events)}:")
        for line in as_text(state, waits):
            session.screen.text(line)
    return ExitCode.COMPLETED


def known_lines(store: WorkflowStore, workflow_id: str) -> Iterator[str]:
    """The events as `handrail history` prints them, those without their payloads included."""
    for exported in Histories(store.query, store.mapper.clear, Selection((workflow_id,))):
        for row in exported.rows:
            yield _line(row)


def _line(row: Row) -> str:
    digests = f'"previous":"{row.previous}","digest":"{row.digest}"'
    shown = '"withheld":true' if row.withheld else f'"payload":{row.payload.decode()}'
    return f"{row.header.decode()[:-1]},{digests},{shown}}}"
