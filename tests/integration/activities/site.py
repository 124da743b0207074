"""One deployment, with a ledger outside; the test decides in the store, and the real processes do the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from consumers.inbox import InboxCompanion
from consumers.limits import LimitsCompanion
from domain.definitions import Definition
from domain.events import StepScheduled
from domain.messages import command_of
from domain.ports import Command, Request
from domain.transport import Outgoing
from domain.triggers import CancelWorkflow, StartWorkflow, Trigger
from producers.publisher import AmqpPublisher
from producers.signals import SignalsCompanion
from producers.timers import TimersCompanion
from tests.integration.activities.recipes import GATE
from tests.integration.serving.deployment import Deployment, Served, until
from tests.servers.postgres import Database
from tests.servers.rabbitmq import Vhost

LEASE_SECONDS = 2.0


class Site:
    """The deployment of one test."""

    def __init__(self, vhost: Vhost, database: Database, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self.ledger.mkdir()
        settings = {"LEDGER": str(self.ledger), "HANDRAIL_LEASE_SECONDS": str(LEASE_SECONDS)}
        self.deployment = Deployment(
            vhost, database, folder, modules="tests.integration.activities.recipes", settings=settings
        )
        store = self.deployment.store
        inbox = InboxCompanion("test", lease_seconds=LEASE_SECONDS)
        store.deciding.companions += [LimitsCompanion(), inbox, TimersCompanion(), SignalsCompanion()]
        store.deciding.open_commands = inbox

    def end(self) -> None:
        self.deployment.end()

    # --- deciding -----------------------------------------------------------------------------------------------------

    def decide(self, workflow_id: str, trigger: Trigger) -> None:
        (decided,) = self.deployment.store.decide_turn(
            [Request(workflow_id, trigger, datetime.now(UTC), "test", "ann")]
        )
        if decided.error is not None:
            raise decided.error

    def start(self, definition: Definition, *workflow_ids: str) -> None:
        for workflow_id in workflow_ids:
            trigger = StartWorkflow(
                goal=definition.name,
                definition=definition.name,
                definition_version=definition.version,
                requested_by="ann",
            )
            self.decide(workflow_id, trigger)

    def cancel(self, workflow_id: str) -> None:
        self.decide(workflow_id, CancelWorkflow(by="ann", reason="changed my mind"))

    def command(self, workflow_id: str) -> Command:
        """The command of a workflow's first attempt."""
        state = self.deployment.store.load(workflow_id)
        recorder = self.deployment.store.recorder
        for stored in recorder.select_events(workflow_id):
            event = self.deployment.store.mapper.to_domain_event(stored).event
            if isinstance(event, StepScheduled):
                return command_of(event, workflow_id, state)
        raise AssertionError(f"{workflow_id} has scheduled nothing")

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """As the runtime's own user."""

        async def published() -> None:
            publisher = AmqpPublisher(self.deployment.vhost.url_of(self.deployment.runtime), name="a test")
            await publisher.start()
            try:
                await publisher.publish(messages)
            finally:
                await publisher.close()

        asyncio.run(published())

    def publish_spoilt(self, message: Outgoing, payload: str) -> None:
        """A message with another body, which no publisher of ours would let out."""
        vhost = self.deployment.vhost
        properties = {
            "message_id": message.message_id,
            "type": message.type,
            "content_type": "application/json",
            "delivery_mode": 2,
        }
        body = {
            "properties": properties,
            "routing_key": message.routing_key,
            "payload": payload,
            "payload_encoding": "string",
        }
        vhost.broker.ask("POST", "exchanges", vhost.name, message.exchange, "publish", body=body)

    # --- processes ----------------------------------------------------------------------------------------------------

    def serve_all_but_activities(self) -> Served:
        return self.deployment.serve("relay", "timer", "outcomes")

    def serve_activities(self, *more: str) -> Served:
        return self.deployment.serve("activities", *more)

    # --- looking ------------------------------------------------------------------------------------------------------

    def open_the_gate(self) -> None:
        (self.ledger / GATE).touch()

    @property
    def calls(self) -> list[tuple[str, str, int]]:
        """What attempts have written: what, of which workflow, in which process."""
        book = self.ledger / "calls"
        if not book.exists():
            return []
        lines = [line.split() for line in book.read_text(encoding="utf-8").splitlines()]
        return [(what, workflow_id, int(process)) for what, workflow_id, process in lines]

    def counted(self, what: str) -> Counter[str]:
        """How often each workflow's attempts have written this."""
        return Counter(workflow_id for said, workflow_id, _ in self.calls if said == what)

    def rows(self, workflow_id: str) -> list[str]:
        """The states of a workflow's commands, in the order of their attempts."""
        found = self.deployment.store.query(
            "SELECT state FROM inbox WHERE workflow_id = ? AND version IS NOT NULL ORDER BY version", (workflow_id,)
        )
        return [row[0] for row in found]

    def depth(self, queue: str) -> int:
        """How many messages a queue has, unsettled ones too, as far as the broker has counted them."""
        known = self.deployment.vhost.queue(queue)
        return int((known or {}).get("messages", 0))

    def until_status(self, status: str, *workflow_ids: str) -> None:
        until(
            lambda: set(self.deployment.statuses(workflow_ids).values()) == {status},
            lambda: f"not {status}: {self.deployment.statuses(workflow_ids)}; {self.calls}",
        )
