"""`make upgrade-test FROM=<revision>`: processes of another revision beside those of this one, on one store and broker.

    python -m tests.upgrade.run <revision> [--workflows N]

First the older ones decide and these run the steps, then the other way about, then all do all, and the older ones are
asked to end in the middle. Afterwards every workflow has completed, and every history is decided again to the letter.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.replay import decide_again
from tests.integration.serving.deployment import ROOT, Deployment, Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.fixtures import database_on, vhost_on
from tests.servers.postgres import own_cluster
from tests.servers.rabbitmq import own_broker

GOALS: Final = ("greet", "stutter", "nap")
DECIDING: Final = ("goals", "approvals", "signals", "control", "outcomes", "relay", "timer", "projector")
SETTINGS: Final = {"HANDRAIL_LEASE_SECONDS": "2", "HANDRAIL_GRACE_SECONDS": "5"}


class Rolling:
    """The deployment, whose processes are of either revision."""

    def __init__(self, deployment: Deployment, older: Path, workflows: int) -> None:
        """`older` is the folder of the other revision's files."""
        self.deployment = deployment
        self.older = str(older)
        self.workflows = workflows
        self.begun: list[str] = []

    def old(self, *roles: str) -> Served:
        """A process of the other revision."""
        return self.deployment.serve(*roles, PYTHONPATH=self.older)

    def new(self, *roles: str) -> Served:
        """A process of this one."""
        return self.deployment.serve(*roles)

    def publish(self, prefix: str) -> None:
        """Publish goals of all kinds."""
        goals = {f"{prefix}-{n}": bodies.Goal(goal=GOALS[n % len(GOALS)]) for n in range(self.workflows)}
        asyncio.run(published(self.deployment, goals))
        self.begun += [workflow_id_from_message(self.deployment.goal_service.name, name) for name in goals]

    def settle(self) -> None:
        """Wait until all that were begun have completed."""
        until(
            lambda: self.counted() == {"completed": len(self.begun)},
            lambda: f"not all completed: {self.counted()}",
            limit_seconds=180,
        )

    def counted(self) -> Counter[str]:
        """How many workflows are in which status."""
        return Counter(self.deployment.statuses(self.begun).values())

    def diverged(self) -> list[str]:
        """Histories that this revision would not decide as they were decided."""
        store = self.deployment.store
        return [
            f"{name}: {divergence}"
            for name in self.begun
            if (divergence := decide_again(list(store.read(name)), self.deployment.definitions)) is not None
        ]


def main() -> int:
    """Run it; 0 where all came out as it must."""
    parser = argparse.ArgumentParser(prog="make upgrade-test", description="Processes of two revisions together.")
    parser.add_argument("revision", help="the older revision, for example HEAD~20")
    parser.add_argument("--workflows", type=int, default=40, help="how many are begun in each of the three stages")
    given = parser.parse_args()
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        older = folder / "older"
        commit = taken_out(given.revision, older)
        broker, cluster = own_broker(), own_cluster()
        opened.callback(broker.leave)
        opened.callback(cluster.leave)
        vhost = opened.enter_context(contextlib.contextmanager(vhost_on)(broker))
        database = opened.enter_context(contextlib.contextmanager(database_on)(cluster))
        work = folder / "work"
        work.mkdir()
        deployment = Deployment(vhost, database, work, settings=dict(SETTINGS))
        opened.callback(deployment.end)
        rolling = Rolling(deployment, older, given.workflows)
        stages(rolling, commit)
        diverged = rolling.diverged()
        say(f"{len(rolling.begun)} workflows completed, {len(rolling.begun) - len(diverged)} histories decided again")
        for one in diverged:
            say(one)
        return 1 if diverged else 0


def stages(rolling: Rolling, commit: str) -> None:
    """Old decides and new runs; new decides and old runs; both do all, and the old ones go."""
    say(f"{commit} decides, this revision runs the steps")
    processes = [rolling.old(*DECIDING), rolling.new("activities")]
    rolling.publish("first")
    rolling.settle()
    end(processes)
    say(f"this revision decides, {commit} runs the steps")
    processes = [rolling.new(*DECIDING), rolling.old("activities")]
    rolling.publish("second")
    rolling.settle()
    end(processes)
    say("both do all, and the older one ends in the middle")
    leaving, staying = rolling.old("all"), rolling.new("all")
    rolling.publish("third")
    end([leaving])
    rolling.settle()
    end([staying])


def end(processes: list[Served]) -> None:
    """Ask processes to end; each must, in good order."""
    for one in processes:
        code = one.terminate()
        if code != 0:
            raise AssertionError(f"a process ended with {code}:\n{one.log.read_text(encoding='utf-8')[-3_000:]}")


def taken_out(revision: str, folder: Path) -> str:
    """Write the files of a revision into a folder; its short name. Fails where this is no clone with its history."""
    git = ["git", "-C", str(ROOT)]
    named = subprocess.run(
        [*git, "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if named.returncode:
        raise SystemExit(
            f"there is no revision {revision} here: take a clone with its history ({named.stderr.strip()})"
        )
    packed = subprocess.run([*git, "archive", "--format=tar", revision], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
    return named.stdout.strip()


def say(words: str) -> None:
    """Tell how far it is."""
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
