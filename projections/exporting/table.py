"""An export as CSV (RFC 4180, UTF-8): a row for each event, for spreadsheets. deploy/docs/exports.md says the columns.

A cell that a spreadsheet would take for a formula gets an apostrophe before it. CSV cannot be verified: JSON Lines can.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any, Final

from domain.errors import EventCorrupt, EventUnknown
from domain.recorded import from_state
from domain.workflow import Workflow
from projections.exporting.reading import Exported, definition_in
from projections.exporting.rows import Row
from projections.exporting.telling import Teller, Told, in_utc, reason_in

COLUMNS: Final = (
    "workflow",
    "version",
    "at",
    "event",
    "definition",
    "definition_version",
    "status",
    "step",
    "attempt",
    "actor",
    "cause",
    "reason",
    "decision",
    "engine",
    "shown",
    "payload_digest",
    "digest",
    "payload",
)

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets begin a formula with, in half and in full width."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters, those of Latin 1 included, and what else ends a line."""


class Table:
    """One export as CSV."""

    def __init__(self, teller: Teller) -> None:
        """Nothing is written yet."""
        self._teller = teller

    def lines(self, histories: Iterable[Exported]) -> Iterator[bytes]:
        """The rows of the file, the header first; lines end with CR and LF."""
        yield _line(COLUMNS)
        for exported in histories:
            yield from self._events(exported)

    def _events(self, exported: Exported) -> Iterator[bytes]:
        definition = ("", "")
        status = _Status(exported.workflow_id)
        for number, told in enumerate(self._teller.events_of(exported), start=1):
            if number == 1:
                definition = definition_in(told.row)
            now = status.after(told.row) if told.row.version == number else status.lost()
            yield _row(told, definition, now)


def _row(told: Told, definition: tuple[str, str], status: str) -> bytes:
    row, fields, said = told.row, told.row.fields, told.said
    at = in_utc(fields.get("at"))
    return _line(
        (
            row.workflow_id,
            row.version,
            f"{at[:-1]}+00:00" if at else "",
            row.topic,
            *definition,
            status,
            said.get("step", ""),
            said.get("attempt", ""),
            fields.get("actor", ""),
            fields.get("cause", ""),
            reason_in(said),
            fields.get("decision", ""),
            fields.get("engine", ""),
            told.how,
            row.payload_digest,
            row.digest,
            told.payload.decode() if told.payload is not None else "",
        )
    )


class _Status:
    """The status of one workflow, event by event; empty from the first one on that cannot be read."""

    def __init__(self, workflow_id: str) -> None:
        self._workflow: Workflow | None = Workflow(workflow_id)

    def after(self, row: Row) -> str:
        """The status after one more event."""
        if self._workflow is None:
            return ""
        if row.withheld:
            return self.lost()
        try:
            recorded = from_state(row.workflow_id, row.version, row.topic, row.state, imported=row.salts is not None)
            self._workflow.apply(recorded)
        except (EventCorrupt, EventUnknown, KeyError, TypeError, AttributeError, ValueError):
            # Sound in itself, and yet behind nothing that it could follow: an export may be made up.
            return self.lost()
        return self._workflow.state.status.value

    def lost(self) -> str:
        """An event is missing or unreadable: from here on nothing is said."""
        self._workflow = None
        return ""


def _line(cells: tuple[Any, ...]) -> bytes:
    written = StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([guarded(cell) for cell in cells])
    return written.getvalue().encode()


def guarded(cell: object) -> str:
    """A cell that no spreadsheet computes, on one line, without characters that control anything."""
    text = _CONTROL.sub(" ", str(cell))
    begins = text.lstrip().startswith(_FORMULA)
    return f"{chr(39) if begins else ''}{text}"
