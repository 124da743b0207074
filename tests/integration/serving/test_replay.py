"""Replay and compare over a store that others serve: what services did is told like anything else."""

import json
from typing import Any

from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until


def submitted(deployment: Deployment, goal: str) -> str:
    ended = deployment.run("submit", "--goal", goal, "--by", "rita", "--json")
    assert ended.returncode == 0, ended.stderr
    found: str = json.loads(ended.stdout.splitlines()[0])["workflow"]
    return found


def replayed(deployment: Deployment, name: str) -> dict[str, Any]:
    ended = deployment.run("replay", name, "--json")
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_what_services_did_is_told_with_who_said_so_and_decided_again(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.serve("all")
    refused, granted = submitted(deployment, "asking"), submitted(deployment, "asking")
    for name, act in ((granted, ("approve",)), (refused, ("reject", "--reason", "too much"))):
        until(lambda: deployment.store.load(name).ballots, "it never asked")  # noqa: B023 - awaited here
        assert deployment.run(act[0], name, "--by", "alice", *act[1:]).returncode in {0, 1}
    until(lambda: deployment.store.load(refused).ended, "it never ended")
    told = replayed(deployment, refused)
    assert (told["first_cause"]["kind"], told["code"]["word"]) == ("approval_rejected", "agrees")
    assert [act["who"] for act in told["people"]] == ["rita", "alice"]
    assert {one["outcome"] for one in told["attempts"]} <= {"ok", "needs_approval"}
    assert all(one["worker"] for one in told["attempts"] if one["outcome"] == "ok")
    compared = deployment.run("compare", refused, granted, "--json")
    assert compared.returncode == 1, compared.stderr
    assert json.loads(compared.stdout)["parting"]["what"] == "decision"
    checked = deployment.run("replay", "--all")
    assert checked.returncode == 0, checked.stdout
    assert "2 workflows with " in checked.stdout
