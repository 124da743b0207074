"""Every error of the library and of SQLite gets a surname of ours, in one line that names the store."""

import sqlite3
from collections.abc import Iterator

import pytest
from eventsourcing import persistence
from eventsourcing.domain import EventSourcingError

from domain.errors import EventCorrupt, HandrailError, StoreError, StoreUnavailable, VersionConflict
from domain.store.trouble import DRIVERS, trouble

PLACE = "/somewhere/store.sqlite"


def descendants(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from descendants(child)


LIBRARY = sorted(set(descendants(EventSourcingError)), key=lambda kind: f"{kind.__module__}.{kind.__name__}")
DRIVER = sorted(set(descendants(sqlite3.Error)), key=lambda kind: kind.__name__)
CODES = sorted(
    {
        value
        for name, value in vars(sqlite3).items()
        if name.startswith("SQLITE_") and isinstance(value, int) and value not in {sqlite3.SQLITE_OK, 100, 101}
    }
)


def with_code(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind("said\nthe database")
    error.sqlite_errorcode = code
    return error


def spoken(error: BaseException) -> StoreError:
    """What is said of an error, held to the form that all share."""
    found = trouble(error, PLACE)
    assert isinstance(found, HandrailError)
    assert type(found) in {StoreError, StoreUnavailable, EventCorrupt, VersionConflict}
    message = str(found)
    assert PLACE in message
    assert "\n" not in message
    assert ";" in message, "there is a way out behind the semicolon"
    return found


def test_the_library_s_errors_are_all_there() -> None:
    assert {kind for kind in vars(persistence).values() if isinstance(kind, type)} & set(LIBRARY) >= {
        persistence.PersistenceError,
        persistence.OperationalError,
        persistence.IntegrityError,
        persistence.ConnectionUnavailableError,
    }
    assert len(LIBRARY) > 15


@pytest.mark.parametrize("kind", [*LIBRARY, *DRIVER], ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_has_a_word(kind: type[BaseException]) -> None:
    assert issubclass(kind, DRIVERS)
    found = spoken(kind("said the database"))
    assert "said the database" in str(found)


@pytest.mark.parametrize("kind", LIBRARY, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_what_the_library_wrapped_is_judged_by_what_is_inside(kind: type[BaseException]) -> None:
    outer = kind("wrapped")
    outer.__cause__ = with_code(sqlite3.SQLITE_FULL)
    assert "full disk" in str(spoken(outer))


@pytest.mark.parametrize("code", CODES)
def test_every_result_code_has_a_word(code: int) -> None:
    assert isinstance(spoken(with_code(code)), StoreUnavailable)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_BUSY, "locked by another process, for longer than 5 s"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked by another process"),
        (sqlite3.SQLITE_FULL, "full disk"),
        (sqlite3.SQLITE_IOERR_WRITE, "cannot be written"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "read-only"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be opened"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "restore it from a backup"),
        (sqlite3.SQLITE_NOTADB, "not a store of Handrail"),
    ],
)
def test_extended_codes_are_judged_by_their_primary_one(code: int, words: str) -> None:
    assert words in str(spoken(with_code(code)))


def test_who_came_second_is_told_so() -> None:
    assert isinstance(spoken(sqlite3.IntegrityError("UNIQUE constraint failed")), VersionConflict)
    assert isinstance(spoken(persistence.IntegrityError("UNIQUE constraint failed")), VersionConflict)


@pytest.mark.parametrize("kind", [sqlite3.DataError, sqlite3.ProgrammingError, persistence.DataError])
def test_what_is_wrong_with_a_value_is_no_trouble_of_the_store(kind: type[BaseException]) -> None:
    assert type(spoken(kind("type not supported"))) is StoreError


def test_errors_of_ours_stay_as_they_are() -> None:
    error = StoreUnavailable("closed")
    assert trouble(error, PLACE) is error


def test_an_error_without_words_is_named() -> None:
    assert "OperationalError" in str(spoken(sqlite3.OperationalError()))
