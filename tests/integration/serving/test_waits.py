"""Whoever asks whether a process is ready is told which role waits, since when and for what, and that it goes on."""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg

from domain.messages import bodies
from domain.topology import DEFAULT_ACTIVITY_QUEUE, activity_queue
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.proxy import Proxy

SINCE = r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
GREETING = {"one": bodies.Goal(goal="greet")}


def waits(served: Served) -> str:
    """Who waits in this process; nothing where it is ready."""
    status, said = served.ask("/readyz")
    told: str = said["parts"]["waits"]
    assert status == 503 or told == "ok"
    return "" if told == "ok" else told


def ready_again(served: Served) -> None:
    until(lambda: served.ask("/readyz")[0] == 200, lambda: f"not ready: {served.ask('/readyz')}")


def test_a_relay_that_waits_for_the_broker_says_so_until_it_is_back(
    deploy: Deploy, proxies: Callable[[int], Proxy]
) -> None:
    deployment = deploy(settings={"HANDRAIL_EAGER": "false", "HANDRAIL_STRAIGHT": "false"})
    broker = deployment.vhost.url_of(deployment.runtime)
    proxy = proxies(urlsplit(broker).port or 5672)
    relay = deployment.serve("relay", HANDRAIL_BROKER=proxy.through(broker))
    deployment.serve("goals")
    assert waits(relay) == ""
    proxy.refuse()
    asyncio.run(published(deployment, GREETING))
    until(lambda: waits(relay), lambda: f"the relay waits for nothing: {relay.ask('/readyz')}")
    assert re.match(rf"relay waits {SINCE} to carry on what the log asks for: amqp://", waits(relay))
    proxy.accept()
    ready_again(relay)
    queue = activity_queue(DEFAULT_ACTIVITY_QUEUE)
    until(lambda: (deployment.vhost.queue(queue) or {}).get("messages"), "what it waited to carry on was lost")


def test_a_projector_that_waits_for_the_store_says_so_until_it_can_write_again(deploy: Deploy) -> None:
    deployment = deploy()
    serving = deployment.serve("goals", "projector")
    with psycopg.connect(deployment.database.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE workflows RENAME TO workflows_elsewhere")
        asyncio.run(published(deployment, GREETING))
        until(lambda: waits(serving), lambda: f"the projector waits for nothing: {serving.ask('/readyz')}")
        assert re.match(
            rf'projector waits {SINCE} to keep the views: store .*"workflows" does not exist', waits(serving)
        )
        assert serving.ask("/readyz")[1]["parts"]["store"] == "ok"
        connection.execute("ALTER TABLE workflows_elsewhere RENAME TO workflows")
    ready_again(serving)
    shown = "SELECT 1 FROM workflows"
    until(lambda: deployment.store.query(shown), "the views were never written")
