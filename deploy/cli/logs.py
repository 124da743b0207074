"""The program's log: a file of the home, bounded in size; never the screen, unless somebody looks for a fault."""

from __future__ import annotations

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from deploy.cli.place import DEBUG_VARIABLE

LOG_FOLDER: Final = "logs"
LOG_FILE: Final = "handrail.log"
LOG_BYTES: Final = 2_000_000
LOG_FILES_KEPT: Final = 3


class LogFile(RotatingFileHandler):
    """A file of bounded size that is made, with its folder, for the first message."""

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def log_to(home: Path) -> None:
    """Send the program's log to a file of this home; with HANDRAIL_DEBUG to stderr too, and more of it."""
    logging.raiseExceptions = False  # a log that cannot be written must not end what it tells of
    debugging = bool(os.environ.get(DEBUG_VARIABLE))
    logger = logging.getLogger("handrail")
    logger.setLevel(logging.DEBUG if debugging else logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    path = home / LOG_FOLDER / LOG_FILE
    handlers: list[logging.Handler] = [
        LogFile(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", delay=True)
    ]
    if debugging:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger.addHandler(handler)
