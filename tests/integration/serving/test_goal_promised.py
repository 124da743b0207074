"""A goal that was answered with 202 begins, though the process that answered and the broker's message are gone."""

import json
import urllib.request

from deploy.http.sending_on import LOOK_SECONDS
from deploy.roles import Role
from deploy.tokens import create_token
from domain.topology import GOALS_QUEUE
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, Served, until


def promised(deployment: Deployment, endpoint: Served, goal: str) -> str:
    """The workflow id of a goal that the endpoint has answered with 202 and no store has yet."""
    token, _ = create_token(deployment.store, name="rita", roles=[Role("requester")], created_by="administrator")
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{endpoint.address}/goals",
        data=json.dumps({"goal": goal}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        given = json.load(answer)
        assert (answer.status, given["outcome"]) == (202, "sent")
    return str(given["workflow_id"])


def held(deployment: Deployment) -> int:
    return len(deployment.store.query("SELECT 1 FROM goals_held"))


def test_a_goal_that_was_promised_begins_whoever_dies(deploy: Deploy) -> None:
    deployment = deploy()
    endpoint = deployment.serve("http")
    name = promised(deployment, endpoint, "greet")
    endpoint.kill9()
    deployment.vhost.broker.ask("DELETE", "queues", deployment.vhost.name, GOALS_QUEUE, "contents")
    serving = deployment.serve("all")
    until(
        lambda: deployment.statuses([name]) == {name: "completed"},
        lambda: f"it was not sent again within {LOOK_SECONDS:g} s and more: {serving.log.read_text()}",
    )
    until(lambda: not held(deployment), "it is held although it has begun")


def test_a_goal_that_is_dead_is_sent_no_more(deploy: Deploy) -> None:
    deployment = deploy()
    serving = deployment.serve("goals")
    promised(deployment, deployment.serve("http"), "nobody knows this")
    assert held(deployment) == 1
    until(lambda: not held(deployment), lambda: f"it is held although it is dead: {serving.log.read_text()}")
