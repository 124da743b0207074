"""`handrail reconcile` on a deployment whose broker has lost every message: all of it completes."""

import asyncio
import json

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published


def queued(deployment: Deployment) -> int:
    """Messages in the queues of activities."""
    vhost = deployment.vhost
    names = [name for name in vhost.queues() if name.startswith("handrail.activity.")]
    return sum((vhost.queue(name) or {}).get("messages", 0) for name in names)


def test_what_was_lost_is_counted_issued_again_and_completes(deploy: Deploy) -> None:
    deployment = deploy()
    deciding = deployment.serve("goals", "relay")
    goals = {f"order-{number}": bodies.Goal(goal="greet") for number in range(3)}
    asyncio.run(published(deployment, goals))
    names = [workflow_id_from_message(deployment.goal_service.name, name) for name in goals]
    until(lambda: queued(deployment) == 3, lambda: f"{queued(deployment)} messages\n{deciding.log.read_text()}")
    for name in deployment.vhost.queues():
        deployment.vhost.broker.ask("DELETE", "queues", deployment.vhost.name, name, "contents")

    counted = deployment.run("reconcile", "--dry-run", "--json")
    assert json.loads(counted.stdout)["commands"] == 3, counted.stderr
    done = deployment.run("reconcile")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 outstanding commands issued again" in done.stdout

    deployment.serve("activities")
    until(
        lambda: list(deployment.statuses(names).values()) == ["completed"] * 3,
        lambda: str(deployment.statuses(names)),
    )
    assert deciding.terminate() == 0
