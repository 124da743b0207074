"""A consistent copy of a SQLite store, made while others write to it.

The copy is made under another name and renamed when it is whole and checked, so that a file of the wanted name is
always a backup that can be used. It reads over a connection of its own: it may run in a thread beside the writer.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from domain.errors import InputInvalid, StoreUnavailable
from domain.store.connection_sqlite import check_header
from domain.store.trouble import LOCK_TIMEOUT_SECONDS, trouble

_PAGES_AT_ONCE: Final = 1_024
_SOUND: Final = "ok"


def backup(source: str, target: Path) -> None:
    """Copy the store at `source` to the file `target`.

    Raises InputInvalid where the target exists or its folder does not, StoreUnavailable where reading or writing
    fails; then there is no file at `target`.
    """
    if os.path.lexists(target):
        raise InputInvalid(f"{target} exists already; name a file that does not")
    if not target.parent.is_dir():
        raise InputInvalid(f"the folder {target.parent} does not exist; make it, or name another")
    unfinished = target.with_name(f"{target.name}.unfinished-{os.getpid()}")
    try:
        # All that is in the store is in its copy: it is for whoever made it, unless that one says otherwise.
        os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600))
        _copy(source, unfinished)
        try:
            # Unlike a rename, a link never takes the place of a file that was made meanwhile.
            os.link(unfinished, target)
        except FileExistsError as error:
            raise InputInvalid(f"{target} exists already; name a file that does not") from error
        _settle(target.parent)
    except OSError as error:
        raise StoreUnavailable(f"backup {target} cannot be written ({error.strerror}); name another place") from error
    finally:
        for leftover in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                unfinished.with_name(unfinished.name + leftover).unlink()


def at_rest(path: Path) -> None:
    """Have a store that nobody has open be one file alone, on the disk. Raises StoreUnavailable."""
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise trouble(error, str(path)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _copy(source: str, unfinished: Path) -> None:
    try:
        origin = sqlite3.connect(f"file:{quote(source)}?mode=ro", uri=True, timeout=LOCK_TIMEOUT_SECONDS)
    except sqlite3.Error as error:
        raise trouble(error, source) from error
    with contextlib.closing(origin):
        try:
            check_header(origin, source)
        except sqlite3.Error as error:
            raise trouble(error, source) from error
        try:
            copy = sqlite3.connect(unfinished, isolation_level=None)
        except sqlite3.Error as error:
            raise trouble(error, str(unfinished)) from error
        with contextlib.closing(copy):
            try:
                copy.execute("PRAGMA synchronous=FULL")
                # All pages within one view of the source: what is written meanwhile is not in the copy, and does not
                # make the copying begin again.
                origin.execute("BEGIN")
                origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
                origin.backup(copy, pages=_PAGES_AT_ONCE)
                origin.execute("ROLLBACK")
                (sound,) = copy.execute("PRAGMA quick_check(1)").fetchone()
                copy.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.Error as error:
                raise trouble(error, str(unfinished)) from error
    if sound != _SOUND:
        raise StoreUnavailable(f"store {source} is damaged ({sound}); restore it from an earlier backup")
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Make the new name in the folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
