"""What is refused when a PostgreSQL store is opened, and what is said of it: never the password."""

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.settings import Settings
from domain.errors import StoreAway, StoreError, StoreUnavailable
from domain.store.connection_postgres import IDLE_IN_TRANSACTION_SECONDS, About, check_server
from domain.store.opening import open_postgres_store
from tests.contracts.stage import Loaded
from tests.servers.postgres import Database
from tests.servers.proxy import Proxy

FINE = About(150_000, "UTF8", "on", "on", "on", "off")


def opened(url: str, **options: Any) -> None:
    open_postgres_store(url, definitions=Loaded(), create=True, **options).close()


def administer(database: Database, statement: str) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (FINE._replace(version=120_017), "PostgreSQL 12; Handrail needs 13 or newer"),
        (FINE._replace(encoding="LATIN1"), "in LATIN1; create one with ENCODING 'UTF8'"),
        (FINE._replace(fsync="off"), "set fsync=on"),
        (FINE._replace(full_page_writes="off"), "set full_page_writes=on"),
        (FINE._replace(synchronous_commit="off"), "synchronous_commit=off"),
        (FINE._replace(read_only="on"), "connect to the primary"),
    ],
)
def test_a_server_that_would_lose_events_is_refused(server: About, words: str) -> None:
    check_server(FINE, "here")
    with pytest.raises(StoreUnavailable, match=words):
        check_server(server, "here")


def test_a_server_that_is_read_only_is_away_since_a_failover_passes_through_that() -> None:
    with pytest.raises(StoreAway):
        check_server(FINE._replace(read_only="on"), "here")


@pytest.mark.parametrize("whose", ["DATABASE {database}", "ROLE {role} IN DATABASE {database}"])
def test_a_default_of_synchronous_commit_off_is_refused_wherever_it_comes_from(database: Database, whose: str) -> None:
    role = urlsplit(database.url).username
    setting = whose.format(database=database.name, role=role)
    administer(database, f"ALTER {setting} SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable, match="synchronous_commit=off"):
        opened(database.url)
    administer(database, f"ALTER {setting} SET synchronous_commit = local")
    store = open_postgres_store(database.url, definitions=Loaded(), create=True)
    assert store.query("SHOW synchronous_commit") == [("on",)]
    store.close()
    administer(database, f"ALTER {setting} SET synchronous_commit = remote_apply")
    store = open_postgres_store(database.url, definitions=Loaded(), create=True)
    assert store.query("SHOW synchronous_commit") == [("remote_apply",)]
    store.close()


def test_a_database_in_another_encoding_is_refused(database: Database) -> None:
    name = f"{database.name}_latin"
    administer(database, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(StoreUnavailable, match="LATIN1"):
            opened(database.cluster.url(name))
    finally:
        administer(database, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_standby_is_refused(database: Database) -> None:
    administer(database, f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        opened(database.url)


def test_the_functions_of_the_library_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "POSTGRES_ENABLE_DB_FUNCTIONS", "y")
    with pytest.raises(StoreUnavailable, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
        opened(database.url)


def test_sessions_say_who_they_are_and_wait_for_nothing_forever(database: Database) -> None:
    store = open_postgres_store(database.url, definitions=Loaded(), create=True)
    for setting, value in (
        ("application_name", "handrail"),
        ("statement_timeout", "15s"),
        ("lock_timeout", "5s"),
    ):
        assert store.query("SELECT current_setting(?)", (setting,)) == [(value,)]
    store.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("@", "-wrong@"), "password authentication failed"),
        (lambda url: url.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1"), None),
        (lambda url: url.rsplit("/", 1)[0] + "/nowhere", "nowhere"),
        (lambda url: url + "?sslmode=verify-full&sslrootcert=/nowhere.pem", "SSL"),
        (lambda url: url + "?colour=red", "is no address"),
        (lambda url: url.replace("postgresql://", "postgresql://%zz"), "is no address"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_without_its_password(
    database: Database, change: Callable[[str], str], words: str | None
) -> None:
    password = urlsplit(database.url).password
    assert password
    if words is None:
        opened(change(database.url))
        return
    with pytest.raises(StoreError) as caught:
        opened(change(database.url))
    assert words in str(caught.value)
    said = repr(caught.value) + str(caught.value.__cause__)
    assert password not in said
    assert "\n" not in str(caught.value)


def test_a_server_that_takes_connections_and_says_nothing_is_given_up(
    database: Database, proxies: Callable[[int], Proxy]
) -> None:
    proxy = proxies(urlsplit(database.url).port or 5432)
    proxy.stall()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        opened(f"{proxy.through(database.url)}?connect_timeout=2")


def test_a_process_that_is_stopped_within_a_transaction_is_not_waited_for_longer_than_its_lease(
    database: Database,
) -> None:
    store = open_postgres_store(database.url, definitions=Loaded(), create=True)
    assert store.query("SHOW idle_in_transaction_session_timeout") == [(f"{IDLE_IN_TRANSACTION_SECONDS}s",)]
    assert Settings.model_fields["lease_seconds"].default > IDLE_IN_TRANSACTION_SECONDS
    store.close()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("password", "refused the user or the password"),
        ("user", "refused the user"),
        ("database", "create the database"),
    ],
)
def test_who_is_turned_away_is_told_why(database: Database, wrong: str, words: str) -> None:
    parts = urlsplit(database.url)
    given = {"user": parts.username, "password": parts.password, "database": database.name, wrong: "nobody-s"}
    url = f"postgresql://{given['user']}:{given['password']}@{parts.hostname}:{parts.port}/{given['database']}"
    with pytest.raises(StoreUnavailable, match=words) as refused:
        opened(url)
    assert str(given["password"]) not in str(refused.value)
