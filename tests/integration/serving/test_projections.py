"""The views of a store that others serve: compared and mended from the command line, while a projector keeps them."""

import json
from typing import Any

from projections.queries import list_workflows
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until


def projections(deployment: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What a command prints as JSON."""
    ended = deployment.run("projections", *arguments, "--json")
    assert ended.returncode == code, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def versions(deployment: Deployment) -> dict[str, int]:
    return {row["workflow_id"]: row["version"] for row in list_workflows(deployment.store.query)}


def test_rows_that_differ_are_mended_under_a_projector_that_has_them_in_memory(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.serve("all")
    ended = deployment.run("submit", "--goal", "asking", "--by", "rita", "--json")
    assert ended.returncode == 0, ended.stderr
    name = json.loads(ended.stdout.splitlines()[0])["workflow"]
    until(lambda: deployment.store.load(name).ballots, "it never asked for an approval")
    until(lambda: versions(deployment).get(name) == deployment.store.load(name).version, "the views stay behind")
    assert projections(deployment, "status")["rows"]["workflows"] >= 1

    with deployment.store.transaction() as cursor:
        cursor.execute("UPDATE workflows SET goal = 'odd' WHERE workflow_id = ?", (name,))
    found = projections(deployment, "verify", "all", code=1)
    assert [(one["view"], one["key"], one["how"]) for one in found["rows"]] == [
        ("workflows", [name], "differs in goal")
    ]
    assert projections(deployment, "rebuild", "workflows")["mended"]

    assert deployment.run("approve", name, "--by", "alice").returncode == 0
    until(lambda: versions(deployment)[name] == deployment.store.load(name).version, "the projector does not go on")
    assert projections(deployment, "verify", "all")["differing"] == {}
