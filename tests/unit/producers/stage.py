"""A store with the producers' tables, and a decider that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from domain.chain import GENESIS
from domain.errors import HandrailError
from domain.events import Event
from domain.ports import Companion, Decided, Notification, Request
from domain.recorded import RecordedEvent, record, stamp
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import Trigger, Wake
from tests import databases

BEGINNING = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


class NoDefinitions:
    """No definition is loaded."""

    def find(self, name: str, version: str) -> None:
        return None


def open_store(folder: Path, schema: Sequence[str]) -> WorkflowStore:
    return databases.open_store(folder / "producers.db", definitions=NoDefinitions(), schema=schema)


def recorded(event: Event, workflow_id: str = "wf_1", version: int = 1) -> RecordedEvent:
    """An event with its header."""
    return record(event, stamp(workflow_id, BEGINNING, "test", "test", version), version, GENESIS)


def notification(position: int, event: Event, workflow_id: str = "wf_1", version: int = 1) -> Notification:
    return Notification(position, recorded(event, workflow_id, version))


def decided(
    state: State,
    *events: Event,
    trigger: Trigger | None = None,
    cause: str = "test",
    armed_before: datetime | None = None,
) -> Decided:
    """A decision, as a companion sees it."""
    request = Request(state.workflow_id, trigger or Wake(), BEGINNING, cause, "test")
    return Decided(
        request,
        state,
        tuple(recorded(event, state.workflow_id, number) for number, event in enumerate(events, 1)),
        armed_before=armed_before,
    )


def save(store: WorkflowStore, companion: Companion, *turn: Decided) -> None:
    """What the store does with a turn, for one companion."""
    along = companion.along(turn)
    with store.transaction() as cursor:
        for each in along:
            each.run(cursor)
    companion.committed(turn)


@dataclass
class Decisions:
    """Notes what is asked; `answer` makes the state after it, `errors` are raised first."""

    answer: Callable[[Request], Decided] = lambda request: Decided(request, State(request.workflow_id))
    requests: list[Request] = field(default_factory=list)
    errors: list[HandrailError | None] = field(default_factory=list)

    def decide(self, request: Request) -> Awaitable[Decided]:
        self.requests.append(request)
        future: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(self.answer(request))
        return future

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Which workflows were asked, and what."""
        return [(request.workflow_id, type(request.trigger).__name__) for request in self.requests]
