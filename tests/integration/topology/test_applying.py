"""`handrail topology` on a real broker: applied twice, compared, refused where something else is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aio_pika
import pytest

from deploy.broker_definitions import broker_definitions, version_parameter
from deploy.cli.main import main
from domain.rights import default_users
from domain.topology import topology_of
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Login, Vhost

FOREIGN = """
from handrail import Definition, Step, activity

@activity(effect="idempotent", pivot=True, queue="papers", foreign=True)
async def read(given: dict[str, str]) -> dict[str, str]: ...

DEFINITION = Definition("read papers", steps=[Step("read", read)])
"""


class Said(NamedTuple):
    """What a command said."""

    code: int
    lines: list[str]
    errors: str


Command = Callable[..., Said]


@pytest.fixture
def topology(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """`handrail topology`, as the administrator of the broker, on a virtual host that is gone afterwards."""
    at(vhost, monkeypatch, vhost.broker.admin)
    monkeypatch.setenv("HANDRAIL_BROKER", vhost.url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(["topology", *arguments])
        said = capsys.readouterr()
        return Said(code, said.out.splitlines(), said.err)

    return run


def at(vhost: Vhost, monkeypatch: pytest.MonkeyPatch, user: Login, place: str = "") -> None:
    """Have the command log in as this user."""
    scheme, _, usual = vhost.broker.management_url.partition("://")
    monkeypatch.setenv("HANDRAIL_BROKER_MANAGEMENT", f"{scheme}://{user.name}:{user.password}@{place or usual}")


def written(path: Path, users: object) -> Path:
    path.write_text(json.dumps(users), encoding="utf-8")
    path.chmod(0o600)
    return path


# ------------------------------------------------------------------------------------------------ the topology


def test_applying_declares_everything_and_a_second_time_nothing(topology: Command, vhost: Vhost) -> None:
    first = topology("apply")
    assert (first.code, first.errors) == (0, "")
    assert "queue handrail.goals: declared" in first.lines
    assert "queue handrail.goals: bound to handrail.goals under 'goal'" in first.lines
    expected = {queue.name: dict(queue.arguments) for queue in topology_of().queues}
    found = {name: (vhost.queue(name) or {}) for name in vhost.queues()}
    assert {name: one["arguments"] for name, one in found.items()} == expected
    assert {one["type"] for one in found.values()} == {"quorum"}
    again = topology("apply")
    assert (again.code, again.lines) == (
        0,
        [f"9 exchanges, {len(expected)} queues and their bindings: as they must be"],
    )
    checked = topology("check")
    assert (checked.code, checked.lines) == (0, [])
    assert "all is as it must be" in checked.errors


def test_check_names_exactly_what_is_missing(topology: Command, vhost: Vhost) -> None:
    topology("apply")
    vhost.broker.ask("DELETE", "queues", vhost.name, "handrail.outcomes")
    (bound,) = [
        one
        for one in vhost.broker.ask("GET", "bindings", vhost.name, "e", "handrail.goals", "q", "handrail.goals")
        if one["routing_key"] == "goal"
    ]
    path = ("bindings", vhost.name, "e", "handrail.goals", "q", "handrail.goals", bound["properties_key"])
    vhost.broker.ask("DELETE", *path)
    checked = topology("check")
    assert checked.code == 2
    assert [line.partition(";")[0] for line in checked.lines] == [
        "queue handrail.outcomes: is not there",
        "queue handrail.goals: is not bound to exchange handrail.goals under 'goal'",
        "queue handrail.outcomes: is not bound to exchange handrail.outcomes under 'outcome'",
    ]
    assert topology("apply").lines == [
        "queue handrail.outcomes: declared",
        "queue handrail.goals: bound to handrail.goals under 'goal'",
        "queue handrail.outcomes: bound to handrail.outcomes under 'outcome'",
    ]
    assert topology("check").code == 0


def test_check_says_of_a_user_what_mends_it(topology: Command, vhost: Vhost) -> None:
    topology("apply")
    found = vhost.broker.ask("GET", "users", "handrail-administrator", absent=True)
    if found is None:
        vhost.broker.ask("PUT", "users", "handrail-administrator", body={"password": "x", "tags": "administrator"})
    try:
        checked = topology("check")
        lines = [line for line in checked.lines if line.startswith("user 'handrail-administrator': has no rights")]
        assert len(lines) == 1, checked.lines
        assert "`handrail topology apply --credentials FILE` mends it, where FILE names this user" in lines[0]
        topology("apply")
        assert lines[0] in topology("check").lines, "without a file no user is changed"
    finally:
        if found is None:
            vhost.broker.ask("DELETE", "users", "handrail-administrator", absent=True)


@pytest.mark.parametrize("verb", ["check", "apply"])
def test_a_virtual_host_that_is_not_there(topology: Command, vhost: Vhost, verb: str) -> None:
    other = f"{vhost.name}/other"
    said = topology(verb, "--vhost", other)
    try:
        if verb == "check":
            assert said.code == 2
            assert said.lines == [f"virtual host '{other}': is not there; `handrail topology apply` makes it"]
        else:
            assert said.code == 0
            assert said.lines[0] == f"virtual host '{other}': made"
            assert topology("check", "--vhost", other).code == 0
    finally:
        vhost.broker.ask("DELETE", "vhosts", other, absent=True)
        vhost.broker.ask("DELETE", "global-parameters", version_parameter(other), absent=True)


def test_a_queue_that_is_something_else_is_left_alone_and_nothing_is_declared(topology: Command, vhost: Vhost) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 3}
    body = {"durable": True, "auto_delete": False, "arguments": arguments}
    vhost.broker.ask("PUT", "queues", vhost.name, "handrail.goals", body=body)
    said = topology("apply")
    assert said.code == 4
    assert "queue handrail.goals: has no x-dead-letter-exchange, and must have handrail.dead" in said.errors
    assert "delete queue handrail.goals, and apply again" in said.errors
    assert vhost.queues() == ["handrail.goals"]
    checked = topology("check")
    assert any("has x-delivery-limit = 3, and must have 10" in line for line in checked.lines)
    vhost.broker.ask("DELETE", "queues", vhost.name, "handrail.goals")
    assert topology("apply").code == 0


def test_an_exchange_of_another_kind_is_named(topology: Command, vhost: Vhost) -> None:
    vhost.broker.ask("PUT", "exchanges", vhost.name, "handrail.goals", body={"type": "fanout", "durable": True})
    said = topology("apply")
    assert said.code == 4
    assert "exchange handrail.goals: has type = fanout, and must have direct" in said.errors


def test_a_policy_that_drops_messages_is_named(topology: Command, vhost: Vhost) -> None:
    topology("apply")
    body = {"pattern": "^handrail\\.goals$", "definition": {"overflow": "drop-head", "max-length": 5}}
    vhost.broker.ask("PUT", "policies", vhost.name, "short", body={**body, "apply-to": "queues"})
    (line,) = topology("check").lines
    assert "queue handrail.goals: has overflow by policy 'short'" in line


def test_the_queues_of_modules_are_declared_and_their_workers_rendered(
    topology: Command, vhost: Vhost, tmp_path: Path
) -> None:
    (tmp_path / "papers_elsewhere.py").write_text(FOREIGN, encoding="utf-8")
    rendered = json.loads("\n".join(topology("render", "--module", "papers_elsewhere").lines))
    assert rendered["vhosts"] == [{"name": vhost.name}]
    worker = next(one for one in rendered["permissions"] if one["user"] == "worker-papers")
    assert worker["read"] == r"^handrail\.activity\.papers$"
    assert topology("apply", "--module", "papers_elsewhere").code == 0
    assert {"handrail.activity.papers", "handrail.dead.activity.papers"} <= set(vhost.queues())
    assert topology("check", "--module", "papers_elsewhere").code == 0


def test_a_newer_topology_is_left_alone(topology: Command, vhost: Vhost) -> None:
    topology("apply")
    name = version_parameter(vhost.name)
    vhost.broker.ask("PUT", "global-parameters", name, body={"name": name, "value": 99})
    said = topology("apply")
    assert said.code == 4
    assert "is of version 99, this Handrail knows 1; use the newer Handrail" in said.errors


# ------------------------------------------------------------------------------------------------------- users


@pytest.fixture
def names(vhost: Vhost) -> Iterator[Callable[[str], str]]:
    """Names of users that no other test has; removed afterwards."""
    made: list[str] = []

    def name(role: str) -> str:
        made.append(f"{role}-{vhost.name.rpartition('-')[2]}")
        return made[-1]

    yield name
    for one in made:
        vhost.broker.ask("DELETE", "users", one, absent=True)


async def test_users_get_their_passwords_and_rights(
    topology: Command, vhost: Vhost, tmp_path: Path, names: Callable[[str], str]
) -> None:
    crm, desk = names("crm"), names("desk")
    users: dict[str, dict[str, object]] = {
        crm: {"role": "goal", "password": "first"},
        desk: {"role": "approval", "certificate": True},
    }
    file = str(written(tmp_path / "users.json", users))
    first = topology("apply", "--credentials", file)
    assert first.code == 0
    assert first.lines[-4:] == [
        f"user '{crm}': made (goal)",
        f"user '{crm}': given its rights",
        f"user '{desk}': made (approval)",
        f"user '{desk}': given its rights",
    ]
    assert topology("apply", "--credentials", file).lines[-2:] == [
        f"user '{crm}': as it must be",
        f"user '{desk}': as it must be",
    ]
    assert topology("check", "--credentials", file).code == 0
    await (await aio_pika.connect(vhost.url_of(Login(crm, "first")))).close()

    users[crm]["password"] = "second"
    written(tmp_path / "users.json", users)
    assert topology("apply", "--credentials", file).lines[-2] == f"user '{crm}': given its password"
    await (await aio_pika.connect(vhost.url_of(Login(crm, "second")))).close()
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(vhost.url_of(Login(crm, "first")))


def test_check_names_a_user_with_other_rights(
    topology: Command, vhost: Vhost, tmp_path: Path, names: Callable[[str], str]
) -> None:
    crm, desk = names("crm"), names("desk")
    users = {
        crm: {"role": "goal", "password": "p"},
        desk: {"role": "approval", "password": "p", "definitions": ["a b"]},
    }
    file = str(written(tmp_path / "users.json", users))
    topology("apply", "--credentials", file)
    vhost.permit(Login(crm, ""), write=".*")
    vhost.permit(Login(desk, ""), write=r"^handrail\.approvals$", topics={"handrail.approvals": (".*", "^$")})
    assert [line.partition(";")[0] for line in topology("check", "--credentials", file).lines] == [
        f"user '{crm}': may write '.*', and must '^handrail\\\\.goals$'",
        f"user '{desk}': may write '.*' on handrail.approvals, and must '^approval\\\\.(a\\\\-b)$'",
        f"user '{crm}': may write '.*', and through the default exchange any queue",
    ]
    topology("apply", "--credentials", file)
    assert topology("check", "--credentials", file).code == 0
    vhost.broker.ask("DELETE", "users", crm)
    (line,) = topology("check", "--credentials", file).lines
    assert line.startswith(f"user '{crm}': is not there")


def test_a_listener_gets_its_queue(
    topology: Command, vhost: Vhost, tmp_path: Path, names: Callable[[str], str]
) -> None:
    crm = names("crm")
    users: dict[str, dict[str, object]] = {
        crm: {"role": "listener", "password": "p", "announcements": ["approval.requested.#"]}
    }
    said = topology("apply", "--credentials", str(written(tmp_path / "users.json", users)))
    queue = f"queue handrail.listener.{crm}"
    assert f"{queue}: declared" in said.lines
    assert f"{queue}: bound to handrail.events under 'approval.requested.#'" in said.lines
    users[crm]["announcements"] = ["workflow.#"]
    file = str(written(tmp_path / "users.json", users))
    assert topology("apply", "--credentials", file).lines[:2] == [
        f"{queue}: bound to handrail.events under 'workflow.#'",
        f"{queue}: no longer bound to handrail.events under 'approval.requested.#'",
    ]
    assert topology("check", "--credentials", file).code == 0


def test_what_else_reaches_a_queue_is_named_and_left_alone(topology: Command, vhost: Vhost) -> None:
    topology("apply")
    path = ("bindings", vhost.name, "e", "amq.topic", "q", "handrail.goals")
    vhost.broker.ask("POST", *path, body={"routing_key": "mine.#", "arguments": {}})
    assert "as they must be" in topology("apply").lines[0]
    (line,) = topology("check").lines
    assert "queue handrail.goals: is also bound to exchange amq.topic under 'mine.#'" in line


async def test_the_shipped_definitions_are_what_apply_declares_and_let_nobody_in(
    own_vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = default_users(["papers"])
    definitions = broker_definitions(topology_of(["default", "papers"]), users, own_vhost.name)
    at(own_vhost, monkeypatch, own_vhost.broker.admin)
    try:
        own_vhost.broker.ask("POST", "definitions", body=definitions)
        assert main(["topology", "check", "--vhost", own_vhost.name]) == 0
        for user in users:
            with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
                await aio_pika.connect(own_vhost.url_of(Login(user.name, "")))
    finally:
        for user in users:
            own_vhost.broker.ask("DELETE", "users", user.name, absent=True)


# ---------------------------------------------------------------------------------------------------- trouble


def test_a_user_who_is_no_administrator_is_told_so_without_its_password(
    topology: Command, vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = vhost.login("stranger")
    at(vhost, monkeypatch, stranger)
    said = topology("check")
    assert said.code == 4
    assert "takes a user with the tag administrator" in said.errors
    assert stranger.password not in said.errors


def test_a_wrong_password_is_not_repeated(topology: Command, vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    at(vhost, monkeypatch, Login(vhost.broker.admin.name, "wrong-secret"))
    said = topology("apply")
    assert said.code == 4
    assert "wrong-secret" not in said.errors + "".join(said.lines)


def test_a_management_interface_that_is_not_there_is_named(
    topology: Command, vhost: Vhost, monkeypatch: pytest.MonkeyPatch, proxies: Callable[[int], Proxy]
) -> None:
    proxy = proxies(1)
    proxy.refuse()
    at(vhost, monkeypatch, vhost.broker.admin, f"127.0.0.1:{proxy.port}")
    said = topology("check")
    assert said.code == 4
    assert f"http://{vhost.broker.admin.name}@127.0.0.1:{proxy.port} cannot be reached" in said.errors
    assert vhost.broker.admin.password not in said.errors
