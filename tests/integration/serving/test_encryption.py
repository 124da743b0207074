"""A store that several processes share, with a key ring: people decide, keys rotate, what is erased is gone at once."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from deploy.keyring import RingFile, new_ring
from deploy.opened import SCHEMA
from deploy.roles import Role
from deploy.serving.process import ROLES
from deploy.tokens import create_token
from domain.store.covers import Covers
from domain.store.erasing import counts
from domain.store.opening import open_postgres_store
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_metrics import run

BY = ("--by", "ann", "--reason", "asked for")


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "ring.json"
    new_ring(path)
    return path


@pytest.fixture
def deployment(deploy: Deploy, ring: Path) -> Deployment:
    made = deploy(settings={"HANDRAIL_ENCRYPTION_KEYS": str(ring)})
    made.store.close()
    covers = Covers(RingFile(ring))
    made.store = open_postgres_store(made.database.url, definitions=made.definitions, schema=SCHEMA, covers=covers)
    return made


def told(served: Served, token: str, name: str) -> tuple[int, dict[str, Any]]:
    """What a process answers to who asks for a workflow."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{served.address}/workflows/{name}", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def done(deployment: Deployment, *arguments: str) -> str:
    ended = deployment.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def completed(deployment: Deployment, *names: str) -> None:
    until(
        lambda: (
            set(deployment.statuses(names).values()) == {"completed"} and deployment.statuses(names).keys() == {*names}
        ),
        lambda: f"{deployment.statuses(names)}",
    )


def asked(deployment: Deployment, *names: str) -> list[str]:
    """Workflows begun by these messages, when each waits for a person."""
    ids = list(run(deployment, dict.fromkeys(names, "asking")).values())
    until(
        lambda: all(deployment.store.exists(name) and deployment.store.load(name).ballots for name in ids),
        "they never asked for an approval",
    )
    return ids


def test_keys_rotate_while_people_decide_and_what_is_erased_is_gone_in_every_process(
    deployment: Deployment, ring: Path
) -> None:
    serving = [deployment.serve("all"), deployment.serve("all")]
    first, second = asked(deployment, "one", "two")
    assert json.loads(done(deployment, "keys", "rotate", "--json")) == {"current": "k2", "wrapped": 2}
    done(deployment, "approve", first, "--by", "alice")
    completed(deployment, first)
    (third,) = asked(deployment, "three")
    assert counts(deployment.store.query)[0] == {"k2": 3}
    assert json.loads(done(deployment, "keys", "rotate", "--json")) == {"current": "k3", "wrapped": 3}
    held = json.loads(ring.read_text())
    held["keys"] = {"k3": held["keys"]["k3"]}
    ring.write_text(json.dumps(held))
    for name in (second, third):
        done(deployment, "approve", name, "--by", "alice")
    (greeted,) = run(deployment, {"four": "greet"}).values()
    completed(deployment, first, second, third, greeted)
    assert counts(deployment.store.query)[0] == {"k3": 4}

    token, _ = create_token(deployment.store, name="vera", roles=[Role("viewer")], created_by="administrator")
    for served in serving:
        assert told(served, token, first)[0] == 200
    ended = until(lambda: erased(deployment, first), "what had to be sent on never was")
    assert f"{first}: the payloads of" in ended
    for served in serving:
        status, answer = told(served, token, first)
        assert (status, "asking" in json.dumps(answer)) == (410, False)
        assert told(served, token, second)[0] == 200
    late = deployment.run("cancel", first, *BY)
    assert late.returncode != 0
    for command in ("replay --all", "projections verify all"):
        done(deployment, *command.split())
    for served in serving:
        assert served.terminate() == 0
        assert not [one for one in served.said if one["level"] == "ERROR"]


def erased(deployment: Deployment, name: str) -> str:
    """What `handrail erase` prints; nothing where it is to be tried again."""
    ended = deployment.run("erase", name, *BY, "--yes")
    assert ended.returncode in {0, 4}, ended.stderr
    return ended.stdout


def test_nothing_is_erased_that_no_relay_has_sent_on(deployment: Deployment) -> None:
    deployment.serve(*(role for role in ROLES if role != "relay"))
    (name,) = run(deployment, {"one": "greet"}).values()
    completed(deployment, name)
    refused = deployment.run("erase", name, *BY, "--yes")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert f"workflow {name} has events that were not sent on yet" in refused.stderr.replace("\n", " ")
    assert deployment.store.load(name).goal == "greet", "nothing of it was erased"
    assert (deployment.folder / "artifacts" / "workflows" / name).is_dir()
    deployment.serve("relay")
    assert until(lambda: erased(deployment, name), "the relay never sent it on")
    assert not (deployment.folder / "artifacts" / "workflows" / name).exists()
