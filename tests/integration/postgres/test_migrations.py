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


LOOKS = (
    """SELECT c.relname, a.attname, a.attnum::int, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        a.attcollation::regcollation::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d
        ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
        AND NOT a.attisdropped AND c.relname <> %s""",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> %s",
    """SELECT conrelid::regclass::text, conname, contype, condeferrable, convalidated, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> %s""",
    """SELECT s.sequencename, s.data_type::text, s.start_value, s.min_value, s.max_value, s.increment_by, s.cycle,
        s.cache_size, d.refobjid::regclass::text, a.attname FROM pg_sequences s
        LEFT JOIN pg_depend d ON d.objid = quote_ident(s.sequencename)::regclass AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_class'::regclass
        LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE s.schemaname = 'public' AND d.refobjid::regclass::text IS DISTINCT FROM %s""",
    """SELECT c.relname, c.relkind, c.relpersistence, c.reloptions FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> %s""",
    """SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid::regclass::text <> %s""",
)
"""What makes two databases look the same: columns, indexes, constraints, sequences, relations of any kind, triggers."""


def tables(database: Database) -> set[tuple[Any, ...]]:
    """All there is in a database but the migrations' own table."""
    with psycopg.connect(database.url) as connection:
        return {
            (number, *map(str, row))
            for number, look in enumerate(LOOKS)
            for row in connection.execute(look.encode(), (TABLE,)).fetchall()
            if f"{TABLE}_pkey" not in row
        }


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


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE timers ADD COLUMN more TEXT",
        "ALTER TABLE timers ALTER COLUMN due_at SET DEFAULT 1",
        "ALTER TABLE timers ALTER COLUMN due_at SET NOT NULL",
        "ALTER TABLE tokens ALTER COLUMN name TYPE VARCHAR(20)",
        'ALTER TABLE tokens ALTER COLUMN name TYPE TEXT COLLATE "C"',
        "DROP INDEX timers_due",
        "DROP INDEX timers_due; CREATE INDEX timers_due ON timers (due_at)",
        "ALTER TABLE timers ADD CHECK (due_at > 0)",
        "ALTER TABLE stored_events DROP CONSTRAINT stored_events_originator_id_originator_version_key",
        "ALTER SEQUENCE stored_events_id_seq AS INTEGER",
        "ALTER SEQUENCE stored_events_id_seq INCREMENT BY 2",
        "ALTER SEQUENCE stored_events_id_seq OWNED BY NONE",
        "CREATE SEQUENCE another",
        "CREATE VIEW another AS SELECT 1",
        "ALTER TABLE inbox SET UNLOGGED",
        """CREATE FUNCTION f() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER another AFTER INSERT ON inbox EXECUTE FUNCTION f()""",
    ],
)
def test_every_difference_shows(database: Database, change: str) -> None:
    """Without this, the test above could find equal what it does not look at."""
    migrate(database.url, MIGRATIONS)
    before = tables(database)
    with psycopg.connect(database.url) as connection:
        connection.execute(change.encode())
    assert tables(database) != before


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


def test_an_older_version_is_served_by_a_store_that_was_only_added_to(database: Database) -> None:
    """What takes nothing away leaves older processes working, so also those that begin after it."""
    only_adding = Migration(2, "only adding", SECOND.additive[:1])
    migrate(database.url, [FIRST])
    migrate(database.url, [FIRST, only_adding])
    assert migrate(database.url, [FIRST, only_adding], after=True) == []
    open_store(database, version=1)
    open_store(database, version=2)


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
