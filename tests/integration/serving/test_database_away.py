"""The database goes away under a whole deployment: nothing good is called dead, and all completes when it is back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

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
