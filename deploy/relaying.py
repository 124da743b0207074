"""What the relay is given: the bridges between the log, the inbox, the attempts and the definitions of one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from consumers.claims import OpenRow
from deploy.forking import begin_fork
from deploy.loading import LoadedDefinitions, check_input
from deploy.scope import Scope
from domain.errors import DefinitionMissing, Refused, StoreError, StoreUnavailable
from domain.events import ChildStarted, ForkTaken, StepScheduled, StoppingBegan
from domain.messages import command_of
from domain.ports import Aside, Command, Notification
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.positions import MovePosition
from domain.triggers import ForkWorkflow, StartWorkflow
from producers.facts import KnownWorkflows, WorkflowFacts
from producers.parked import Failed, Park, Parked, ParkedEvent
from producers.relay import RELAY, NotCarried

_log: Final = logging.getLogger("handrail.deploy")


class Claimant(Protocol):
    """Which commands the relay need not send: the inbox knows."""

    async def __call__(self, message_ids: Sequence[str], /) -> Collection[str]:
        """Those of the commands that are to be sent."""
        ...


class RelaySurroundings:
    """The port `Outside` of the relay, and the way from rows of the inbox to the commands they stand for.

    `wanted` says which commands are to be sent, `stopping` hears of workflows that begin to stop, `scope` is what this
    process drives (None: everything). `aside` runs what touches the store.
    """

    def __init__(
        self,
        *,
        store: WorkflowStore,
        definitions: LoadedDefinitions,
        wanted: Claimant,
        stopping: Callable[[str, StoppingBegan], None],
        scope: Scope | None = None,
        scope_grew: Callable[[], None] = lambda: None,
        aside: Aside = inline,
    ) -> None:
        """Tie these together."""
        self.known = KnownWorkflows(self.first_event)
        self._store = store
        self._definitions = definitions
        self._wanted = wanted
        self._stopping = stopping
        self._scope = scope
        self._scope_grew = scope_grew
        self._aside = aside
        self._parked = Parked(store)

    # --- reading ----------------------------------------------------------------------------------------------------

    def first_event(self, workflow_id: str) -> RecordedEvent:
        """A workflow's first event, from the store."""
        return self.event(workflow_id, 1)

    def event(self, workflow_id: str, version: int) -> RecordedEvent:
        """One event of a workflow, from the store."""
        found = self._store.recorder.select_events(workflow_id, gt=version - 1, lte=version)
        if not found:
            raise StoreError(f"workflow {workflow_id} event {version} is missing; restore the store from a backup")
        return self._store.mapper.to_domain_event(found[0])

    async def learn(self, workflow_ids: Collection[str]) -> Mapping[str, str]:
        """Have the facts of these workflows known; those of which they cannot be, and why."""
        return await self._aside(lambda: self._learn(workflow_ids))

    def _learn(self, workflow_ids: Collection[str]) -> dict[str, str]:
        unreadable: dict[str, str] = {}
        for workflow_id in workflow_ids:
            try:
                self.known.note(self.first_event(workflow_id))
            except StoreUnavailable:
                raise
            except StoreError as error:
                unreadable[workflow_id] = f"its beginning cannot be read: {error}"
        return unreadable

    def drives(self, notification: Notification) -> bool:
        """Whether this process drives the workflow of an event."""
        recorded, scope = notification.event, self._scope
        if scope is None or scope.ids is None or recorded.originator_id in scope.ids:
            return True
        driven = scope.drives(recorded.originator_id, notification.position, recorded.originator_version)
        if driven:
            self._scope_grew()
        return driven

    # --- commands ---------------------------------------------------------------------------------------------------

    async def wanted(self, message_ids: Sequence[str]) -> Collection[str]:
        """Those of the commands that are to be sent."""
        return await self._wanted(message_ids)

    def command(self, recorded: RecordedEvent, facts: WorkflowFacts) -> Command:
        """The command that a StepScheduled event asks for."""
        if not isinstance(recorded.event, StepScheduled):
            raise TypeError(type(recorded.event).__name__)
        return command_of(recorded.event, recorded.originator_id, facts, scheduled_at=recorded.timestamp)

    async def commands_of(self, rows: Sequence[OpenRow]) -> tuple[list[Command], list[str]]:
        """The commands that these rows stand for, and the message ids of those that cannot be read."""
        return await self._aside(lambda: self._commands_of(rows))

    def _commands_of(self, rows: Sequence[OpenRow]) -> tuple[list[Command], list[str]]:
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
        return commands, unreadable

    # --- other workflows --------------------------------------------------------------------------------------------

    async def child(self, event: ChildStarted, parent: str, facts: WorkflowFacts) -> StartWorkflow | None:
        """The trigger that starts a child, None where it has begun; raises Refused where it does not fit.

        Whoever has the parent's definition knows what there is of its children's; who has not, cannot tell.
        """
        if self._definitions.find(facts.definition, facts.definition_version) is None:
            raise DefinitionMissing(
                f"child workflow {event.child_workflow} waits for a process that has definition {facts.definition!r}",
                definition=facts.definition,
                version=facts.definition_version,
            )
        try:
            definition = self._definitions.named(event.definition)
            given = check_input(definition, event.input)
        except Refused:
            if await self._aside(lambda: self._store.exists(event.child_workflow)):
                return None  # told again: whoever began it had its definition
            raise
        return StartWorkflow(
            goal=event.goal,
            definition=definition.name,
            definition_version=definition.version,
            input=given,
            requested_by=facts.requested_by,
            parent_workflow=parent,
            parent_step=event.step,
            doubted=event.doubted,
        )

    async def fork(self, event: ForkTaken, source: str) -> ForkWorkflow | None:
        """The trigger that begins a fork; None where it has begun, or can never begin."""
        return await self._aside(lambda: begin_fork(self._definitions, self._store, source, event))

    def stopping(self, workflow_id: str, event: StoppingBegan) -> None:
        """A workflow began to stop: tell its attempts."""
        self._stopping(workflow_id, event)

    # --- position and what is parked --------------------------------------------------------------------------------

    async def move(self, before: int, after: int, parked: Sequence[NotCarried]) -> None:
        """Write the relay's position, with what was parked on the way."""
        along = (Park(_failed(parked)), MovePosition(RELAY, before, after))
        await self._aside(lambda: self._store.run(*along, point="position"))

    async def parked(self, limit: int) -> list[RecordedEvent]:
        """The parked events that are to be tried again now, as far as they can be read."""
        return await self._aside(lambda: self._read_parked(limit))

    def _read_parked(self, limit: int) -> list[RecordedEvent]:
        found: list[RecordedEvent] = []
        unreadable: list[Failed] = []
        while True:
            for row in self._parked.due(limit):
                try:
                    found.append(self.event(row.workflow_id, row.version))
                except StoreUnavailable:
                    raise
                except StoreError as error:
                    _log.warning("what was parked of %s cannot be carried on: %s", row.workflow_id, error)
                    unreadable.append((row.workflow_id, row.version, str(error)))
            if not unreadable:
                return found
            self._parked.settle((), unreadable)
            if found:
                return found
            unreadable = []

    async def settle(self, carried: Sequence[RecordedEvent], failed: Sequence[NotCarried]) -> None:
        """Forget parked events that were carried on now, and put off the others."""
        done: list[ParkedEvent] = [(one.originator_id, one.originator_version) for one in carried]
        await self._aside(lambda: self._parked.settle(done, _failed(failed)))

    async def seconds_to_next(self) -> float | None:
        """How long until the next parked event is to be tried again."""
        return await self._aside(self._parked.seconds_to_next)

    async def try_all(self) -> None:
        """Have everything that is parked tried again at once: this process may have what others lack."""
        if await self.seconds_to_next():
            await self._aside(self._parked.make_due)


def _failed(parked: Sequence[NotCarried]) -> list[Failed]:
    return [(recorded.originator_id, recorded.originator_version, reason) for recorded, reason in parked]
