"""SIGTERM drains within the grace and loses nothing; what does not end in time runs again elsewhere."""

import asyncio
import os
from pathlib import Path

from domain.events import StepSucceeded
from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.topology import activity_queue
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


def consumers(deployment: Deployment) -> list[str]:
    """The queues that somebody consumes from."""
    vhost = deployment.vhost
    return sorted(one["queue"]["name"] for one in vhost.broker.ask("GET", "consumers", vhost.name))


def held_by_consumers(deployment: Deployment) -> int:
    """How many step commands consumers have been given and not settled."""
    vhost = deployment.vhost
    queue = vhost.broker.ask("GET", "queues", vhost.name, activity_queue("default"))
    return int(queue.get("messages_unacknowledged", 0))  # absent until the broker has counted for the first time


def write_into(pipe: Path) -> None:
    writing = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    os.write(writing, b"go")
    os.close(writing)


def test_what_is_under_way_ends_within_the_grace_and_is_recorded(deploy: Deploy) -> None:
    deployment = deploy(settings={"HANDRAIL_GRACE_SECONDS": "60"})
    pipe = pipe_in(deployment.folder)
    ending = deployment.serve("all")
    name = waiting(deployment, pipe)
    ending.process.terminate()
    until(lambda: not consumers(deployment), lambda: f"it takes more: {consumers(deployment)}")
    # By the time that another process has come up and done what comes meanwhile, one without its grace has ended.
    other = deployment.serve("all")
    asyncio.run(published(deployment, {"two": bodies.Goal(goal="greet")}))
    came = workflow_id_from_message(deployment.goal_service.name, "two")
    until(lambda: deployment.statuses([came]) == {came: "completed"}, lambda: str(deployment.statuses([came])))
    assert ending.process.poll() is None, ending.log.read_text()
    write_into(pipe)
    assert ending.process.wait(30) == 0
    until(lambda: deployment.statuses([name]) == {name: "completed"}, lambda: str(deployment.statuses([name])))
    waited, said = [one.event for one in deployment.store.read(name) if isinstance(one.event, StepSucceeded)]
    assert (waited.step, waited.attempt, said.attempt) == ("wait", 1, 1)
    assert f"-{ending.process.pid}-" in (waited.worker or "")
    # What follows from it is the other one's: the one that ends begins nothing more.
    assert f"-{other.process.pid}-" in (said.worker or "")


def test_what_waits_for_room_goes_back_at_once_and_keeps_nobody_from_ending(deploy: Deploy) -> None:
    deployment = deploy(settings={"HANDRAIL_GRACE_SECONDS": "60", "HANDRAIL_ATTEMPTS_AT_ONCE": "1"})
    pipe = pipe_in(deployment.folder)
    ending = deployment.serve("all")
    name = waiting(deployment, pipe)
    asyncio.run(published(deployment, {goal: bodies.Goal(goal="greet") for goal in ("two", "three")}))
    others = [workflow_id_from_message(deployment.goal_service.name, goal) for goal in ("two", "three")]
    until(lambda: held_by_consumers(deployment) == len(others), "they never came to the process without room for them")
    ending.process.terminate()
    until(lambda: not held_by_consumers(deployment), "they do not go back")
    assert ending.process.poll() is None, ending.log.read_text()
    write_into(pipe)
    assert ending.process.wait(30) == 0
    deployment.serve("all")
    ended = dict.fromkeys([name, *others], "completed")
    until(lambda: deployment.statuses(list(ended)) == ended, lambda: str(deployment.statuses(list(ended))))
    assert "AttemptLapsed" not in {one.name for workflow in ended for one in deployment.store.read(workflow)}


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
