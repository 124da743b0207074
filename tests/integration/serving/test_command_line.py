"""The command line over a store that others serve: it looks, and what is decided travels as messages."""

import json

import pytest

from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until


@pytest.fixture
def serving(deploy: Deploy) -> Deployment:
    deployment = deploy()
    deployment.serve("all")
    return deployment


def submitted(deployment: Deployment, goal: str, by: str = "rita") -> str:
    """The id of a workflow that was started from the command line."""
    ended = deployment.run("submit", "--goal", goal, "--by", by, "--json")
    assert ended.returncode == 0, ended.stderr
    found: str = json.loads(ended.stdout.splitlines()[0])["workflow"]
    return found


def waited(deployment: Deployment, workflow_id: str) -> None:
    """Returns when the workflow waits for an approval."""
    until(lambda: deployment.store.load(workflow_id).ballots, "it never asked for an approval")


def test_an_approval_from_the_command_line_reaches_its_workflow_and_is_followed_to_its_end(serving: Deployment) -> None:
    name = submitted(serving, "asking")
    waited(serving, name)
    ended = serving.run("approve", name, "--by", "alice", "--reason", "called first")
    assert ended.returncode == 0, ended.stderr
    assert (
        ended.stdout.splitlines()
        == [
            "[resume] approval_received",
            "[step] say=ok",
        ]
        or "[step] say=hello" in ended.stdout
    ), ended.stdout
    state = serving.store.load(name)
    assert state.status == "completed"
    decided = next(one for one in serving.store.read(name) if one.name == "ApprovalRecorded")
    assert decided.event.model_dump()["decided_by"] == "alice"
    assert decided.actor == serving.runtime.name, "the person and the service that said so are both recorded"


def test_a_refused_decision_is_told_and_recorded(serving: Deployment) -> None:
    name = submitted(serving, "council", by="ann")
    waited(serving, name)
    ended = serving.run("approve", name, "--by", "ann")
    assert ended.returncode == 2, ended.stdout
    assert "was refused and recorded" in ended.stderr
    assert "DecisionRefused" in [one.name for one in serving.store.read(name)]


def test_whoever_misses_a_decision_is_led_to_those_that_were_refused(serving: Deployment) -> None:
    name = submitted(serving, "asking")
    waited(serving, name)
    shown = serving.run("show", name)
    assert shown.returncode == 0
    assert "`handrail dead show approvals` says which, from whom, and why" in shown.stderr
    assert serving.run("approve", name, "--by", "alice").returncode == 0
    assert "dead show" not in serving.run("show", name).stderr, "there is nothing to decide any more"


def test_an_operator_cancels_and_looks_from_anywhere(serving: Deployment) -> None:
    name = submitted(serving, "asking")
    ended = serving.run("cancel", name, "--by", "omar", "--reason", "no longer wanted")
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.splitlines()[-1] == f"[workflow] id={name} cancelled"
    shown = serving.run("show", name, "--json")
    assert json.loads(shown.stdout)["status"] == "cancelled"
    assert serving.run("history", name).stdout.count("\n") == len(serving.store.read(name))
    assert name in serving.run("list").stdout
    listed = json.loads(serving.run("list", "--definition", "asking", "--json").stdout)
    assert name in {one["workflow_id"] for one in listed}
    assert {one["definition"] for one in listed} == {"asking"}
    refused = serving.run("list", "--definition", "askin")
    assert (refused.returncode, refused.stdout, "'asking'" in refused.stderr) == (2, "", True)


def test_a_signal_from_the_command_line_is_kept_for_who_waits(serving: Deployment) -> None:
    sent = serving.run("signal", "letter", "box-1")
    assert sent.returncode == 0, sent.stderr
    ended = serving.run("submit", "--goal", "signal", "--wait")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_runs_workflows_itself_says_what_to_use_instead(serving: Deployment) -> None:
    for command in (("run", "--goal", "greet"), ("resume",)):
        ended = serving.run(*command)
        assert ended.returncode == 2
        assert "handrail submit" in ended.stderr


def test_an_unknown_workflow_is_no_message_at_all(serving: Deployment) -> None:
    ended = serving.run("approve", "wf_nothing", "--by", "alice")
    assert ended.returncode == 2
    assert "no workflow" in ended.stderr
