"""A served timer asks again for an approval that has been waited for long: whoever was told first may have lost it."""

import asyncio

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.topology import Listener, listener_queue
from producers.reminders import FIRST_AGAIN_SECONDS
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published

DESK = Listener("desk", ("approval.requested.#",))


def taken(deployment: Deployment) -> list[tuple[str, str]]:
    """What the desk is told, by message id and workflow; it is taken out of its queue."""
    how = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"}
    vhost = deployment.vhost
    told = vhost.broker.ask("POST", "queues", vhost.name, listener_queue(DESK.name), "get", body=how)
    return [(one["properties"]["message_id"], one["properties"]["correlation_id"]) for one in told]


def test_an_approval_that_is_waited_for_long_is_asked_for_again(deploy: Deploy) -> None:
    deployment = deploy(listeners=[DESK])
    deployment.serve("goals", "relay")
    asyncio.run(published(deployment, {"one": bodies.Goal(goal="council")}))
    name = workflow_id_from_message(deployment.goal_service.name, "one")
    first = until(lambda: taken(deployment), "nobody was asked")
    assert [workflow for _, workflow in first] == [name]

    with deployment.store.transaction() as cursor:  # it was asked for as much earlier
        later = "UPDATE approvals_pending SET tell_after = tell_after - ? WHERE workflow_id = ?"
        assert cursor.execute(later, (FIRST_AGAIN_SECONDS, name)) == 1
    timer = deployment.serve("timer")
    again = until(lambda: taken(deployment), lambda: f"nobody was asked again:\n{timer.log.read_text()}")
    assert again == first
    assert timer.terminate() == 0
