"""The database goes away under a whole deployment: nothing good is called dead, and all completes when it is back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published
from tests.servers.postgres import Database, OwnCluster
from tests.servers.rabbitmq import Vhost


@pytest.fixture
def deployment(vhost: Vhost, own_database: Database, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(vhost, own_database, tmp_path)
    yield made
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    cluster.ensure()
    made.end()


def dead(deployment: Deployment) -> dict[str, int]:
    """Dead letters by queue, those only that have any."""
    vhost = deployment.vhost
    counted = {name: (vhost.queue(name) or {}).get("messages", 0) for name in vhost.queues() if ".dead." in name}
    return {name: count for name, count in counted.items() if count}


def test_goals_that_come_while_the_database_is_away_wait_for_it(deployment: Deployment) -> None:
    cluster = deployment.database.cluster
    assert isinstance(cluster, OwnCluster)
    serving = deployment.serve("all")
    names: list[str] = []
    for stage in ("before", "away"):
        if stage == "away":
            cluster.stop("immediate")
        goals = {f"{stage}-{number}": bodies.Goal(goal="greet") for number in range(20)}
        asyncio.run(published(deployment, goals))
        names += [workflow_id_from_message(deployment.goal_service.name, name) for name in goals]
    until(
        lambda: "handrail.goals" in serving.ask("/readyz")[1]["parts"]["queues"],
        lambda: f"the queue is consumed all the same: {serving.ask('/readyz')}",
    )
    cluster.start()
    until(
        lambda: list(deployment.statuses(names).values()) == ["completed"] * len(names),
        lambda: f"{deployment.statuses(names)}\n{serving.log.read_text()[-3_000:]}",
    )
    assert dead(deployment) == {}
    assert serving.terminate() == 0


def test_who_looks_for_awaited_definitions_waits_for_the_database_without_a_trace(deployment: Deployment) -> None:
    cluster = deployment.database.cluster
    assert isinstance(cluster, OwnCluster)
    serving = deployment.serve("timer")
    cluster.stop("immediate")
    waits = until(
        lambda: (told := serving.ask("/readyz")[1]["parts"]["waits"]) != "ok" and told,
        lambda: f"it waits for nothing: {serving.ask('/readyz')}",
    )
    assert waits.startswith("awaited definitions waits since 20")
    assert "to look for workflows that wait for a definition: store " in waits
    cluster.start()
    until(lambda: serving.ask("/readyz")[0] == 200, lambda: f"not ready: {serving.ask('/readyz')}")
    assert not [line for line in serving.said if line["level"] == "error" or "Traceback" in str(line)]
    assert serving.terminate() == 0


def test_a_primary_that_becomes_read_only_is_said_to_be_and_not_to_be_unreachable(deployment: Deployment) -> None:
    serving = deployment.serve("goals", "timer")
    with psycopg.connect(deployment.database.admin_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            asyncio.run(published(deployment, {"one": bodies.Goal(goal="greet")}))
            until(
                lambda: "connect to the primary" in serving.ask("/readyz")[1]["parts"]["store"],
                lambda: f"it can be written to: {serving.ask('/readyz')}",
            )
            until(
                lambda: "awaited definitions" in serving.ask("/readyz")[1]["parts"]["waits"],
                lambda: f"nobody waits: {serving.ask('/readyz')}",
            )
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
    until(lambda: serving.ask("/readyz")[0] == 200, lambda: f"not ready: {serving.ask('/readyz')}")
    assert not [line for line in serving.said if "check that the server runs" in line["message"]]
    assert not [line for line in serving.said if line["level"] == "error" or "Traceback" in str(line)]
    name = workflow_id_from_message(deployment.goal_service.name, "one")
    until(lambda: deployment.store.exists(name), "the goal that came meanwhile was lost")
