"""A process says that what it publishes to is missing, or not its to write to, before it has anything to publish."""

from typing import Any

import pytest

from deploy.broker_definitions import broker_definitions
from deploy.serving.activities import all_queues
from domain.rights import runtime
from domain.topology import COMMANDS_EXCHANGE, DEAD_EXCHANGE, EVENTS_EXCHANGE, topology_of
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, Served, until


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy(settings={"HANDRAIL_STRAIGHT": "false"})


def said(served: Served) -> str:
    """What it says of its exchanges, once it has asked about all; nothing while all of it is well."""
    status, told = served.ask("/readyz")
    words: str = told["parts"]["exchanges"]
    assert status == 503 or words == "ok"
    return "" if words == "ok" or "not asked" in words else words


def errors(served: Served) -> list[dict[str, Any]]:
    return [line for line in served.said if line["level"] == "error"]


def test_missing_exchanges_are_named_until_they_are_there(deployment: Deployment) -> None:
    for name in (COMMANDS_EXCHANGE, EVENTS_EXCHANGE, DEAD_EXCHANGE):
        deployment.vhost.broker.ask("DELETE", "exchanges", deployment.vhost.name, name)
    relay = deployment.serve("relay", ready=False)
    words = until(lambda: said(relay), lambda: f"nothing is missing: {relay.ask('/readyz')}")
    for name in (COMMANDS_EXCHANGE, EVENTS_EXCHANGE):
        assert f"exchange {name} is not there" in words
        assert len([line for line in errors(relay) if f"exchange {name} is not there" in line["message"]]) == 1
    assert "`handrail topology apply`" in words
    assert DEAD_EXCHANGE not in words, "a relay buries nothing"
    topology = topology_of(all_queues(deployment.definitions))
    deployment.vhost.define(broker_definitions(topology, [], deployment.vhost.name))
    until(lambda: relay.ask("/readyz")[0] == 200, lambda: f"not ready: {relay.ask('/readyz')}")


def test_a_login_that_may_not_write_is_told_so_until_it_may(deployment: Deployment) -> None:
    rights = runtime()
    login = deployment.vhost.login("reader", read=rights.read)
    relay = deployment.serve("relay", ready=False, HANDRAIL_BROKER=deployment.vhost.url_of(login))
    words = until(lambda: said(relay), lambda: f"it may write: {relay.ask('/readyz')}")
    assert f"exchange {COMMANDS_EXCHANGE} may not be written to as {login.name}" in words
    assert f"exchange {EVENTS_EXCHANGE} may not be written to as {login.name}" in words
    deployment.vhost.permit(login, write=rights.write, read=rights.read)
    until(lambda: relay.ask("/readyz")[0] == 200, lambda: f"not ready: {relay.ask('/readyz')}")
