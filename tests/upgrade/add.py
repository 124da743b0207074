"""Add samples: `python -m tests.upgrade.add` adds what is not there; what is there stays as its version wrote it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published
from tests.servers.fixtures import database_on, vhost_on
from tests.servers.postgres import own_cluster
from tests.servers.rabbitmq import own_broker
from tests.upgrade.samples import RECIPES, STORE, WIRE, lines, wire, write

PIPE = "pipe"


def main() -> int:
    """Write what is missing."""
    there = lines(WIRE) if WIRE.exists() else []
    named = {(one["type"], one["sample"]) for one in there}
    write(WIRE, [*there, *(one for one in wire() if (one["type"], one["sample"]) not in named)])
    if not STORE.exists():
        with contextlib.ExitStack() as opened:
            broker, cluster = own_broker(), own_cluster()
            opened.callback(broker.leave)
            opened.callback(cluster.leave)
            folder = opened.enter_context(tempfile.TemporaryDirectory())
            vhost = opened.enter_context(contextlib.contextmanager(vhost_on)(broker))
            database = opened.enter_context(contextlib.contextmanager(database_on)(cluster))
            deployment = Deployment(vhost, database, Path(folder), RECIPES, settings={"HANDRAIL_GRACE_SECONDS": "0"})
            opened.callback(deployment.end)
            write(STORE, used(deployment))
    return 0


def used(deployment: Deployment) -> list[dict[str, Any]]:
    """Have a deployment used, and stop it in the middle of everything: its rows."""
    os.mkfifo(deployment.folder / PIPE)
    serving = deployment.serve("all")
    goals = {name: bodies.Goal(goal=name) for name in ("greet", "asking", "signal", "unknown")}
    goals["pipe"] = bodies.Goal(goal="pipe", input={"word": PIPE})
    names = begin(deployment, goals)
    until(lambda: deployment.statuses([names["greet"]]) == {names["greet"]: "completed"}, "it never completed")
    waiting = [names[one] for one in ("asking", "signal", "unknown")]
    until(lambda: set(deployment.statuses(waiting).values()) == {"blocked"}, "they never waited")
    claimed = "SELECT 1 FROM inbox WHERE workflow_id = ? AND state = 'claimed'"
    until(lambda: deployment.store.query(claimed, (names["pipe"],)), "it never began")
    serving.kill9()
    deployment.serve("goals")
    names |= begin(deployment, {"late": bodies.Goal(goal="greet")})
    until(lambda: deployment.statuses([names["late"]]), "it never began")
    deployment.processes[-1].kill9()
    return [{"workflows": names}, *rows(deployment.database.url)]


def begin(deployment: Deployment, goals: dict[str, bodies.Goal]) -> dict[str, str]:
    """Publish goals; their workflows by their names."""
    asyncio.run(published(deployment, goals))
    return {name: workflow_id_from_message(deployment.goal_service.name, name) for name in goals}


def rows(url: str) -> list[dict[str, Any]]:
    """All rows of all tables."""
    found = []
    with psycopg.connect(url, row_factory=dict_row) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        ).fetchall()
        for table in tables:
            name = table["table_name"]
            statement = f'SELECT row_to_json(one) AS "row" FROM "{name}" AS one'
            found += [{"table": name, **row} for row in connection.execute(statement.encode()).fetchall()]
    return found


if __name__ == "__main__":
    sys.exit(main())
