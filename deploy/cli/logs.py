"""The program's log: a file of the home, bounded in size; never the screen, unless somebody looks for a fault."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from deploy.cli.place import DEBUG_VARIABLE

LOG_FOLDER: Final = "logs"
LOG_FILE: Final = "handrail.log"
LOG_BYTES: Final = 2_000_000
LOG_FILES_KEPT: Final = 3


def log_to(home: Path) -> None:
    """Send the program's log to a file of this home, made with its first message; with HANDRAIL_DEBUG to stderr too."""
    from logging.handlers import RotatingFileHandler

    logging.raiseExceptions = False  # a log that cannot be written must not end what it tells of
    logger = logging.getLogger("handrail")
    logger.setLevel(logging.DEBUG if os.environ.get(DEBUG_VARIABLE) else logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handlers: list[logging.Handler] = []
    with contextlib.suppress(OSError):
        if home.is_dir():
            (home / LOG_FOLDER).mkdir(exist_ok=True)
        path = home / LOG_FOLDER / LOG_FILE
        handlers.append(
            RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", delay=True)
        )
    if os.environ.get(DEBUG_VARIABLE):
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(form)
        logger.addHandler(handler)
