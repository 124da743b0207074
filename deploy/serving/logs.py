"""What a serving process logs: a line of JSON each for machines, words at a terminal. On stderr.

A record says which message it is about with `extra={"message_id": …}`, or which workflow with
`extra={"workflow": …}`; a command's message id is taken apart here, so that its workflow, step and attempt can be
searched for without whoever logs having to name them.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from domain.errors import InputInvalid
from domain.ids import parse_message_id

LEVELS: Final = ("debug", "info", "warning", "error")
KEYS: Final = ("workflow", "step", "kind", "attempt", "message_id", "role", "queue")
"""What a record may say beside its text, in the order in which a line shows it."""

LIBRARIES: Final = ("asyncio", "uvicorn", "httpx", "psycopg")
OUTSPOKEN: Final = ("aiormq", "aio_pika")
"""They write a trace for every connection that goes, which is an ordinary thing; HANDRAIL_DEBUG shows them."""

MOST_CHARACTERS: Final = 16_000
"""Of one record's text or trace; what is longer is cut, and says so."""


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record is about."""
    given = vars(record)
    facts = {key: given[key] for key in KEYS if given.get(key) not in {None, ""}}
    message_id = facts.get("message_id")
    if isinstance(message_id, str) and "workflow" not in facts:
        try:
            command = parse_message_id(message_id)
        except InputInvalid:
            return facts
        facts.update(workflow=command.workflow_id, step=command.step, kind=command.kind, attempt=command.attempt)
    return facts


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever the text holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "at": _instant(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
            "process": record.process,
            **facts_of(record),
        }
        if record.exc_info:
            line["trace"] = _cut(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class Words(logging.Formatter):
    """A line for a person: time, level, text, and what it is about where the text does not say it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines with a trace, of a record."""
        text = _cut(record.getMessage())
        about = " ".join(f"{key}={value}" for key, value in facts_of(record).items() if str(value) not in text)
        line = f"{_instant(record):%H:%M:%S} {record.levelname.lower():7} {text}{f'  ({about})' if about else ''}"
        return f"{line}\n{_cut(self.formatException(record.exc_info))}" if record.exc_info else line


def log_to_stream(level: str = "info", stream: TextIO | None = None) -> None:
    """Send the program's log to stderr: words where that is a terminal, JSON where it is not.

    The libraries' log goes the same way, so that every line is one to be read; they say nothing of a broker that goes
    away, which the program says itself.
    """
    logging.raiseExceptions = False  # a log that cannot be written must not end what it tells of
    target = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(Words() if target.isatty() else JsonLines())
    debugged = bool(os.environ.get("HANDRAIL_DEBUG"))
    _log_to(handler, "handrail", logging.DEBUG if debugged else level.upper())
    for library in LIBRARIES:
        _log_to(handler, library, logging.WARNING)
    for library in OUTSPOKEN:
        _log_to(handler, library, logging.WARNING if debugged else logging.CRITICAL)


def _log_to(handler: logging.Handler, name: str, level: int | str) -> None:
    logger = logging.getLogger(name)
    logger.setLevel(level)
    logger.propagate = False
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _cut(text: str) -> str:
    left_out = len(text) - MOST_CHARACTERS
    return text if left_out <= 0 else f"{text[:MOST_CHARACTERS]} … ({left_out} characters left out)"
