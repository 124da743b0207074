"""Every error of PostgreSQL's driver gets a surname of ours, in one line that names the store."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError
from psycopg import errors

from domain.errors import StoreError, StoreUnavailable, VersionConflict
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
    assert type(found) in {StoreError, StoreUnavailable, VersionConflict}
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
        (errors.AdminShutdown, StoreUnavailable, "try again when it runs"),
        (errors.CannotConnectNow, StoreUnavailable, "try again when it runs"),
        (errors.ReadOnlySqlTransaction, StoreUnavailable, "connect to the primary"),
        (errors.DiskFull, StoreUnavailable, "free space"),
        (errors.TooManyConnections, StoreUnavailable, "max_connections"),
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
