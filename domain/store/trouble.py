"""What goes wrong below the store gets a surname of ours: one line that names the store and the way out.

Drivers raise dozens of classes; above `domain.store` there are a handful. `trouble` turns whatever the eventsourcing
library or SQLite raised into one of them. Errors that the library wrapped are judged by the driver's error inside,
which knows more.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import (
    DataError,
    InfrastructureFactoryError,
    MapperDeserialisationError,
    ProgrammingError,
    RecordConflictError,
)

from domain.errors import EventCorrupt, StoreError, StoreUnavailable, VersionConflict

Driver = EventSourcingError | sqlite3.Error
DRIVERS: Final = (EventSourcingError, sqlite3.Error)
"""What `trouble` has a word for: every error of the library and of SQLite."""

LOCK_TIMEOUT_SECONDS: Final = 5

_UNFIT: Final = (sqlite3.DataError, sqlite3.ProgrammingError, DataError, ProgrammingError)
"""What is wrong with one value or statement, not with the store: the others of a turn go on."""

_CONFLICT = "somebody else was first in store {place} ({detail}); decide again on what is there now"
_BROKEN = "is damaged ({detail}); restore it from a backup"
_UNWRITABLE = "cannot be written ({detail}); free space or check the disk, then run again: nothing was lost"

# By SQLite's primary result code. What is not here says what SQLite said.
_SQLITE: Final[dict[int, str]] = {
    sqlite3.SQLITE_BUSY: (
        f"is locked by another process, for longer than {LOCK_TIMEOUT_SECONDS} s ({{detail}}); "
        "try again when that one has finished"
    ),
    sqlite3.SQLITE_LOCKED: "is locked by this process ({detail}); try again when the other statement has finished",
    sqlite3.SQLITE_FULL: "is on a full disk ({detail}); free space and run again: nothing was lost",
    sqlite3.SQLITE_IOERR: _UNWRITABLE,
    sqlite3.SQLITE_READONLY: "is read-only ({detail}); make the file and its folder writable, or use another --home",
    sqlite3.SQLITE_PERM: "may not be used ({detail}); make the file and its folder writable, or use another --home",
    sqlite3.SQLITE_AUTH: "may not be used ({detail}); make the file and its folder writable, or use another --home",
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened ({detail}); check that its folder exists and may be written, or use another --home"
    ),
    sqlite3.SQLITE_CORRUPT: _BROKEN,
    sqlite3.SQLITE_NOTADB: "is not a store of Handrail ({detail}); name another file, or restore it from a backup",
    sqlite3.SQLITE_NOMEM: "ran out of memory ({detail}); free memory and run again: nothing was lost",
    sqlite3.SQLITE_INTERRUPT: "was interrupted ({detail}); run again: nothing was lost",
    sqlite3.SQLITE_PROTOCOL: "is locked by another process ({detail}); try again when that one has finished",
}

_PRIMARY = 0xFF  # an extended result code has its primary one in the lowest byte


def trouble(error: BaseException, place: str) -> StoreError:
    """The error of ours for a driver's error in the store at `place`; one of ours is returned as it is."""
    if isinstance(error, StoreError):
        return error
    inner = _innermost(error)
    detail = " ".join(str(inner).split()) or type(inner).__name__
    if isinstance(inner, sqlite3.IntegrityError | RecordConflictError):
        return VersionConflict(_CONFLICT.format(place=place, detail=detail))
    if isinstance(inner, MapperDeserialisationError):
        return EventCorrupt(f"store {place} holds an event that cannot be read ({detail}); restore it from a backup")
    if isinstance(inner, InfrastructureFactoryError):
        return StoreUnavailable(f"store {place} cannot be set up ({detail}); check the store's settings")
    if isinstance(inner, _UNFIT):
        return StoreError(f"store {place} cannot hold this ({detail}); check the values that it was given")
    code = getattr(inner, "sqlite_errorcode", None)
    words = _SQLITE.get(code & _PRIMARY) if isinstance(code, int) else None
    if words is None:
        words = "cannot be used ({detail}); run again, and restore it from a backup if that does not help"
    return StoreUnavailable(f"store {place} {words.format(detail=detail)}")


def _innermost(error: BaseException) -> BaseException:
    """The driver's error that others were raised from."""
    while isinstance(error.__cause__, DRIVERS):
        error = error.__cause__
    return error
