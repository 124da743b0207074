"""Every error of PostgreSQL's driver gets a surname of ours, in one line that names the store."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError
from psycopg import errors

from domain.errors import StoreAway, StoreError, StoreUnavailable, VersionConflict
from domain.store.trouble_postgres import spends, trouble

PLACE = "postgresql://handrail@db/store"


def descendants(root: type[psycopg.Error]) -> Iterator[type[psycopg.Error]]:
    yield root
    for child in root.__subclasses__():
        yield from descendants(child)


DRIVER = sorted(set(descendants(psycopg.Error)), key=lambda kind: f"{kind.sqlstate} {kind.__name__}")


def test_the_driver_s_errors_are_all_there() -> None:
    assert len(DRIVER) > 250


@pytest.mark.parametrize("kind", DRIVER, ids=lambda kind: f"{kind.sqlstate}-{kind.__name__}")
def test_every_error_has_a_word(kind: type[psycopg.Error]) -> None:
    found = trouble(kind("said\nthe database"), PLACE)
    assert type(found) in {StoreAway, StoreError, StoreUnavailable, VersionConflict}
    message = str(found)
    assert PLACE in message
    assert "said the database" in message
    assert "\n" not in message
    assert ";" in message, "there is a way out behind the semicolon"


@pytest.mark.parametrize(
    ("kind", "surname", "words"),
    [
        (errors.UniqueViolation, VersionConflict, "somebody else was first"),
        (errors.DeadlockDetected, VersionConflict, "decide again"),
        (errors.SerializationFailure, VersionConflict, "decide again"),
        (errors.LockNotAvailable, StoreUnavailable, "longer than 5 s"),
        (errors.QueryCanceled, StoreUnavailable, "longer than 15 s"),
        (errors.AdminShutdown, StoreAway, "try again when it runs"),
        (errors.CannotConnectNow, StoreAway, "try again when it runs"),
        (errors.ReadOnlySqlTransaction, StoreAway, "connect to the primary"),
        (errors.CrashShutdown, StoreAway, "try again when it runs"),
        (errors.ConnectionFailure, StoreAway, "cannot be reached"),
        (errors.DatabaseDropped, StoreUnavailable, "was stopped"),
        (errors.DiskFull, StoreUnavailable, "free space"),
        (errors.TooManyConnections, StoreAway, "max_connections"),
        (errors.InvalidPassword, StoreUnavailable, "check HANDRAIL_STORE"),
        (errors.InsufficientPrivilege, StoreUnavailable, "grant the rights"),
        (errors.UndefinedTable, StoreUnavailable, "handrail migrate"),
        (errors.UndefinedColumn, StoreUnavailable, "handrail migrate"),
        (errors.DataCorrupted, StoreUnavailable, "restore it from a backup"),
        (errors.OperationalError, StoreUnavailable, "cannot be reached"),
        (errors.SyntaxError, StoreError, "cannot hold this"),
        (errors.InvalidTextRepresentation, StoreError, "cannot hold this"),
        (errors.DataError, StoreError, "cannot hold this"),
    ],
)
def test_what_matters_is_told_apart(kind: type[psycopg.Error], surname: type[StoreError], words: str) -> None:
    found = trouble(kind("said"), PLACE)
    assert type(found) is surname
    assert words in str(found)


def test_ours_and_the_library_s_keep_their_surnames() -> None:
    own = StoreUnavailable("own")
    assert trouble(own, PLACE) is own
    assert type(trouble(IntegrityError("taken"), PLACE)) is VersionConflict


def test_what_a_connection_outlives() -> None:
    lost = (errors.AdminShutdown, errors.OperationalError, errors.ReadOnlySqlTransaction, errors.FeatureNotSupported)
    assert [spends(kind()) for kind in lost] == [True] * 4
    kept = (errors.UniqueViolation, errors.LockNotAvailable, errors.QueryCanceled, errors.DataError)
    assert [spends(kind()) for kind in kept] == [False] * 4


HINT = "\n\tIs the server running on that host and accepting TCP/IP connections?"
LOCAL_HINT = "\n\tIs the server running locally and accepting connections on that socket?"
SOCKET = 'connection is bad: connection to server on socket "/run/.s.PGSQL.5432" failed: '
TO = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (f"{TO}Connection refused{HINT}", "check that the server runs"),
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "cannot be reached"),
        ("connection timeout expired", "cannot be reached"),
        ("no answer within 20 s", "cannot be reached"),
        ("server closed the connection unexpectedly", "cannot be reached"),
        (f"{TO}SSL SYSCALL error: EOF detected", "cannot be reached"),
        (f"{SOCKET}No such file or directory{LOCAL_HINT}", "check that the server runs"),
        (f"{TO}FATAL:  the database system is starting up", "try again when it runs"),
        (f"{TO}FATAL:  the database system is shutting down", "try again when it runs"),
        (f"{TO}FATAL:  the database system is in recovery mode", "try again when it runs"),
        (f"{TO}FATAL:  sorry, too many clients already", "max_connections"),
        (f"{TO}session is read-only", "connect to the primary"),
        (f"{TO}server is in hot standby mode", "connect to the primary"),
        ('could not make a writable connection to server "127.0.0.1:5432"', "connect to the primary"),
    ],
)
def test_what_passes_by_itself_is_away(said: str, words: str) -> None:
    found = trouble(errors.OperationalError(said), PLACE)
    assert type(found) is StoreAway
    assert words in str(found)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (f'{TO}FATAL:  password authentication failed for user "handrail"', "password file"),
        (f'{TO}FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "password file"),
        (f'{TO}FATAL:  database "store" does not exist', "create the database"),
        (f"{TO}SSL error: certificate verify failed", "sslrootcert"),
        ('connection is bad: invalid sslmode value: "bogus"', "cannot be reached"),
        (f'{TO}FATAL:  database "store" is not currently accepting connections', "cannot be reached"),
        (f'{TO}Connection refused{HINT}\n{TO}FATAL:  role "handrail" does not exist', "password file"),
    ],
)
def test_what_somebody_has_to_change_is_not_away(said: str, words: str) -> None:
    found = trouble(errors.OperationalError(said), PLACE)
    assert type(found) is StoreUnavailable
    assert words in str(found)
