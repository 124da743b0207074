"""A store of an older version is gone on with; one that is a migration ahead serves this version still."""

import asyncio
import os
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from deploy.migrations import MIGRATIONS
from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.replay import decide_again
from domain.store.migrations_postgres import TABLE, Migration, migrate
from tests.integration.serving.conftest import Deploy, deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_draining import write_into
from tests.integration.serving.test_serve_all import published
from tests.upgrade.samples import RECIPES, STORE, lines

__all__ = ["deploy"]

LATER = Migration(
    MIGRATIONS[-1].number + 1,
    "what a later version adds",
    (
        "ALTER TABLE inbox ADD COLUMN later TEXT",
        "ALTER TABLE timers ADD COLUMN later BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE stored_events ADD COLUMN later TEXT",
        "CREATE INDEX inbox_later ON inbox (later) WHERE later IS NOT NULL",
        "CREATE TABLE later (name TEXT PRIMARY KEY)",
    ),
    ("ALTER TABLE timers DROP COLUMN later",),
)


def put(url: str, rows: list[dict[str, Any]]) -> None:
    """Put an older version's rows into tables as they are made now."""
    with psycopg.connect(url) as connection:
        for row in rows:
            table = f'"{row["table"]}"'
            columns = ", ".join(f'"{name}"' for name in row["row"])
            statement = (
                f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE "
                f"SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %s)"
            )
            connection.execute(statement.encode(), (Jsonb(row["row"]),))
        owned = connection.execute(
            "SELECT table_name, column_name, pg_get_serial_sequence(quote_ident(table_name), column_name) "
            "FROM information_schema.columns WHERE table_schema = 'public' "
            "AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL"
        ).fetchall()
        for name, column, sequence in owned:
            statement = f'SELECT setval(%s, (SELECT coalesce(max("{column}"), 0) + 1 FROM "{name}"), false)'
            connection.execute(statement.encode(), (sequence,))


@pytest.fixture
def gone_on_with(deploy: Deploy) -> tuple[Deployment, dict[str, str]]:
    """A deployment on the rows of the sample, and its workflows by name."""
    deployment = deploy(modules=RECIPES)
    first, *rows = lines(STORE)
    put(deployment.database.url, [row for row in rows if row["table"] != TABLE])
    return deployment, first["workflows"]


def test_workflows_of_an_older_versions_store_go_on(gone_on_with: tuple[Deployment, dict[str, str]]) -> None:
    deployment, names = gone_on_with
    pipe = deployment.folder / "pipe"
    os.mkfifo(pipe)
    deployment.serve("all")
    until(lambda: deployment.statuses([names["late"]])[names["late"]] == "completed", "an open command never ran")
    began = "SELECT 1 FROM inbox WHERE workflow_id = ? AND state = 'claimed'"
    until(lambda: deployment.store.query(began, (names["pipe"],)), "a lapsed attempt was never made again")
    assert deployment.run("approve", names["asking"], "--by", "alice").returncode == 0
    assert deployment.run("signal", "letter", "box-1").returncode == 0
    settled = deployment.run("settle", names["unknown"], "--step", "pay", "--as", "applied", "--reason", "seen")
    assert settled.returncode == 0, settled.stderr

    def ended() -> bool:
        write_into(pipe)
        return set(deployment.statuses(list(names.values())).values()) == {"completed"}

    until(ended, lambda: str(deployment.statuses(list(names.values()))))
    for name in names.values():
        assert decide_again(list(deployment.store.read(name)), deployment.definitions) is None


def test_a_store_that_a_later_version_has_added_to_is_served_still(deploy: Deploy) -> None:
    deployment = deploy()
    serving = deployment.serve("all")
    migrate(deployment.database.url, (*MIGRATIONS, LATER))
    beside = deployment.serve("all")
    goals = {f"order-{number}": bodies.Goal(goal="greet") for number in range(20)}
    asyncio.run(published(deployment, goals))
    names = [workflow_id_from_message(deployment.goal_service.name, name) for name in goals]
    until(
        lambda: list(deployment.statuses(names).values()) == ["completed"] * len(names),
        lambda: str(deployment.statuses(names)),
    )
    assert [serving.terminate(), beside.terminate()] == [0, 0]
    migrate(deployment.database.url, (*MIGRATIONS, LATER), after=True)
    refused = deployment.run("serve", "relay")
    assert (refused.returncode, "use that version" in refused.stderr) == (4, True), refused.stderr
