"""Forks of a store that others serve: the act is a message, the relay begins the fork, and nothing happens twice."""

import json
import subprocess
import sys

import pytest

from domain.errors import WorkflowUnknown
from domain.events import ForkTaken
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until

SUBMITTED = ("submit", "--goal", "greet", "--by", "rita", "--wait", "--json")
BY = ("--by", "olga", "--reason", "once more")


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy()


def greeted(deployment: Deployment) -> str:
    ended = deployment.run(*SUBMITTED)
    assert ended.returncode == 0, ended.stderr
    found: str = json.loads(ended.stdout.splitlines()[0])["workflow"]
    until(lambda: deployment.store.load(found).ended, "it does not end")
    return found


def taken(deployment: Deployment, source: str) -> list[ForkTaken]:
    return [one.event for one in deployment.store.read(source) if isinstance(one.event, ForkTaken)]


def test_a_fork_from_the_command_line_is_begun_by_whoever_serves_and_followed(deployment: Deployment) -> None:
    deployment.serve("all")
    source = greeted(deployment)
    ended = deployment.run("fork", source, "--at", "3", *BY, "--yes")
    assert ended.returncode == 0, ended.stderr
    (told,) = taken(deployment, source)
    assert ended.stdout.splitlines()[0] == f"[workflow] id={told.fork} started"
    assert "[step] say=hello" in ended.stdout
    state = deployment.store.load(told.fork)
    assert (state.status, state.forked_from, state.requested_by) == ("completed", source, "olga")
    again = deployment.run("fork", source, "--at", "3", *BY, "--yes")
    assert again.returncode == 0, again.stderr
    assert again.stdout == ended.stdout
    assert len(taken(deployment, source)) == 1
    asked = deployment.run("fork", source, "--at", "3", *BY)
    assert (asked.returncode, asked.stdout) == (2, "")
    refused = deployment.run("fork", source, "--at", "2", *BY, "--yes")
    assert refused.returncode == 2
    assert "lies in the middle of a decision" in refused.stderr
    assert json.loads(deployment.run("list", "--json").stdout)
    checked = deployment.run("replay", "--all")
    assert checked.returncode == 0, checked.stdout
    verified = deployment.run("projections", "verify", "all")
    assert verified.returncode == 0, verified.stdout


def test_a_fork_that_was_taken_while_no_relay_ran_begins_with_the_next_one(deployment: Deployment) -> None:
    served = deployment.serve("all")
    source = greeted(deployment)
    served.kill9()
    deployment.serve("control")
    cut = deployment.run("fork", source, "--at", "3", *BY, "--yes", "--dry-run", "--json")
    assert json.loads(cut.stdout)["at"] == 3
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "fork", source, "--at", "3", *BY, "--yes", "--detach"],
        cwd=deployment.folder,
        env=deployment.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    (told,) = until(lambda: taken(deployment, source), "it was never taken")
    with pytest.raises(WorkflowUnknown):
        deployment.store.load(told.fork)
    deployment.serve("all")
    until(lambda: deployment.statuses([told.fork]).get(told.fork) == "completed", "it never began")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert len(taken(deployment, source)) == 1
