"""The views of a store that others serve: compared and mended from the command line, while a projector keeps them."""

import json
from datetime import UTC, datetime
from typing import Any

from deploy.cli.stuck import ALL_VIEWS, UNHEARD
from projections.causes import Cause
from projections.lag import UNJUDGED
from projections.queries import list_workflows
from projections.schema import JUDGED_AT
from projections.sql import NOTE_JUDGED, text_of
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_metrics import run


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


def stuck(deployment: Deployment) -> list[dict[str, Any]]:
    """What `handrail stuck` says."""
    ended = deployment.run("stuck", "--json")
    assert ended.returncode == 0, ended.stderr
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def test_that_nobody_judges_is_told_though_nothing_happens_any_more(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.serve("goals")
    projector = deployment.serve("projector")
    name = run(deployment, {"one": "greet"})["one"]
    until(lambda: name in versions(deployment), "the views never have it")
    projector.kill9()
    assert projections(deployment, "status")["lag_events"] == 0
    assert stuck(deployment) == []
    due = datetime.now(UTC) - UNJUDGED
    with deployment.store.transaction() as cursor:
        cursor.execute("UPDATE workflows SET look_at = ? WHERE workflow_id = ?", (text_of(due), name))
    (told,) = stuck(deployment)
    assert (told["workflow_id"], told["cause"], told["since"]) == (ALL_VIEWS, Cause.PROJECTION_LAG, due.isoformat())
    assert told["help"] == "handrail serve projector"
    with deployment.store.transaction() as cursor:
        cursor.execute(NOTE_JUDGED, (JUDGED_AT, int(cursor.now())))
    assert stuck(deployment) == [], "somebody judges, and has much to do"
    deployment.serve("projector")
    overdue = "SELECT 1 FROM workflows WHERE look_at <= ?"
    until(lambda: not deployment.store.query(overdue, (text_of(due),)), "nobody judges")


def test_that_the_broker_does_not_say_how_queues_are_is_told(deploy: Deploy) -> None:
    deployment = deploy(settings={"HANDRAIL_STUCK": '{"consumer": 1, "start": 1}'})
    deployment.serve("goals", "projector")
    name = run(deployment, {"one": "greet"})["one"]
    until(lambda: [one["cause"] for one in stuck(deployment)] == [Cause.NO_CONSUMER], "it is never told")
    assert UNHEARD not in deployment.run("stuck").stderr
    deployment.processes.pop().terminate()
    deployment.serve("projector", ready=False, HANDRAIL_BROKER="amqp://nobody:none@127.0.0.1:1/none")
    until(
        lambda: [one["cause"] for one in stuck(deployment)] == [Cause.BACKLOG], lambda: f"{name}: {stuck(deployment)}"
    )
    assert UNHEARD in " ".join(deployment.run("stuck").stderr.split())
