"""The logger that an activity is given: it names the attempt, and cuts the values of opened secrets out."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from consumers.redaction import Redactor

_CALLER = 3
"""Frames between the author's line and the standard logger."""


class AttemptLogger:
    """Logs for one attempt, under `handrail.activity.<name>`. Takes the standard library's arguments."""

    __slots__ = ("_logger", "_message_id", "_redactor")

    def __init__(self, activity: str, message_id: str, redactor: Redactor) -> None:
        """Log for the attempt of this message id."""
        self._logger = logging.getLogger(f"handrail.activity.{activity}")
        self._message_id = message_id
        self._redactor = redactor

    def debug(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what only a search for a fault needs."""
        self._log(logging.DEBUG, message, arguments, named)

    def info(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what happens."""
        self._log(logging.INFO, message, arguments, named)

    def warning(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what should not happen, and did no harm yet."""
        self._log(logging.WARNING, message, arguments, named)

    def error(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what went wrong."""
        self._log(logging.ERROR, message, arguments, named)

    def exception(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what went wrong, with the exception at hand."""
        self._log(logging.ERROR, message, arguments, {"exc_info": True, **named})

    def _log(self, level: int, message: object, arguments: tuple[object, ...], named: Mapping[str, Any]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        text = str(message)
        if arguments:
            mapping = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], Mapping) else None
            text %= mapping or arguments
        trace = _trace(named.get("exc_info"))
        if trace:
            text = f"{text}\n{trace}"
        if self._redactor.active:
            text = self._redactor.text(text)
        self._logger.log(level, "%s: %s", self._message_id, text, stacklevel=_CALLER, extra=named.get("extra"))


def _trace(asked: object) -> str:
    """The exception asked for, as text, so that values can be cut out of it too."""
    if not asked:
        return ""
    error = asked if isinstance(asked, BaseException) else sys.exc_info()[1]
    return "".join(traceback.format_exception(error)).rstrip() if error is not None else ""
