"""`handrail serve all`: a goal published by another service becomes a workflow that ends."""

import asyncio

import psycopg

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.messages.writing import outgoing_goal
from domain.transport import Published
from producers.publisher import AmqpPublisher
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until


async def published(deployment: Deployment, goals: dict[str, bodies.Goal]) -> list[Published]:
    """Publish goals by message id, as the goal service."""
    publisher = AmqpPublisher(deployment.vhost.url_of(deployment.goal_service), name="a goal service")
    await publisher.start()
    try:
        return await publisher.publish([outgoing_goal(goal, message_id=name) for name, goal in goals.items()])
    finally:
        await publisher.close()


def test_a_goal_published_by_another_service_becomes_a_workflow_that_ends(deploy: Deploy) -> None:
    deployment = deploy()
    serving = deployment.serve("all")
    goals = {f"order-{number}": bodies.Goal(goal="greet") for number in range(20)}
    assert set(asyncio.run(published(deployment, goals))) == {Published.CONFIRMED}
    ids = [workflow_id_from_message(deployment.goal_service.name, name) for name in goals]
    until(
        lambda: list(deployment.statuses(ids).values()) == ["completed"] * len(ids),
        lambda: f"{deployment.statuses(ids)}\n{serving.log.read_text()}",
    )
    assert serving.terminate() == 0


def test_a_role_that_falls_over_again_and_again_is_not_ready_and_says_why(deploy: Deploy) -> None:
    deployment = deploy()
    with psycopg.connect(deployment.database.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE relay_parked RENAME TO relay_parked_elsewhere")
        served = deployment.serve("relay", ready=False)
        until(
            lambda: served.ask("/readyz")[1]["parts"].get("roles", "ok") != "ok",
            lambda: f"its relay cannot begin, and it says: {served.ask('/readyz')}",
        )
        status, said = served.ask("/readyz")
        assert (status, said["parts"]["store"]) == (503, "ok")
        assert said["parts"]["roles"].startswith("relay: store ")
        assert "relay_parked" in said["parts"]["roles"]
        connection.execute("ALTER TABLE relay_parked_elsewhere RENAME TO relay_parked")
    until(lambda: served.ask("/readyz")[0] == 200, lambda: f"not ready: {served.ask('/readyz')}")
