"""Migrations: once each, one at a time, in two halves, and together what a new store is made of."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from deploy.cli.main import main
from deploy.loading import LoadedDefinitions
from deploy.migrations import MIGRATIONS
from deploy.opened import SCHEMA
from domain.errors import StoreError, StoreNewer, StoreUnavailable
from domain.store.migrations_postgres import MIGRATING, TABLE, Half, Migration, migrate
from domain.store.opening import open_postgres_store
from domain.store.schema import MIGRATED_TO, STORE_TABLES
from tests.servers.postgres import Database

FIRST = Migration(1, "first", (*STORE_TABLES, "CREATE TABLE pets (name TEXT PRIMARY KEY, colour TEXT)"))
SECOND = Migration(
    2,
    "second",
    ("ALTER TABLE pets ADD COLUMN paint TEXT", "UPDATE pets SET paint = colour"),
    ("ALTER TABLE pets DROP COLUMN colour",),
)
BROKEN = Migration(3, "broken", ("ALTER TABLE pets ADD COLUMN age BIGINT", "SELECT * FROM nowhere"))


def open_store(database: Database, **options: Any) -> None:
    open_postgres_store(database.url, definitions=LoadedDefinitions(), schema=SCHEMA, **options).close()


def tables(database: Database) -> list[tuple[Any, ...]]:
    """Columns, indexes, constraints and sequences of everything but the migrations' own table."""
    with psycopg.connect(database.url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, ordinal_position, column_default, is_nullable, data_type "
            "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> %s ORDER BY 1, 3",
            (TABLE,),
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> %s ORDER BY 1",
            (TABLE,),
        ).fetchall()
        constraints = connection.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace AND conrelid <> %s::regclass ORDER BY 1",
            (TABLE if _has_table(connection) else "pg_class",),
        ).fetchall()
    return [*columns, *indexes, *constraints]


def _has_table(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone() != (None,)


def columns(database: Database) -> set[str]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'pets'")
        return {row[0] for row in rows.fetchall()}


def test_migrated_equals_fresh(postgres: Any, database: Database) -> None:
    fresh = postgres.new_database()
    try:
        migrate(database.url, MIGRATIONS)
        migrate(database.url, MIGRATIONS, after=True)
        open_store(fresh, create=True)
        assert tables(database) == tables(fresh)
        assert len(tables(fresh)) > 60
    finally:
        postgres.drop(fresh)


def test_the_last_migration_is_the_one_that_is_asked_for() -> None:
    assert [one.number for one in MIGRATIONS] == list(range(1, MIGRATED_TO + 1))


def test_a_store_is_not_opened_before_it_was_migrated(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="no tables of Handrail yet; run `handrail migrate`"):
        open_store(database)
    migrate(database.url, [FIRST])
    with pytest.raises(StoreUnavailable, match="is at version 1, and this Handrail needs 2; run `handrail migrate`"):
        open_store(database, version=2)
    open_store(database, version=1)


def test_an_older_version_works_until_what_it_needs_is_taken_away(database: Database) -> None:
    migrate(database.url, [FIRST])
    assert migrate(database.url, [FIRST, SECOND]) == [Half(SECOND, destructive=False)]
    assert columns(database) == {"name", "colour", "paint"}
    open_store(database, version=1)
    assert migrate(database.url, [FIRST, SECOND], after=True) == [Half(SECOND, destructive=True)]
    assert columns(database) == {"name", "paint"}
    with pytest.raises(StoreNewer, match="newer Handrail"):
        open_store(database, version=1)
    with pytest.raises(StoreNewer, match="newer Handrail"):
        migrate(database.url, [FIRST])


def test_nothing_is_taken_away_before_what_replaces_it_is_there(database: Database) -> None:
    migrate(database.url, [FIRST])
    with pytest.raises(StoreUnavailable, match="lacks what migration 2 adds"):
        migrate(database.url, [FIRST, SECOND], after=True)
    assert columns(database) == {"name", "colour"}


def test_a_dry_run_changes_nothing(database: Database) -> None:
    assert len(migrate(database.url, [FIRST, SECOND], dry_run=True)) == 2
    assert columns(database) == set()


def test_again_there_is_nothing_to_do(database: Database) -> None:
    assert len(migrate(database.url, [FIRST, SECOND])) == 2
    assert migrate(database.url, [FIRST, SECOND]) == []


def test_one_that_fails_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        migrate(database.url, [FIRST, BROKEN])
    assert columns(database) == {"name", "colour"}
    with pytest.raises(StoreUnavailable, match="is at version 1"):
        open_store(database, version=3)


def test_of_two_at_once_one_migrates(database: Database) -> None:
    """Both find the same to do; the lock lets the second see that it was done."""
    begun = threading.Barrier(2, timeout=30)
    done: list[list[Half]] = []

    def meet(_: Half) -> None:
        begun.wait()

    def run() -> None:
        done.append(migrate(database.url, [FIRST], began=meet))

    others = [threading.Thread(target=run) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(30)
    assert sorted(map(len, done)) == [0, 1]


def test_who_migrates_holds_a_lock(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATING,))
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            migrate(database.url, [FIRST])
    assert columns(database) == set()


def test_the_command_migrates_the_store_of_the_settings(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HANDRAIL_STORE", database.url)
    said: Callable[[], str] = lambda: capsys.readouterr().out  # noqa: E731 - read once a command
    assert main(["migrate", "--dry-run"]) == 0
    assert "CREATE TABLE IF NOT EXISTS stored_events" in said()
    assert main(["migrate"]) == 0
    assert said().startswith("ran migration 1")
    assert main(["migrate", "--after", "--json"]) == 0
    assert '"migrations": []' in said().replace('"migrations":[]', '"migrations": []')
    assert main(["migrate"]) == 0
    last = said()
    assert "nothing to do" in last
    assert "@" in last
    assert database.url not in last, "the password is not shown"
    open_store(database)
