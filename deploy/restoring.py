"""Going on from a backup that was put back: a new epoch, and every open workflow told of it.

The first transaction raises the epoch and revokes every command, so that nothing of before is run from then on; then
workflow after workflow decides. Killed anywhere, it goes on where it was: the epoch is begun once, and a workflow that
has been told ignores being told again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from consumers.inbox import InboxCompanion
from consumers.limits import LimitsCompanion
from consumers.restoring import RevokeAll
from domain import events as e
from domain.errors import EventCorrupt, HandrailError
from domain.ports import Clock, Decided, Request
from domain.progress import MISSING
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.application import WorkflowStore
from domain.store.epochs import BeginEpoch, EndRestore, Epoch
from domain.triggers import Given, RestoreWorkflow
from producers.reminders import RemindersCompanion
from producers.signals import SignalsCompanion
from producers.timers import TimersCompanion

PAGE: Final = 200
"""Workflows told in one transaction."""

Progress = Callable[[int], None]
"""Hears after every page how many workflows were looked at."""


@dataclass
class Restored:
    """What a restore has done, or would do: of `looked_at` workflows `open` are open, and have been told.

    `unknown` counts the steps that wait for a probe or a person before they may run, `commands` those issued again;
    `undefined` the workflows whose definition is not loaded here: they go on, and ask, where it is.
    `failed` are the workflows that could not be told, and why; `damaged` those among them that nobody can go on with.
    """

    epoch: int
    looked_at: int = 0
    open: int = 0
    unknown: int = 0
    commands: int = 0
    undefined: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    damaged: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing can go on that has not been told."""
        return len(self.failed) == self.damaged

    def count(self, state: State, events: tuple[RecordedEvent, ...]) -> None:
        """Count what one workflow has decided."""
        if not events:
            return
        self.open += 1
        self.undefined += MISSING in state.waits
        asked = {one.event.step for one in events if isinstance(one.event, e.OutcomeUnknown)}
        revoked = {name for one in events for name in getattr(one.event, "revoked", ())}
        self.unknown += len(asked)
        self.commands += sum(
            isinstance(one.event, e.StepScheduled) and one.event.message_id not in revoked for one in events
        )


class Restoring:
    """A restore of one store, opened for `restoring` and by nobody else."""

    def __init__(self, store: WorkflowStore, clock: Clock, *, by: str, reason: str, shared: bool) -> None:
        """Put the companions beside the store whose rows the workflows' decisions need; `shared`: it is no home's."""
        self._store = store
        self._clock = clock
        self._by = by
        self._reason = reason
        owner = f"restore-{socket.gethostname()[:32]}-{os.getpid()}"
        inbox = InboxCompanion(owner, lease_seconds=1.0)  # nobody runs anything here: every command is written open
        deciding = store.deciding
        deciding.companions += [LimitsCompanion(), inbox, TimersCompanion(), SignalsCompanion()]
        if shared:
            deciding.companions.append(RemindersCompanion())
        deciding.open_commands = inbox

    def restore(self, progress: Progress, *, doubt_seconds: float) -> Restored:
        """Begin the epoch, or go on with one that was begun, and tell every workflow.

        Raises StoreUnavailable: then it is to be run again.
        """
        begun = BeginEpoch(RevokeAll(), doubt_seconds=doubt_seconds)
        self._store.run(begun)
        self._store.epoch = begun.epoch
        done = Restored(begun.epoch.number)
        for page in self._pages():
            for decided in self._store.decide_turn([self._request(one, begun.epoch) for one in page]):
                _take(done, decided)
            done.looked_at += len(page)
            progress(done.looked_at)
        if done.finished:
            self._store.run(EndRestore())
        return done

    def rehearse(self, progress: Progress) -> Restored:
        """What a restore would do, by deciding in memory; writes nothing."""
        epoch = Epoch(self._store.epoch.number + 1)
        done = Restored(epoch.number)
        for page in self._pages():
            for workflow_id in page:
                self._rehearse(done, self._request(workflow_id, epoch))
            done.looked_at += len(page)
            progress(done.looked_at)
        return done

    def _rehearse(self, done: Restored, request: Request) -> None:
        try:
            workflow = self._store.shelf.fold(request.workflow_id)
            if workflow is None:
                return
            state = workflow.state
            definition = self._store.deciding.definitions.find(state.definition, state.definition_version)
            given = Given(request.trigger, request.at, request.cause, request.actor)
            events = workflow.handle(given, definition).events
            done.count(workflow.state, events)
        except HandrailError as error:
            _fail(done, request.workflow_id, error)

    def _pages(self) -> Iterator[list[str]]:
        after = ""
        while page := self._store.workflow_ids(after=after, limit=PAGE):
            after = page[-1]
            yield page

    def _request(self, workflow_id: str, epoch: Epoch) -> Request:
        trigger = RestoreWorkflow(epoch=epoch.number, by=self._by, reason=self._reason)
        return Request(workflow_id, trigger, self._clock(), f"restore/{epoch.number}", self._by)


def _take(done: Restored, decided: Decided) -> None:
    if decided.error is None:
        done.count(decided.state, decided.events)
    else:
        _fail(done, decided.request.workflow_id, decided.error)


def _fail(done: Restored, workflow_id: str, error: HandrailError) -> None:
    done.failed[workflow_id] = str(error)
    done.damaged += isinstance(error, EventCorrupt)
