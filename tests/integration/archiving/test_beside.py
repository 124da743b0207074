"""`handrail archive` beside processes that serve: workflows run on while hundreds go, and nothing of either is lost."""

import asyncio
import json
import subprocess
import sys

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.store.tombstones import how_many, tombstones_of
from tests.integration.archiving.stage import compared, everything, left_of, names_in
from tests.integration.serving.conftest import Deploy, deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_database_away import dead
from tests.integration.serving.test_serve_all import published

__all__ = ["deploy"]

OLD = 300
A_SECOND = 60
"""So many go a second at most: the archive takes long enough for others to run beside it."""
AT_ONCE = 10
WHY = ("--by", "ann", "--reason", "kept for long enough")


def begun(deployment: Deployment, goal: str, prefix: str, number: int) -> list[str]:
    """Ask for so many workflows; their ids."""
    names = [f"{prefix}-{one}" for one in range(number)]
    asyncio.run(published(deployment, {name: bodies.Goal(goal=goal) for name in names}))
    return [workflow_id_from_message(deployment.goal_service.name, name) for name in names]


def completed(deployment: Deployment, names: list[str]) -> int:
    """How many of these the views call completed."""
    marks = ", ".join("?" * len(names))
    ((found,),) = deployment.store.query(
        f"SELECT count(*) FROM workflows WHERE status = 'completed' AND workflow_id IN ({marks})", names
    )
    return int(found)


def ended(deployment: Deployment, names: list[str]) -> None:
    until(lambda: completed(deployment, names) == len(names), lambda: f"{completed(deployment, names)} completed")


def said(deployment: Deployment, *arguments: str) -> str:
    """What a command prints that has to end well."""
    done = deployment.run(*arguments)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_workflows_run_on_while_hundreds_are_archived(deploy: Deploy) -> None:
    deployment = deploy()
    serving = [deployment.serve("all"), deployment.serve("all")]
    old = begun(deployment, "greet", "old", OLD)
    ended(deployment, old)
    # The newest event of the log stays: it is to be of none of these.
    young = begun(deployment, "stutter", "between", 1)
    ended(deployment, young)
    said(deployment, "seal", "-o", "before.seal")

    archiving = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploy.cli", "archive", "--older-than", "1s", "--definition", "greet", "--yes"),
            *("-o", "old.jsonl", "--rate", f"{A_SECOND}/s", "--json", *WHY),
        ],
        cwd=deployment.folder,
        env=deployment.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    beside, half_way = 0, set[int]()
    while archiving.poll() is None:
        more = begun(deployment, ("stutter", "nap")[beside % 2], f"beside-{beside}", AT_ONCE)
        ended(deployment, more)
        young += more
        beside += 1
        half_way.add(how_many(deployment.store.query))
    out, errors = archiving.communicate(timeout=60)
    assert archiving.returncode == 0, errors
    assert json.loads(out)["workflows"] == OLD
    assert half_way - {0, OLD}, "nothing ran while they went"

    assert sorted(names_in(deployment.folder / "old.jsonl")) == sorted(old)
    assert tombstones_of(deployment.store.query, old).keys() == set(old)
    assert left_of(deployment.store, old) == {}
    assert set(everything(deployment.store)) == set(young)

    assert (
        said(deployment, "verify", "before.seal", "--store")
        .splitlines()[-1]
        .startswith("sound: the store, 301 workflows")
    )
    assert (
        said(deployment, "verify", "old.jsonl", "--store")
        .splitlines()[-1]
        .startswith("sound: the store, 300 workflows")
    )
    assert f"{len(young)} workflows with " in said(deployment, "replay", "--all")
    assert compared(deployment.store).shown == []
    assert dead(deployment) == {}
    assert [one.terminate() for one in serving] == [0, 0]
