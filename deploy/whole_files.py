"""Files that are written whole or not at all, and take the place of another only where that is wanted."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from domain.errors import InputInvalid, StoreUnavailable


@contextlib.contextmanager
def whole_file(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Write to a file that gets its name only when all is written and on the disk; it is readable by its owner alone.

    Raises InputInvalid where there is something at `target` that may not be replaced, or no folder for it;
    StoreUnavailable where the disk says no. Then, as after any other error, what was there is there.
    """
    _check(target, replace=replace)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".unfinished", dir=target.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _give_name(unfinished, target, replace=replace)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"{target} cannot be written ({error.strerror or error}); name a place that can be"
        ) from error


def _check(target: Path, *, replace: bool) -> None:
    if not target.name or target.is_dir():
        raise InputInvalid(f"{target} is a folder; name a file")
    if not target.parent.is_dir():
        raise InputInvalid(f"the folder {target.parent} does not exist; make it, or name another")
    try:
        found = target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputInvalid(f"{target}: {error.strerror or error}; name another file") from error
    if not stat.S_ISREG(found.st_mode):
        raise InputInvalid(f"{target} is no plain file; name one")
    if not replace:
        raise InputInvalid(f"{target} exists already; name another file, or give --force")


def _give_name(unfinished: Path, target: Path, *, replace: bool) -> None:
    if replace:
        unfinished.replace(target)
    else:
        try:
            # Unlike a rename, a link never takes the place of a file that was made meanwhile.
            target.hardlink_to(unfinished)
        except FileExistsError as error:
            raise InputInvalid(f"{target} exists already; name another file, or give --force") from error
        except PermissionError:
            # A file system without links: then it is the check before that counts.
            _check(target, replace=False)
            unfinished.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
