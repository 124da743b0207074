"""What people decide while not every process has the definition that it is decided by: nothing of it is lost."""

import asyncio
import json
import signal
import time

import pytest

from domain.events import ApprovalRecorded, ApprovalRequested
from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.messages.writing import outgoing_approval
from domain.rights import approval_service
from domain.topology import APPROVALS_QUEUE, dead_queue
from domain.transport import Published
from producers.publisher import AmqpPublisher
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import LIMIT_SECONDS, Deployment, Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.rabbitmq import Login

OTHERS = "tests.integration.versions.v1"
"""A module that lacks the definition of the workflow that is decided on."""


class Asked:
    """A deployment with a workflow that waits for a decision, and nobody who serves."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.desk: Login = deployment.login(approval_service("desk"))
        deployment.settings["HANDRAIL_VOUCHING"] = json.dumps({self.desk.name: ["*"]})
        having = self.having()
        assert asyncio.run(published(deployment, {"order-1": bodies.Goal(goal="asking")})) == [Published.CONFIRMED]
        self.workflow_id = workflow_id_from_message(deployment.goal_service.name, "order-1")
        store = deployment.store
        until(
            lambda: store.exists(self.workflow_id) and store.load(self.workflow_id).ballots,
            lambda: f"it never asked for an approval:\n{having.log.read_text()}",
        )
        assert having.terminate() == 0

    def having(self) -> Served:
        """A process that has the definition."""
        return self.deployment.serve("goals", "approvals", "activities", "outcomes", "relay", "timer")

    def lacking(self, *, dies_at: str = "") -> Served:
        """A process that has another one only."""
        return self.deployment.serve("approvals", "control", HANDRAIL_MODULES=OTHERS, HANDRAIL_FAULT_POINT=dies_at)

    def decide(self, *message_ids: str) -> None:
        """Have the desk say that alice approves, under each of these ids."""
        asked = next(
            one.event
            for one in self.deployment.store.read(self.workflow_id)
            if isinstance(one.event, ApprovalRequested)
        )
        approval = bodies.Approval(
            workflow_id=self.workflow_id,
            approval_id=asked.approval_id,
            round=asked.round,
            digest=asked.digest,
            decision="approve",
            decided_by="alice",
        )
        messages = [outgoing_approval(approval, message_id=name, definition="asking") for name in message_ids]

        async def publish() -> list[Published]:
            publisher = AmqpPublisher(self.deployment.vhost.url_of(self.desk), name="desk")
            await publisher.start()
            try:
                return await publisher.publish(messages)
            finally:
                await publisher.close()

        assert set(asyncio.run(publish())) == {Published.CONFIRMED}

    @property
    def held(self) -> list[tuple[str, str, str]]:
        """Message id, sender and definition of what is held."""
        rows = self.deployment.store.query("SELECT message_id, sender, definition FROM messages_held ORDER BY held_at")
        return [(row[0], row[1], row[2]) for row in rows]

    def is_decided_once(self) -> None:
        """In the name of who sent it, and nothing is held any more."""
        store = self.deployment.store
        until(
            lambda: store.load(self.workflow_id).status == "completed",
            lambda: f"nobody decided it:\n{self.deployment.processes[-1].log.read_text()}",
        )
        recorded = store.read(self.workflow_id)
        decided = [(one.event.decided_by, one.actor) for one in recorded if isinstance(one.event, ApprovalRecorded)]
        assert decided == [("alice", self.desk.name)]
        until(lambda: self.held == [], "what was decided on is held still")

    @property
    def waiting(self) -> list[tuple[str, str, str]]:
        """What is held when the desk's message is."""
        return [("d-1", self.desk.name, "asking 1")]


@pytest.fixture
def asked(deploy: Deploy) -> Asked:
    return Asked(deploy())


def test_an_approval_that_comes_to_a_process_without_the_definition_is_decided_by_one_that_has_it(asked: Asked) -> None:
    lacking = asked.lacking()
    asked.decide("d-1", "d-1")
    until(lambda: asked.held == asked.waiting, lambda: f"it is not held:\n{lacking.log.read_text()}")
    examined = asked.deployment.run("doctor").stdout
    assert "1 message waits for a process that has definition 'asking' version '1'" in examined
    having = asked.having()
    asked.is_decided_once()
    assert "wait for a process that has definition" not in asked.deployment.run("doctor").stdout
    assert [lacking.terminate(), having.terminate()] == [0, 0]


def test_killed_between_holding_and_acknowledging_it_is_decided_once(asked: Asked) -> None:
    killed = asked.lacking(dies_at="acknowledge.before")
    asked.decide("d-1")
    assert killed.process.wait(LIMIT_SECONDS) == -signal.SIGKILL
    assert asked.held == asked.waiting
    lacking = asked.lacking()
    until(
        lambda: (asked.deployment.vhost.queue(APPROVALS_QUEUE) or {}).get("messages") == 0,
        lambda: f"the broker has it still:\n{lacking.log.read_text()}",
    )
    assert asked.held == asked.waiting
    asked.having()
    asked.is_decided_once()


def test_what_is_beyond_the_bound_goes_to_the_dead_queue(asked: Asked) -> None:
    with asked.deployment.store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO messages_held (receipt, queue, message_id, sender, definition, digest, properties, body, "
            "body_bytes, held_at, next_try) VALUES ('r', 'q', 'm', 's', 'gone 1', 'd', '{}', '{}', ?, ?, 0)",
            (256 * 1024 * 1024, time.time()),
        )
    lacking = asked.lacking()
    asked.decide("d-1")
    until(
        lambda: (asked.deployment.vhost.queue(dead_queue(APPROVALS_QUEUE)) or {}).get("messages") == 1,
        lambda: f"it is not dead:\n{lacking.log.read_text()}",
    )
    (said,) = [line["message"] for line in lacking.said if "to the dead queue" in line["message"]]
    assert said.startswith("to the dead queue (definition_unknown): definition 'asking' version '1' is not loaded here")
    assert said.endswith("1 messages wait for definitions, and no more are held")
    assert [one[0] for one in asked.held] == ["m"]
