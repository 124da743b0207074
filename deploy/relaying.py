"""What the relay is given: the bridges between the log, the inbox, the attempts and the definitions of one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from consumers.activities import ActivityRunner
from consumers.claims import OpenRow
from consumers.inbox import InboxCompanion
from deploy.loading import LoadedDefinitions, check_input
from deploy.scope import Scope
from domain.errors import DefinitionMissing, Refused, StoreError, StoreUnavailable
from domain.events import ChildStarted, StepScheduled, StoppingBegan
from domain.messages import command_of
from domain.ports import Command, Notification
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.store.positions import MovePosition
from domain.triggers import StartWorkflow
from producers.facts import KnownWorkflows, WorkflowFacts
from producers.memory import MemorySender
from producers.parked import Parked
from producers.relay import RELAY

_log: Final = logging.getLogger("handrail.deploy")


class RelaySurroundings:
    """The port `Outside` of the relay, and the way by which open commands are issued again."""

    def __init__(
        self,
        *,
        store: WorkflowStore,
        inbox: InboxCompanion,
        runner: ActivityRunner,
        sender: MemorySender,
        definitions: LoadedDefinitions,
        scope: Scope,
        scope_grew: Callable[[], None],
    ) -> None:
        """Tie these together."""
        self.known = KnownWorkflows(self.first_event)
        self.sender = sender
        self._store = store
        self._inbox = inbox
        self._runner = runner
        self._definitions = definitions
        self._scope = scope
        self._scope_grew = scope_grew
        self._parked = Parked(store)

    def first_event(self, workflow_id: str) -> RecordedEvent:
        """A workflow's first event, from the store."""
        return self.event(workflow_id, 1)

    def event(self, workflow_id: str, version: int) -> RecordedEvent:
        """One event of a workflow, from the store."""
        found = self._store.recorder.select_events(workflow_id, gt=version - 1, lte=version)
        if not found:
            raise StoreError(f"workflow {workflow_id} event {version} is missing; restore the store from a backup")
        return self._store.mapper.to_domain_event(found[0])

    def drives(self, notification: Notification) -> bool:
        """Whether this process drives the workflow of an event."""
        recorded = notification.event
        known = self._scope.ids
        if known is None or recorded.originator_id in known:
            return True
        driven = self._scope.drives(recorded.originator_id, notification.position, recorded.originator_version)
        if driven:
            self._scope_grew()
        return driven

    def started_here(self, message_id: str) -> bool:
        """Whether a command was claimed and started by the transaction that scheduled it."""
        started = self._inbox.started_here
        if message_id in started:
            started.discard(message_id)
            return True
        return False

    def command(self, recorded: RecordedEvent, facts: WorkflowFacts) -> Command:
        """The command that a StepScheduled event asks for."""
        if not isinstance(recorded.event, StepScheduled):
            raise TypeError(type(recorded.event).__name__)
        return command_of(recorded.event, recorded.originator_id, facts)

    def child(self, event: ChildStarted, parent: str, facts: WorkflowFacts) -> StartWorkflow | None:
        """The trigger that starts a child, None where it has begun; raises Refused where it does not fit.

        Whoever has the parent's definition knows what there is of its children's; who has not, cannot tell.
        """
        if self._definitions.find(facts.definition, facts.definition_version) is None:
            raise DefinitionMissing(
                f"child workflow {event.child_workflow} waits for a process that has definition {facts.definition!r}"
            )
        try:
            definition = self._definitions.named(event.definition)
            check_input(definition, event.input)
        except Refused:
            if self._store.exists(event.child_workflow):
                return None  # told again: whoever began it had its definition
            raise
        return StartWorkflow(
            goal=event.goal,
            definition=definition.name,
            definition_version=definition.version,
            input=event.input,
            requested_by=facts.requested_by,
            parent_workflow=parent,
            parent_step=event.step,
        )

    def stopping(self, workflow_id: str, event: StoppingBegan) -> None:
        """A workflow began to stop: tell its attempts; only a failure of another branch leaves them their time."""
        self._runner.request_cancel(workflow_id, force=event.why != "failed")

    def move(self, before: int, after: int) -> None:
        """Write the relay's position."""
        self._store.run(MovePosition(RELAY, before, after), point="position")

    def park(self, recorded: RecordedEvent) -> None:
        """Keep an event that cannot be carried on here, for another relay."""
        self._parked.keep((recorded.originator_id, recorded.originator_version))

    def unpark(self, recorded: RecordedEvent) -> None:
        """Forget an event that was parked and is carried on now."""
        self._parked.drop((recorded.originator_id, recorded.originator_version))

    def parked(self) -> list[RecordedEvent]:
        """The events that former relays have parked, as far as they can be read."""
        found: list[RecordedEvent] = []
        for workflow_id, version in self._parked.all():
            try:
                found.append(self.event(workflow_id, version))
            except StoreUnavailable:
                raise
            except StoreError as error:
                _log.warning("what was parked of %s cannot be carried on: %s", workflow_id, error)
        return found

    async def issue(self, rows: Sequence[OpenRow]) -> list[str]:
        """Send open commands on their way again: the port `Reissue` of the sweep."""
        unreadable: list[str] = []
        commands: list[Command] = []
        for row in rows:
            try:
                recorded = self.event(row.workflow_id, row.version)
                commands.append(self.command(recorded, self.known.of(row.workflow_id)))
            except StoreUnavailable:
                raise
            except StoreError as error:
                # Counted as issued, so that it is looked at ever more seldom: its workflow stands still anyway.
                _log.warning("%s cannot be issued: %s", row.message_id, error)
                unreadable.append(row.message_id)
        return [*unreadable, *(command.message_id for command in self.sender.hand_over(commands))]
