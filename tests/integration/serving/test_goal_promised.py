"""A goal that was answered with 202 begins, though the process that answered and the broker's message are gone."""

import json
import urllib.request

from deploy.http.sending_on import LOOK_SECONDS
from deploy.roles import Role
from deploy.tokens import create_token
from domain.topology import GOALS_QUEUE
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import until


def test_a_goal_that_was_promised_begins_whoever_dies(deploy: Deploy) -> None:
    deployment = deploy()
    endpoint = deployment.serve("http")
    token, _ = create_token(deployment.store, name="rita", roles=[Role("requester")], created_by="administrator")
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{endpoint.address}/goals",
        data=b'{"goal": "greet"}',
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        given = json.load(answer)
        assert (answer.status, given["outcome"]) == (202, "sent")
    endpoint.kill9()
    deployment.vhost.broker.ask("DELETE", "queues", deployment.vhost.name, GOALS_QUEUE, "contents")
    serving = deployment.serve("all")
    name = given["workflow_id"]
    until(
        lambda: deployment.statuses([name]) == {name: "completed"},
        lambda: f"it was not sent again within {LOOK_SECONDS:g} s and more: {serving.log.read_text()}",
    )
    until(lambda: not deployment.store.query("SELECT 1 FROM goals_held"), "it is held although it has begun")
