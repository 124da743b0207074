"""A real inbox in a real store, and a decider that answers as it is told: what the tests of consumers stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from consumers.activities import ActivityRunner, Bounds
from consumers.context import Surroundings
from consumers.inbox import INBOX_SCHEMA
from consumers.limits import LIMITS_SCHEMA
from consumers.redaction import Redactor
from domain.definitions import ActivityType, Definition, Step
from domain.errors import HandrailError, StoreError
from domain.events import Artifact
from domain.ids import message_id
from domain.ports import Command, Decided, Request
from domain.secret import Secret
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import RecordOutcome
from tests.databases import open_store, set_clock

BEGINNING = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
OWNER = "here-1"
LEASE_SECONDS = 30.0


class Loaded:
    """Definitions by name and version."""

    def __init__(self, *definitions: Definition) -> None:
        self.known = {(one.name, one.version): one for one in definitions}

    def find(self, name: str, version: str) -> Definition | None:
        return self.known.get((name, version))


class DatabaseClock:
    """The store's clock, set by hand."""

    def __init__(self) -> None:
        self.at = BEGINNING.timestamp()

    def __call__(self) -> float:
        return self.at


def open_inbox(folder: Path, clock: Callable[[], float]) -> WorkflowStore:
    """A store with an inbox, by this clock."""
    store = open_store(folder / "inbox.db", definitions=Loaded(), schema=(*INBOX_SCHEMA, *LIMITS_SCHEMA))
    set_clock(store, clock)
    return store


def put(
    store: WorkflowStore,
    command: str,
    state: str = "open",
    owner: str | None = None,
    lease_until: float | None = None,
    issue_after: float | None = 0.0,
    expires_at: float = 9e9,
) -> str:
    """Put a row into the inbox; its message id."""
    name = message_id(command, "a", "run", 1)
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO inbox "
            "(message_id, kind, workflow_id, version, state, owner, lease_until, issue_after, expires_at) "
            "VALUES (?, 'run', ?, 3, ?, ?, ?, ?, ?)",
            (name, command, state, owner, lease_until, issue_after, expires_at),
        )
    return name


def rows(store: WorkflowStore) -> dict[str, tuple[str, str | None]]:
    """State and owner of every row, by workflow."""
    found = store.query("SELECT workflow_id, state, owner FROM inbox ORDER BY workflow_id")
    return {row[0]: (row[1], row[2]) for row in found}


@dataclass
class Decisions:
    """A decider that notes what it is asked; `errors` are raised first, one a request; nothing of the `damaged`."""

    requests: list[Request] = field(default_factory=list)
    errors: list[HandrailError] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def decide(self, request: Request) -> Awaitable[Decided]:
        self.requests.append(request)
        self.asked.set()
        answer: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        if self.errors:
            answer.set_exception(self.errors.pop(0))
        elif request.workflow_id in self.damaged:
            answer.set_exception(StoreError(f"workflow {request.workflow_id} cannot be read"))
        else:
            answer.set_result(Decided(request, State(request.workflow_id)))
        return answer

    @property
    def outcomes(self) -> list[RecordOutcome]:
        return [one.trigger for one in self.requests if isinstance(one.trigger, RecordOutcome)]


@dataclass
class Files:
    """An artifact writer in memory."""

    written: dict[str, bytes] = field(default_factory=dict)

    def write(self, workflow_id: str, name: str, data: bytes) -> Artifact:
        self.written[f"{workflow_id}/{name}"] = data
        return Artifact(name=name, digest="d" * 64, size=len(data))


@dataclass
class Vault:
    """Secrets in memory."""

    values: Mapping[str, str] = field(default_factory=dict)

    def open(self, name: str) -> Secret:
        return Secret(name, self.values[name])


class Workshop:
    """A runner with everything that it needs."""

    def __init__(
        self, *activities: ActivityType, bounds: Bounds | None = None, secrets: Mapping[str, str] | None = None
    ) -> None:
        self.definition = Definition(
            "workshop", steps=[Step(f"s{number}", one) for number, one in enumerate(activities)], activities=activities
        )
        self.decisions = Decisions()
        self.files = Files()
        self.redactor = Redactor()
        self.at = BEGINNING
        self.runner = ActivityRunner(
            decider=self.decisions,
            definitions=Loaded(self.definition),
            surroundings=Surroundings(Path("somewhere"), self.files, Vault(secrets or {}), self.redactor),
            clock=lambda: self.at,
            worker=OWNER,
            bounds=bounds or Bounds(give_up_seconds=0.01, cancel_grace_seconds=0.01),
        )

    def command(
        self,
        activity: ActivityType | str,
        workflow_id: str = "wf_001",
        *,
        kind: str = "run",
        attempt: int = 1,
        given: Mapping[str, Any] | None = None,
        expires_in: timedelta = timedelta(hours=1),
    ) -> Command:
        name = activity if isinstance(activity, str) else activity.name
        return Command(
            message_id(workflow_id, name, kind, attempt),
            workflow_id,
            name,
            kind,
            attempt,
            1,
            name,
            "default",
            given or {},
            self.definition.name,
            self.definition.version,
            f"{workflow_id}/{name}/{kind}",
            self.at + expires_in,
            "alice",
        )

    async def run(self, *commands: Command) -> list[RecordOutcome]:
        """Start these and wait until they are over: the outcomes recorded."""
        self.runner.start(commands)
        await self.over(commands)
        return self.decisions.outcomes

    async def over(self, commands: Iterable[Command]) -> None:
        """Wait until none of these is under way."""
        names = {command.message_id for command in commands}
        async with asyncio.timeout(10):
            while tasks := [one.task for name, one in self.runner.running.items() if name in names and one.task]:
                await asyncio.wait(tasks)
