"""`handrail replay` on PostgreSQL: a login that may only read is enough, and not one row is changed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA
from domain.ports import Request
from domain.store.opening import open_postgres_store
from domain.triggers import StartWorkflow
from tests.integration.command_line import CommandLine
from tests.integration.recipes import DEFINITIONS
from tests.integration.watched import watched
from tests.servers.postgres import Database

READER = "handrail_reader"
AT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(database: Database, handrail: CommandLine) -> Iterator[str]:
    """The address of a store with one workflow under way, for a login that may only read."""
    assert handrail("migrate", HANDRAIL_STORE=database.url).code == 0
    greet = next(one for one in DEFINITIONS if one.name == "greet")
    store = open_postgres_store(database.url, definitions=LoadedDefinitions([greet]), schema=SCHEMA)
    trigger = StartWorkflow(goal="greet", definition="greet", definition_version="1", requested_by="ada")
    (decided,) = store.decide_turn([Request("wf_001", trigger, AT, "goal:ada:1", "ada")])
    assert decided.error is None
    store.close()
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD 'reads'".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}".encode())
    parts = urlsplit(database.url)
    place = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{READER}:reads@{place}"))
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {READER}".encode())
        connection.execute(f"DROP ROLE {READER}".encode())


def rows_of(database: Database) -> dict[str, list[str]]:
    """All that the database holds, table by table."""
    with psycopg.connect(database.admin_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: sorted(str(row) for row in connection.execute(f'SELECT * FROM "{name}"'.encode()).fetchall())
            for (name,) in tables
        }


def test_a_login_that_may_only_read_is_enough_and_no_row_changes(
    served: str, database: Database, handrail: CommandLine, tmp_path: Path
) -> None:
    before = rows_of(database)
    assert len(before["stored_events"]) == 3
    for command in (
        *(
            ("replay", "wf_001", *options)
            for options in ((), ("--json",), ("--at", "2"), ("--diff", "1", "3"), ("--walk",))
        ),
        ("replay", "--all"),
        ("replay", "--all", "--definition", "greet", "--since", "2029-12-31"),
        ("compare", "wf_001", "wf_001"),
    ):
        ended = watched(handrail, *command, HANDRAIL_STORE=served)
        assert ended.code == 0, (command, ended.errors)
        assert ended.out
    checked = handrail("replay", "--all", HANDRAIL_STORE=served)
    assert checked.lines == ["1 workflow with 3 events, up to log position 3: 1 as recorded, 0 differ"]
    replayed = handrail("replay", "wf_001", HANDRAIL_STORE=served)
    assert "decides all 3 events as they are recorded" in replayed.out
    assert handrail("replay", "wf_001", HANDRAIL_STORE=served).out == replayed.out
    unknown = handrail("replay", "wf_009", HANDRAIL_STORE=served)
    assert (unknown.code, "there is no workflow 'wf_009'" in unknown.errors) == (2, True)
    assert rows_of(database) == before
