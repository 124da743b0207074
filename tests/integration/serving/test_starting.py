"""A process that starts while its database is away says so, waits, and then serves; what must be changed ends it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.cli.exits import ExitCode
from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.postgres import Database, OwnCluster
from tests.servers.rabbitmq import Vhost


@pytest.fixture
def deployment(vhost: Vhost, own_database: Database, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(vhost, own_database, tmp_path)
    yield made
    cluster_of(made).ensure()
    made.end()


def cluster_of(deployment: Deployment) -> OwnCluster:
    cluster = deployment.database.cluster
    assert isinstance(cluster, OwnCluster)
    return cluster


def readiness(served: Served) -> str:
    """What it says of its store."""
    status, said = served.ask("/readyz")
    assert status == 503
    told: str = said["parts"]["store"]
    return told


def test_a_process_waits_for_a_database_that_is_away_and_then_serves(deployment: Deployment) -> None:
    cluster_of(deployment).stop()
    goals = {"early": bodies.Goal(goal="greet")}
    asyncio.run(published(deployment, goals))
    name = workflow_id_from_message(deployment.goal_service.name, "early")

    serving = deployment.serve("all", ready=False)
    assert serving.ask("/healthz") == (200, {"status": "ok"})
    assert readiness(serving).startswith("the process waits since 20")
    assert "to begin: store " in readiness(serving)
    assert "check that the server runs" in readiness(serving)
    status, problem = serving.ask(f"/workflows/{name}")
    assert (status, problem["type"]) == (503, "urn:handrail:problem:store-unavailable")

    cluster_of(deployment).start()
    until(lambda: serving.ask("/readyz")[0] == 200, lambda: f"not ready: {serving.ask('/readyz')}")
    until(
        lambda: deployment.statuses([name]) == {name: "completed"},
        lambda: f"{deployment.statuses([name])}\n{serving.log.read_text()}",
    )
    assert serving.ask(f"/workflows/{name}")[0] == 401, "the endpoint answers, and asks for a token"
    told = [line["message"] for line in serving.said if "store" in line["message"]]
    assert len([one for one in told if "Connection refused" in one]) == 1, f"it is said once: {told}"
    assert "the store is there" in told
    assert serving.terminate() == 0
    password = urlsplit(deployment.database.url).password
    assert password
    assert password not in serving.log.read_text()


def test_a_process_that_waits_for_its_database_ends_at_once(deployment: Deployment) -> None:
    cluster_of(deployment).stop()
    serving = deployment.serve("relay", ready=False)
    assert "to begin: store " in readiness(serving)
    assert serving.terminate() == 0
    assert not any("Traceback" in str(line) for line in serving.said)


def test_a_server_that_takes_connections_and_says_nothing_keeps_no_process_from_ending(deployment: Deployment) -> None:
    cluster_of(deployment).suspend()
    try:
        serving = deployment.serve("relay", ready=False, HANDRAIL_STORE=f"{deployment.database.url}?connect_timeout=2")
        assert "timeout expired" in readiness(serving)
        hanging = deployment.begun("relay", HANDRAIL_STORE=f"{deployment.database.url}?connect_timeout=600")
        until(lambda: "health is told at" in hanging.log.read_text(), "it never listened")
        assert (serving.terminate(), hanging.terminate()) == (0, 0)
    finally:
        cluster_of(deployment).resume()


def test_a_database_that_is_read_only_is_waited_for(deployment: Deployment) -> None:
    with psycopg.connect(deployment.database.admin_url, autocommit=True) as connection:
        alter = f"ALTER DATABASE {deployment.database.name} SET default_transaction_read_only"
        connection.execute(f"{alter} = on".encode())
        serving = deployment.serve("relay", ready=False)
        assert "connect to the primary" in readiness(serving)
        connection.execute(f"{alter} = off".encode())
    until(lambda: serving.ask("/readyz")[0] == 200, lambda: f"not ready: {serving.ask('/readyz')}")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("password", "refused the user or the password"),
        ("database", "create the database, or name another one"),
        ("tables", "has no tables of Handrail yet; run `handrail migrate`"),
        ("parameter", "is no address"),
        ("settings", "synchronous_commit=off"),
    ],
)
def test_what_somebody_has_to_change_ends_the_process_at_once(deployment: Deployment, wrong: str, words: str) -> None:
    database = deployment.database
    parts = urlsplit(database.url)
    url = database.url
    if wrong == "password":
        url = url.replace(f":{parts.password}@", ":not-this-one@")
    elif wrong == "database":
        url = f"{url}-elsewhere"
    elif wrong == "parameter":
        url = f"{url}?colour=red"
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        if wrong == "tables":
            connection.execute("DROP TABLE handrail_migrations")
        elif wrong == "settings":
            connection.execute(f"ALTER DATABASE {database.name} SET synchronous_commit = off".encode())
    ended = deployment.run("serve", "all", "--port", "0", HANDRAIL_STORE=url)
    assert ended.returncode == ExitCode.INTERNAL, ended.stdout + ended.stderr
    assert words in ended.stderr
    assert "waiting for the store" not in ended.stderr
    assert "not-this-one" not in ended.stderr + ended.stdout


def test_a_login_that_the_broker_refuses_ends_the_process_as_a_wrong_setting(deployment: Deployment) -> None:
    password = deployment.runtime.password
    url = deployment.vhost.url_of(deployment.runtime).replace(f":{password}@", ":not-this-one@")
    ended = deployment.run("serve", "relay", "timer", "--port", "0", HANDRAIL_BROKER=url)
    assert ended.returncode == ExitCode.REFUSED, ended.stdout + ended.stderr
    assert "HANDRAIL_BROKER: amqp://" in ended.stderr
    assert "see that this login exists, and that its password (HANDRAIL_BROKER_PASSWORD_FILE) is right" in ended.stderr
    assert "`handrail topology apply --credentials FILE`" in ended.stderr
    assert "not-this-one" not in ended.stderr + ended.stdout


def test_a_broker_that_is_away_is_waited_for(deployment: Deployment) -> None:
    url = "amqp://runtime:not-this-one@127.0.0.1:1/none"
    serving = deployment.begun("relay", HANDRAIL_BROKER=url)
    until(lambda: "this process leads relay" in serving.log.read_text(), serving.log.read_text)
    assert serving.terminate() == 0


def test_a_process_with_a_password_of_yesterday_lets_one_with_the_new_one_lead(deployment: Deployment) -> None:
    old = deployment.serve("relay")
    until(lambda: "this process leads relay" in old.log.read_text(), old.log.read_text)
    login, broker = deployment.runtime, deployment.vhost.broker
    before = deployment.vhost.url_of(login)
    user = broker.ask("GET", "users", login.name)
    broker.ask("PUT", "users", login.name, body={"password": "the-new-one", "tags": user["tags"]})
    new = deployment.serve("all", HANDRAIL_BROKER=before.replace(f":{login.password}@", ":the-new-one@"))

    def cut_off() -> bool:
        for one in broker.ask("GET", "connections", "username", login.name):  # it learns of connections late
            broker.ask("DELETE", "connections", one["name"], absent=True)
        return "Login was refused" in old.ask("/readyz")[1]["parts"]["broker"]

    until(cut_off, old.log.read_text)
    until(lambda: "this process leads relay" in new.log.read_text(), old.log.read_text)
    status, said = old.ask("/readyz")
    assert status == 503
    assert "Login was refused" in said["parts"]["broker"]
    assert old.process.poll() is None, "it tries again"
    assert old.terminate() == 0


def test_a_wrong_password_is_found_out_when_the_database_is_back(deployment: Deployment) -> None:
    cluster_of(deployment).stop()
    parts = urlsplit(deployment.database.url)
    url = deployment.database.url.replace(f":{parts.password}@", ":not-this-one@")
    serving = deployment.serve("relay", ready=False, HANDRAIL_STORE=url)
    assert "check that the server runs" in readiness(serving)
    cluster_of(deployment).start()
    assert serving.process.wait(60) == ExitCode.INTERNAL
    assert "refused the user or the password" in serving.log.read_text()


def test_all_roles_without_a_port_say_that_nobody_is_answered_and_work(deployment: Deployment) -> None:
    serving = deployment.begun("all", port=None)
    until(lambda: "serving " in serving.log.read_text(), lambda: f"it never served:\n{serving.log.read_text()}")
    told = [line["message"] for line in serving.said if "http" in line["message"]]
    assert told == ["the role http is not served, nor /healthz and /readyz: --port says where they are to answer"]
    asyncio.run(published(deployment, {"one": bodies.Goal(goal="greet")}))
    name = workflow_id_from_message(deployment.goal_service.name, "one")
    until(lambda: deployment.statuses([name]) == {name: "completed"}, lambda: f"{deployment.statuses([name])}")
    assert serving.terminate() == 0
