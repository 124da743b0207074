"""On a store that others serve: each act is a message, and whoever is ended half way does nothing twice."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.integration.many.recipes import MENDED
from tests.integration.serving.conftest import deploy
from tests.integration.serving.deployment import Deployment, until

__all__ = ["deploy"]

BY = ("--by", "olga", "--reason", "the register is back")
MANY = 6


@pytest.fixture
def serving(deploy: Callable[..., Deployment]) -> Deployment:
    """A deployment in which as many workflows wait for a person because of one failure."""
    deployment = deploy(modules="tests.integration.many.recipes")
    deployment.serve("all")
    for number in range(MANY):
        sent = deployment.run("submit", "--goal", "fall", "--message-id", f"goal-{number}", "--by", "rita")
        assert sent.returncode == 0, sent.stderr
    until(lambda: len(waiting(deployment)) == MANY, lambda: f"only {waiting(deployment)} wait")
    return deployment


def waiting(deployment: Deployment) -> list[str]:
    rows = deployment.store.query("SELECT workflow_id FROM waits WHERE reason = 'intervention'", ())
    return [row[0] for row in rows]


def fingerprint(deployment: Deployment) -> str:
    ended = deployment.run("failures", "--json")
    assert ended.returncode == 0, ended.stderr
    (found,) = json.loads(ended.stdout)
    assert found["waiting"] == MANY
    return str(found["fingerprint"])


def lying(deployment: Deployment) -> int:
    """Messages that nobody has taken yet."""
    queue = deployment.vhost.queue("handrail.control") or {}
    return int(queue.get("messages") or 0)


def acts(deployment: Deployment, workflow_id: str) -> int:
    return [one.name for one in deployment.store.read(workflow_id)].count("InterventionApplied")


def begun(deployment: Deployment, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=deployment.folder,
        env=deployment.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_was_ended_half_way_goes_on_and_repeats_nothing(
    serving: Deployment, ended_by: signal.Signals
) -> None:
    make, names = fingerprint(serving), waiting(serving)
    (serving.folder / MENDED).touch()
    first = begun(serving, "retry", "--fingerprint", make, *BY, "--rate", "2/s", "--json")
    assert first.stdout is not None
    assert json.loads(first.stdout.readline())["result"] == "done"
    first.send_signal(ended_by)
    out, errors = first.communicate(timeout=60)
    if ended_by is signal.SIGINT:
        assert first.returncode == 130, errors
        assert "the same command again does what is left" in errors
        summary = json.loads(out.splitlines()[-1])
        assert summary["kind"] == "summary"
        assert summary["left"] > 0
    second = serving.run("retry", "--fingerprint", make, *BY, "--rate", "100/s")
    assert second.returncode == 0, second.stderr
    until(lambda: set(serving.statuses(names).values()) == {"completed"}, lambda: f"they are {serving.statuses(names)}")
    assert [acts(serving, name) for name in names] == [1] * MANY


def test_what_was_sent_and_not_decided_yet_is_met_by_itself(serving: Deployment) -> None:
    """Nobody decides while the first command waits: the second sends the same messages, and each counts once."""
    make, names = fingerprint(serving), waiting(serving)
    (serving.folder / MENDED).touch()
    (all_roles,) = serving.processes
    assert all_roles.terminate() == 0
    first = begun(serving, "retry", "--fingerprint", make, *BY, "--rate", "100/s")
    until(lambda: lying(serving) >= MANY, "the messages never came to the queue")
    first.kill()
    first.communicate(timeout=60)
    second = begun(serving, "retry", "--fingerprint", make, *BY, "--rate", "100/s", "--json")
    until(lambda: lying(serving) >= 2 * MANY, "the messages were not sent again")
    serving.serve("all")
    out, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert json.loads(out.splitlines()[-1])["done"] == MANY
    until(lambda: set(serving.statuses(names).values()) == {"completed"}, lambda: f"they are {serving.statuses(names)}")
    assert [acts(serving, name) for name in names] == [1] * MANY


def test_many_are_cancelled_and_one_that_is_refused_is_told_with_why(serving: Deployment) -> None:
    make, names = fingerprint(serving), waiting(serving)
    chosen = ("--status", "blocked", "--definition", "fall")
    shown = serving.run("cancel", *chosen, "--dry-run")
    assert (shown.returncode, len(shown.stdout.splitlines())) == (0, MANY)
    done = serving.run("cancel", *chosen, *BY, "--rate", "100/s", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["done"] == MANY
    until(lambda: set(serving.statuses(names).values()) == {"cancelled"}, lambda: f"they are {serving.statuses(names)}")
    assert "nothing to retry" in serving.run("retry", "--fingerprint", make, *BY).stderr
