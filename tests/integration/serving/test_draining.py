"""SIGTERM drains within the grace and loses nothing; what does not end in time runs again elsewhere."""

import asyncio
import os
from pathlib import Path

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published


def pipe_in(folder: Path) -> Path:
    """A pipe on which an activity waits until something is written."""
    path = folder / "pipe"
    os.mkfifo(path)
    return path


def waiting(deployment: Deployment, pipe: Path) -> str:
    """A workflow whose activity has begun, and ends when something is written into the pipe."""
    goal = bodies.Goal(goal="pipe", input={"word": str(pipe)})
    asyncio.run(published(deployment, {"one": goal}))
    name = workflow_id_from_message(deployment.goal_service.name, "one")
    claimed = "SELECT 1 FROM inbox WHERE workflow_id = ? AND state = 'claimed'"
    until(lambda: deployment.store.query(claimed, (name,)), "the activity never began")
    return name


def write_into(pipe: Path) -> None:
    writing = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    os.write(writing, b"go")
    os.close(writing)


def test_what_is_under_way_ends_within_the_grace_and_is_recorded(deploy: Deploy) -> None:
    deployment = deploy()
    pipe = pipe_in(deployment.folder)
    serving = deployment.serve("all")
    name = waiting(deployment, pipe)
    serving.process.terminate()
    until(lambda: "ending" in serving.log.read_text(), "it was never asked to end")
    write_into(pipe)
    assert serving.process.wait(30) == 0
    assert [one.name for one in deployment.store.read(name)].count("StepSucceeded") >= 1
    assert "AttemptLapsed" not in [one.name for one in deployment.store.read(name)]


def test_what_does_not_end_within_the_grace_runs_again_elsewhere(deploy: Deploy) -> None:
    deployment = deploy(settings={"HANDRAIL_LEASE_SECONDS": "1", "HANDRAIL_GRACE_SECONDS": "0.2"})
    pipe = pipe_in(deployment.folder)
    serving = deployment.serve("all")
    name = waiting(deployment, pipe)
    assert serving.terminate() == 0
    deployment.serve("all")
    until(
        lambda: "AttemptLapsed" in [one.name for one in deployment.store.read(name)],
        lambda: f"never lapsed: {[one.name for one in deployment.store.read(name)]}",
    )
    write_into(pipe)

    def ended() -> bool:
        write_into(pipe)
        return deployment.store.load(name).status == "completed"

    until(ended, lambda: f"never ended: {deployment.store.load(name)}")


def test_a_process_that_ends_is_not_ready_any_more(deploy: Deploy) -> None:
    deployment = deploy()
    pipe = pipe_in(deployment.folder)
    serving = deployment.serve("all")
    waiting(deployment, pipe)
    serving.process.terminate()
    until(lambda: serving.ask("/readyz")[0] == 503, "it still says that it is ready")
    assert serving.ask("/healthz")[0] == 200
    write_into(pipe)
    assert serving.process.wait(30) == 0
