"""What PostgreSQL raises gets a surname of ours: one line that names the store, without its password, and the way out.

PostgreSQL says by a code of five characters what was wrong; its first two are the class of the error.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg
from eventsourcing.domain import EventSourcingError
from psycopg import errors

from domain.certificates import certificate_advice
from domain.errors import StoreAway, StoreError, StoreUnavailable, VersionConflict
from domain.store import trouble as library

LOCK_TIMEOUT_SECONDS: Final = 5
STATEMENT_TIMEOUT_SECONDS: Final = 15

DRIVERS: Final = (EventSourcingError, psycopg.Error)

_FIRST = "somebody else was first in store {place} ({detail}); decide again on what is there now"
_UNFIT = "store {place} cannot hold this ({detail}); check the values that it was given"
_LOST = "cannot be reached ({detail}); check that the server runs and may be connected to: nothing was lost"
_RIGHTS = "may not be used so ({detail}); have its owner grant the rights, or connect as another user"
_TABLES = "lacks a table or has another one than this version needs ({detail}); run `handrail migrate`"

# By code, and by class where the code has no line of its own.
_WORDS: Final[dict[str, str]] = {
    "08": _LOST,
    "0A000": "was changed while it was used ({detail}); run again: nothing was lost",
    "25006": "is read-only ({detail}): a standby, or being switched over; connect to the primary",
    "25": "ended a transaction ({detail}); run again: nothing was lost",
    "28": "refused the user or the password ({detail}); check HANDRAIL_STORE and its password file",
    "3D000": "does not exist ({detail}); create the database, or name another one",
    "42501": _RIGHTS,
    "42P01": _TABLES,
    "42703": _TABLES,
    "3F000": _TABLES,
    "53100": "is on a full disk ({detail}); free space: nothing was lost",
    "53300": "has no connection left ({detail}); raise max_connections, or run fewer processes",
    "53": "is short of something ({detail}); free it: nothing was lost",
    "55P03": (
        f"is locked by another process for longer than {LOCK_TIMEOUT_SECONDS} s ({{detail}}); "
        "try again when that one has finished"
    ),
    "57014": (
        f"took longer than {STATEMENT_TIMEOUT_SECONDS} s over a statement, or was told to stop ({{detail}}); "
        "try again when it is less busy"
    ),
    "57": "was stopped or is starting ({detail}); try again when it runs: nothing was lost",
    "58": "has trouble with its files ({detail}); look into the server's log",
    "XX001": "is damaged ({detail}); restore it from a backup",
    "XX002": "has a damaged index ({detail}); REINDEX it, or restore it from a backup",
}
_OTHERWISE = "cannot be used ({detail}); look into the server's log, and run again"

# What passes without anybody changing a setting. Read-only too: while it is switched over, the primary is a standby.
_AWAY: Final = ("08", "57P01", "57P02", "57P03", "53300", "25006")

# A server that turns somebody away says so by a code, which libpq does not hand on; its words say it too, in English.
_REFUSED: Final = (
    (
        re.compile(r"password authentication failed|no password supplied|no pg_hba\.conf entry|role \".+\" does not"),
        "28",
    ),
    (re.compile(r"database \".+\" does not exist"), "3D000"),
)
_PUT_OFF: Final = (
    (re.compile(r"too many (clients|connections)|remaining connection slots"), "53300"),
    (re.compile(r"the database system is |terminating connection"), "57P03"),
    (re.compile(r"session is read-only|server is in hot standby mode|could not make a writable connection"), "25006"),
    # The words of libpq, of its driver and of ours for a server that nobody finds, or that says nothing more.
    (
        re.compile(
            r"Is the server running|failed to resolve host|could not translate host name|timeout expired"
            r"|no answer within|gave no answer|closed the connection|connection has been closed|SSL SYSCALL error"
            r"|could not (receive data from|send data to) |connection is (closed|lost)"
        ),
        "08",
    ),
)
_NO_SOCKET: Final = re.compile(r"failed: No such file or directory Is the server running")
"""Words about a server's socket that would be taken for a certificate's file."""

_CONFLICTS: Final = (errors.IntegrityError, errors.SerializationFailure, errors.DeadlockDetected)

# What says that a connection, or the server behind it, is not the one to go on with.
_SPENT: Final = ("08", "57P", "25006", "0A000", "XX")


def spends(error: psycopg.Error) -> bool:
    """Whether a connection that said this is to be dropped."""
    state = error.sqlstate
    if state is None:
        return not isinstance(error, errors.DataError)  # which said so before anything was sent
    return bool(state.startswith(_SPENT))


def trouble(error: BaseException, place: str) -> StoreError:
    """The error of ours for a driver's error in the store at `place`; one of ours is returned as it is."""
    if isinstance(error, StoreError):
        return error
    if not isinstance(error, psycopg.Error):
        return library.trouble(error, place)
    detail = _detail(error)
    state = error.sqlstate
    if isinstance(error, _CONFLICTS):
        return VersionConflict(_FIRST.format(place=place, detail=detail))
    if isinstance(error, errors.DataError | errors.ProgrammingError | errors.NotSupportedError) and (
        state is None or state not in _WORDS
    ):
        return StoreError(_UNFIT.format(place=place, detail=detail))
    if state is None:
        return _unsaid(place, detail)
    words = _WORDS.get(state) or _WORDS.get(state[:2]) or _OTHERWISE
    return _error(place, words, detail, away=state.startswith(_AWAY))


def _unsaid(place: str, detail: str) -> StoreUnavailable:
    """The error for a connection that was lost or not made, which has no code: only words tell what it was.

    Of an address with several hosts there are several words: what somebody has to change comes before what passes.
    """
    for said, state in _REFUSED:
        if said.search(detail):
            return _error(place, _WORDS[state], detail, away=False)
    advice = certificate_advice(_NO_SOCKET.sub("", detail), authority="sslrootcert", client="sslcert and sslkey")
    if advice:
        return _error(place, f"cannot be reached ({{detail}}); {advice}", detail, away=False)
    for said, state in _PUT_OFF:
        if said.search(detail):
            return _error(place, _WORDS.get(state) or _WORDS[state[:2]], detail, away=True)
    return _error(place, _LOST, detail, away=False)


def _error(place: str, words: str, detail: str, *, away: bool) -> StoreUnavailable:
    return (StoreAway if away else StoreUnavailable)(f"store {place} {words.format(detail=detail)}")


def _detail(error: psycopg.Error) -> str:
    """What the driver said, in one line; libpq never repeats a password, and addresses are cut to their places."""
    return " ".join(str(error).split()) or type(error).__name__
