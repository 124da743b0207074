"""What the rooms of the house need of one another, as small protocols; `deploy` hands the pieces round.

Requests, what was decided on them, notifications and commands are made for every step and never changed once made. They
are not `frozen`, because that would triple what making them costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from domain.definitions import Definition
from domain.errors import HandrailError
from domain.limits import Limits
from domain.recorded import RecordedEvent
from domain.state import State
from domain.triggers import Trigger

Result = TypeVar("Result")


class Cursor(Protocol):
    """A cursor within the events' own transaction. SQL is written with `?` for parameters, whatever the database."""

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        ...

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        ...

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SELECT (or … RETURNING); its rows."""
        ...

    def now(self) -> float:
        """The database's clock: seconds since 1970 in UTC. Leases run by it."""
        ...


class Queries(Protocol):
    """Answers single SELECTs: a cursor within its transaction, the store without any."""

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT."""
        ...


class Transactions(Protocol):
    """The store as the other rooms use it beside decisions: transactions of their own tables, and reading."""

    def transaction(self, point: str = "commit") -> AbstractContextManager[Cursor]:
        """A transaction for writing; `point` names the fault points around its commit."""
        ...

    def change(
        self, statement: str, parameters: Callable[[float], Sequence[Any]], point: str = "commit"
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement that writes, a transaction by itself: on a server one round trip instead of three.

        `parameters` are made of the database's clock as it was seen lately: it may be a moment early.
        """
        ...

    def reading(self) -> AbstractContextManager[Cursor]:
        """A consistent view for reading."""
        ...

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT, which needs no view of its own: on a server it is one statement instead of three."""
        ...


class Aside(Protocol):
    """Runs blocking work of the store without holding up the event loop, and gives its result.

    Inline for SQLite, whose calls are shorter than handing them to a thread; a thread where the database is a server.
    """

    async def __call__(self, work: Callable[[], Result], /) -> Result:
        """The result of the work, or what it raised."""
        ...


class Along(Protocol):
    """Statements that run in the events' own transaction. Writes come before reads (SQLite's BEGIN is deferred)."""

    def run(self, cursor: Cursor) -> None:
        """Run the statements; raise FenceMissed to roll the whole transaction back."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """The inbox row of a goal, approval, signal, control or outcome message, inserted as `done` with the decision."""

    message_id: str
    kind: str
    digest: str


@dataclass(slots=True)
class Request:
    """One trigger for one workflow.

    `completes` is the message id of the command whose claim the decision completes (the fence: the transaction fails
    unless this owner's claim is live, or the command was handed over to a consumer in another language). `lapses` is
    one whose `claimed` or `handed_over` row becomes `lapsed` with the decision; with `unless_renewed` only if its lease
    has still ended by then. `receipt` is inserted as a `done` row. `at` is when the trigger came up: the decision's
    time. `under` are the limits over all processes that the attempt ran under: its outcome is counted there. `sent_at`
    is when a message says that it was sent.
    """

    workflow_id: str
    trigger: Trigger
    at: datetime
    cause: str
    actor: str
    completes: str | None = None
    lapses: str | None = None
    receipt: Receipt | None = None
    under: Limits | None = None
    unless_renewed: bool = False
    sent_at: datetime | None = None


@dataclass(slots=True)
class Decided:
    """What became of a request: the events it recorded, or why it was ignored; the state after it."""

    request: Request
    state: State
    events: tuple[RecordedEvent, ...] = ()
    ignored: str | None = None
    error: HandrailError | None = None
    armed_before: datetime | None = None


class Companion(Protocol):
    """What must be true together with a turn's events: inbox rows, timers."""

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The statements for a turn, all of its decisions at once."""
        ...

    def committed(self, turn: Sequence[Decided]) -> None:
        """The turn is in the store: hand on what may start now."""
        ...


class Decider(Protocol):
    """Loads, decides and saves, in turns; the answer comes when the decision is in the store."""

    def decide(self, request: Request) -> Awaitable[Decided]:
        """Raises the request's own HandrailError (Refused, WorkflowUnknown …) or StoreUnavailable."""
        ...


class OpenCommands(Protocol):
    """Which of the live commands nobody has claimed yet: read before deciding, held by the revoking statement."""

    def open_among(self, cursor: Cursor, message_ids: Sequence[str]) -> frozenset[str]:
        """Those of the message ids whose inbox row is `open`."""
        ...


class Definitions(Protocol):
    """The definitions that are loaded."""

    def find(self, name: str, version: str) -> Definition | None:
        """That version of that definition, or None where it is not loaded."""
        ...


@dataclass(slots=True)
class Notification:
    """One event of the log with its position."""

    position: int
    event: RecordedEvent


@dataclass(slots=True)
class Command:
    """A step command on its way to a consumer: the wire's body, whatever the transport."""

    message_id: str
    workflow_id: str
    step: str
    kind: str
    attempt: int
    generation: int
    activity: str
    queue: str
    input: Mapping[str, Any]
    definition: str
    definition_version: str
    idempotency_key: str
    expires_at: datetime
    requested_by: str = ""
    claimed: bool = field(default=False)
    """Whether the scheduling transaction already claimed it for the process that decided."""
    scheduled_at: datetime | None = None
    """When it was scheduled, as far as whoever carried it said so: for measuring, nothing is decided by it."""


@dataclass(slots=True)
class NotSent:
    """A message that the transport does not have, or may not have, and why."""

    message_id: str
    reason: str


class CommandSender(Protocol):
    """Carries step commands to their queues: the relay's way out."""

    async def send(self, commands: Sequence[Command]) -> Sequence[NotSent]:
        """Return when every command is safely with the transport, except those that it would not take.

        Raises BrokerError where nothing can be sent at all now; some may have been.
        """
        ...


Clock = Callable[[], datetime]
"""The present instant, in UTC; handed in, so that tests advance it."""


class Waiting(Protocol):
    """Hears what keeps somebody from his work, so that whoever asks whether all is well is told."""

    def __call__(self, doing: str, trouble: HandrailError | None, /) -> None:
        """What cannot be done just now, in words, and why; None as soon as it could be done."""
        ...


def unheard(_doing: str, _trouble: HandrailError | None, /) -> None:
    """The port `Waiting` where nobody asks."""


class FaultPoint(Protocol):
    """Called at every commit, publish, acknowledge and effect; inert unless a test armed the named point."""

    def __call__(self, name: str) -> None:
        """Die here, if so armed."""
        ...
