"""`handrail replay ID`: one workflow rebuilt from the store, decided again, and told. It reads, and writes nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.cli.exits import ExitCode
from deploy.cli.pending import pendings
from deploy.cli.session import Session
from domain.errors import StoreError
from domain.replay import fold
from domain.store.tombstones import lacking

if TYPE_CHECKING:
    from deploy.loading import LoadedDefinitions
    from domain.ports import Cursor
    from domain.recorded import RecordedEvent
    from domain.store.application import WorkflowStore
    from projections.replaying.reading import Elsewhere, History
    from projections.replaying.report import Report


def print_replay(session: Session, workflow_id: str, *, brief: bool = False) -> ExitCode:
    """Print the report of a workflow: as text, or as one JSON document. Raises WorkflowUnknown."""
    from deploy.cli.replay_text import painted, text_of
    from projections.replaying.documents import document_of

    report, commands = report_on(session, workflow_id)
    if session.screen.as_json:
        session.screen.document({**document_of(report), "next": commands})
    else:
        show = painted if at_terminal() else str
        for line in text_of(report, commands, details=not brief):
            session.screen.text(show(line))
    return exit_code_of_report(report)


def at_terminal() -> bool:
    """Whether what is printed is seen at a terminal that wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report_on(session: Session, workflow_id: str) -> tuple[Report, list[str]]:
    """The report of a workflow from one consistent view of the store, and the commands that would move the workflow.

    Raises WorkflowUnknown.
    """
    from projections.replaying.report import build, foldable

    definitions = loaded(session)
    with session.store() as store, store.reading() as cursor:
        reader = Reader(store, cursor)
        history = reader.history(workflow_id)
        report = build(history, definitions, reader.family, reader.counted, reader.completed)
    state = fold(foldable(history.sound)[0])
    if not report.known_to_end:
        return report, []  # what would have moved it once is not known to move anything now
    commands = [command for one in pendings(state, session.place) if one.needs_person for command in one.commands]
    return report, list(dict.fromkeys(commands))


def exit_code_of_report(report: Report) -> ExitCode:
    """0: the code decides what is recorded; 1: it does not, or the record is damaged; 3: not known."""
    from projections.replaying.verdict import Word

    if report.broken is not None or report.unreadable or report.verdict.word in {Word.DIFFERS, Word.UNDECIDABLE}:
        return ExitCode.ENDED
    return ExitCode.WAITING if report.verdict.word in {Word.DEFINITION_MISSING, Word.WITHHELD} else ExitCode.COMPLETED


def loaded(session: Session) -> LoadedDefinitions:
    """The definitions of the session's modules; what they print goes to stderr. Raises DefinitionInvalid."""
    from deploy.loading import load

    with contextlib.redirect_stdout(sys.stderr):
        return load(session.modules)


class Reader:
    """Reads histories in one consistent view of a store."""

    def __init__(self, store: WorkflowStore, cursor: Cursor) -> None:
        """`cursor` is the view."""
        self._store = store
        self._cursor = cursor

    def history(self, workflow_id: str) -> History:
        """A workflow's history; raises WorkflowUnknown."""
        from projections.replaying.reading import read_history

        history = read_history(self._cursor, self._store.mapper.read, workflow_id)
        if history is None:
            raise lacking(self._cursor.query, workflow_id)
        return history

    def family(self, workflow_id: str) -> Sequence[RecordedEvent] | None:
        """The events of a child or a parent, as far as they can be read; None where the store has none."""
        from projections.replaying.reading import read_history

        history = read_history(self._cursor, self._store.mapper.read, workflow_id)
        return None if history is None else history.sound

    def counted(self, fingerprint: str, workflow_id: str) -> Elsewhere | None:
        """How often the views have counted a failure elsewhere; None where they do not know it."""
        from projections.replaying.reading import counted_elsewhere

        try:
            return counted_elsewhere(self._cursor, fingerprint, workflow_id)
        except StoreError:  # a store of an older version, opened for reading, lacks views
            return None

    def completed(self, definition: str, version: str, besides: str) -> Sequence[RecordedEvent] | None:
        """The last run of a definition that completed, as the views know it; None where there is none."""
        from projections.replaying.reading import last_completed

        try:
            found = last_completed(self._cursor, self._store.mapper.read, definition, version, besides=besides)
        except StoreError:  # as above
            return None
        return None if found is None else self.family(found)
