"""A new version of a definition under a hundred running workflows; then the old one is taken away, and served again."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_serve_all import published

OLD = "tests.integration.versions.v1"
NEW = "tests.integration.versions.v2"
RUNNING = 50
"""Workflows of each of the two kinds: those that gather still, and those that wait for the letter."""


def started(deployment: Deployment, prefix: str, *, patient: bool, count: int = RUNNING) -> list[str]:
    """Have the goal service ask for reviews; their ids."""
    goals = {f"{prefix}-{number}": bodies.Goal(goal="review", input={"patient": patient}) for number in range(count)}
    asyncio.run(published(deployment, goals))
    return [workflow_id_from_message(deployment.goal_service.name, name) for name in goals]


def waits(deployment: Deployment, names: Sequence[str]) -> Counter[str]:
    """How many of the workflows wait for what: the keys of their waits, or their status where they wait for nothing."""
    store = deployment.store
    states = [store.load(name) for name in names if store.exists(name)]
    return Counter("+".join(sorted(state.waits)) or str(state.status) for state in states)


def until_all(deployment: Deployment, names: Sequence[str], what: str) -> None:
    until(
        lambda: waits(deployment, names) == {what: len(names)},
        lambda: f"not all {what}: {waits(deployment, names)}\n{deployment.processes[-1].log.read_text()[-3_000:]}",
    )


def shown(deployment: Deployment, name: str) -> str:
    """What `handrail show` says to somebody who has only the new version."""
    ended = deployment.run("show", name, HANDRAIL_MODULES=NEW)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def listed(deployment: Deployment) -> set[str]:
    """What `handrail list --status blocked` shows to somebody who has only the new version."""
    ended = deployment.run("list", "--status", "blocked", "--json", HANDRAIL_MODULES=NEW)
    return {one["workflow_id"] for one in json.loads(ended.stdout)}


def serving(deployment: Deployment, *modules: str) -> Served:
    return deployment.serve("all", HANDRAIL_MODULES=",".join(modules))


def test_workflows_of_a_version_that_was_removed_wait_for_it_and_go_on_when_it_is_back(deploy: Deploy) -> None:
    settings = {
        "HANDRAIL_LEASE_SECONDS": "1",
        "HANDRAIL_GRACE_SECONDS": "0.2",
        "HANDRAIL_DEFINITION_PATIENCE_SECONDS": "0.5",
    }
    deployment = deploy(modules=f"{OLD},{NEW}", settings=settings)
    deployment.settings["GATE"] = str(deployment.folder / "gate")
    first = serving(deployment, OLD)
    reading = started(deployment, "reading", patient=False)
    until_all(deployment, reading, "letter:signal")
    gathering = started(deployment, "gathering", patient=True)
    until_all(deployment, gathering, "executing")

    # The new version comes, beside the old one: who runs stays on the old one, who is new takes the new one.
    both = serving(deployment, OLD, NEW)
    assert first.terminate() == 0
    new = started(deployment, "new", patient=False, count=10)
    until_all(deployment, new, "completed")
    assert {deployment.store.load(name).definition_version for name in new} == {"2"}
    assert waits(deployment, [*reading, *gathering]) == {"letter:signal": RUNNING, "executing": RUNNING}

    # The old one goes: who needs it now says so, who waits for a letter waits for the letter.
    assert both.terminate() == 0
    only_new = serving(deployment, NEW)
    until_all(deployment, gathering, ":definition")
    assert waits(deployment, reading) == {"letter:signal": RUNNING}
    assert {str(deployment.store.load(name).status) for name in gathering} == {"blocked"}
    said = shown(deployment, gathering[0])
    assert said.splitlines()[0] == f"{gathering[0]}  blocked"
    assert "definition 'review' version '1' is not loaded" in said
    assert "definition" not in shown(deployment, reading[0]).partition("waits for")[2]
    until(lambda: listed(deployment) == {*reading, *gathering}, "the list shows others")
    late = started(deployment, "late", patient=False, count=10)
    until_all(deployment, late, "completed")
    assert deployment.run("signal", "letter", "all", HANDRAIL_MODULES=NEW).returncode == 0
    until_all(deployment, reading, ":definition")

    # Served again, beside the process that lacks it and leads: all go on.
    Path(deployment.settings["GATE"]).touch()
    serving(deployment, OLD, NEW)
    until_all(deployment, reading, "completed")
    until_all(deployment, gathering, "letter:signal")
    assert deployment.run("signal", "letter", "all", HANDRAIL_MODULES=NEW).returncode == 0
    until_all(deployment, gathering, "completed")
    outputs = {deployment.store.load(name).settled["close"].output for name in (*reading, *gathering)}
    assert outputs == {"closed by the first version"}
    assert only_new.terminate() == 0
