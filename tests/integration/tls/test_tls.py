"""Everything over TLS works, and whatever is wrong with a certificate is refused in words that say what to do."""

import json

import pytest

from deploy.cli.exits import ExitCode
from tests.integration.serving.deployment import until
from tests.integration.tls.site import Paths, SecureDeployment

WRONG = {
    "another authority": Paths(authority="stranger.pem"),
    "another host": Paths(host="127.0.0.1"),
    "an expired certificate": Paths(client="expired"),
    "no certificate": Paths(client=""),
}


def test_the_command_line_makes_tables_and_topology_over_tls(secure: SecureDeployment) -> None:
    for ended in secure.set_up:
        assert ended.returncode == 0, ended.stdout + ended.stderr
    checked = secure.run("topology", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert [secure.told_in(one) for one in (*secure.set_up, checked)] == [set(), set(), set()]


def test_a_goal_becomes_a_workflow_that_ends_and_no_password_is_said(secure: SecureDeployment) -> None:
    serving = secure.serve("all")
    ended = secure.run("submit", "--goal", "greet", "--wait", "--json", **secure.as_shop())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    name = json.loads(ended.stdout.splitlines()[0])["workflow"]
    assert secure.store.load(name).status == "completed"
    connections = secure.servers.cluster.administer(
        "SELECT ssl, client_dn FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE datname = %s",
        (secure.database.name,),
    )
    assert {(ssl, "CN=handrail" in str(subject)) for ssl, subject in connections} == {(True, True)}
    assert serving.terminate() == 0
    assert secure.told_in(ended) == set()
    assert secure.told(serving.log.read_text(encoding="utf-8")) == set()


DATABASE = {
    "another authority": "is not from an authority that is trusted here: name that authority's with sslrootcert",
    "another host": "its certificate is for another host: connect by a name that the certificate holds",
    "an expired certificate": "our client certificate has expired: name a new one with sslcert and sslkey",
    "no certificate": "it asks for a client certificate: name one, and its key, with sslcert and sslkey",
}


def advice(wrong: str) -> str:
    """What is said of a broker, by its parameters' names."""
    return DATABASE[wrong].replace("sslrootcert", "cafile").replace("sslcert and sslkey", "certfile and keyfile")


@pytest.mark.parametrize("wrong", WRONG)
def test_the_database_is_refused_or_refuses(secure: SecureDeployment, wrong: str) -> None:
    command = ("serve", "relay") if wrong == "no certificate" else ("migrate",)
    ended = secure.run(*command, HANDRAIL_STORE=secure.store_address(WRONG[wrong]))
    assert ended.returncode == ExitCode.INTERNAL, ended.stdout
    assert DATABASE[wrong] in ended.stderr
    assert secure.told_in(ended) == set()


@pytest.mark.parametrize("wrong", WRONG)
def test_the_management_interface_is_refused_or_refuses(secure: SecureDeployment, wrong: str) -> None:
    ended = secure.run("topology", "apply", HANDRAIL_BROKER_MANAGEMENT=secure.management_address(WRONG[wrong]))
    assert ended.returncode == ExitCode.INTERNAL, ended.stdout
    assert advice(wrong) in ended.stderr
    assert secure.told_in(ended) == set()


@pytest.mark.parametrize("wrong", WRONG)
def test_the_broker_is_refused_or_refuses(secure: SecureDeployment, wrong: str) -> None:
    address = secure.broker_address(WRONG[wrong])
    ended = secure.run("submit", "--goal", "greet", "--timeout", "1", HANDRAIL_BROKER=address)
    assert ended.returncode == ExitCode.INTERNAL, ended.stdout
    assert advice(wrong) in ended.stderr.splitlines()[-1]
    assert secure.told_in(ended) == set()


def test_a_process_whose_broker_cannot_be_trusted_is_not_ready_and_says_why(secure: SecureDeployment) -> None:
    serving = secure.serve(
        "goals", "relay", ready=False, HANDRAIL_BROKER=secure.broker_address(WRONG["no certificate"])
    )
    until(
        lambda: advice("no certificate") in serving.ask("/readyz")[1]["parts"]["broker"],
        lambda: str(serving.ask("/readyz")),
    )
    until(
        lambda: advice("no certificate") in serving.ask("/readyz")[1]["parts"]["queues"],
        lambda: str(serving.ask("/readyz")),
    )
    assert serving.ask("/readyz")[0] == 503
    assert {one["level"] for one in serving.said if advice("no certificate") in one["message"]} == {"warning"}
    assert serving.terminate() == 0
    assert secure.told(serving.log.read_text(encoding="utf-8")) == set()
