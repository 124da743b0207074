"""A small stage for the store's contracts: one process with the store open, an inbox, and the attempts it would run."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from consumers.inbox import INBOX_SCHEMA, InboxCompanion
from domain.definitions import Definition, Step, activity
from domain.ports import Along, Command, Companion, Cursor, Decided, OpenCommands, Receipt, Request
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import LapseAttempt, RecordOutcome, StartWorkflow, Trigger

SCHEMA = (*INBOX_SCHEMA, "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT)")
BEGINNING = datetime(2024, 5, 1, 8, tzinfo=UTC)


class Number(BaseModel):
    """The input and output of the stage's activities."""

    value: int = 0


@activity(effect="pure")
async def count(input: Number) -> Number:
    """Never run here: the stage says how attempts ended."""
    return Number(value=input.value + 1)


def chain(name: str, length: int) -> Definition:
    return Definition(name, steps=[Step(f"s{number}", count, input={"value": number}) for number in range(length)])


def wide(name: str, width: int) -> Definition:
    steps = [Step(f"s{number}", count, input={"value": number}, after=()) for number in range(width)]
    return Definition(name, steps=steps, parallel=width)


def goal(text: str = "count", *, definition: str = "chain", deadline_at: datetime | None = None) -> StartWorkflow:
    return StartWorkflow(
        goal=text, definition=definition, definition_version="1", requested_by="ann", deadline_at=deadline_at
    )


class Loaded:
    """The definitions that the stage knows."""

    def __init__(self) -> None:
        known = (chain("chain", 3), wide("wide", 4))
        self.known = {definition.name: definition for definition in known}

    def find(self, name: str, version: str) -> Definition | None:
        if name == "broken":
            raise RuntimeError("the registry fell over")
        return self.known.get(name)


class Always:
    """There is room for every attempt."""

    def take_for(self, state: State, activity: str) -> bool:
        return True


class Collected:
    """Stands where attempts are run: keeps the commands that were to begin."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def rooms(self) -> Always:
        return Always()

    def start(self, commands: Sequence[Command]) -> None:
        self.commands.extend(commands)

    def taken(self) -> list[Command]:
        commands, self.commands = self.commands, []
        return commands


class Note:
    """A statement to run along."""

    def __init__(self, name: str, text: object) -> None:
        self.row = (name, text)

    def run(self, cursor: Cursor) -> None:
        cursor.execute("INSERT INTO notes (name, text) VALUES (?, ?)", self.row)


class Meddler:
    """A companion that calls back once, when the turn is decided and not yet saved: there others come first."""

    def __init__(self) -> None:
        self.then: Callable[[], object] | None = None
        self.brings: Callable[[Sequence[Decided]], Sequence[Along]] = lambda _: ()
        self.told: list[Decided] = []

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        then, self.then = self.then, None
        if then is not None:
            then()
        return self.brings(turn)

    def committed(self, turn: Sequence[Decided]) -> None:
        self.told.extend(turn)


OpenStore = Callable[..., WorkflowStore]


class Stage:
    """One process. `claims` says whether it claims commands as it schedules them, or leaves them open."""

    def __init__(self, opened: OpenStore, owner: str = "one", *, claims: bool = True, **options: Any) -> None:
        self.inbox = InboxCompanion(owner, lease_seconds=30)
        self.begun = Collected()
        if claims:
            self.inbox.starter = self.begun
        self.meddler = Meddler()
        companions: tuple[Companion, ...] = (self.inbox, self.meddler)
        commands: OpenCommands = self.inbox
        self.store = opened(
            definitions=Loaded(), schema=SCHEMA, companions=companions, open_commands=commands, **options
        )
        self.now = BEGINNING

    def tick(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    # --- requests

    def ask(self, workflow_id: str, trigger: Trigger, cause: str = "test", **more: Any) -> Request:
        return Request(workflow_id, trigger, self.tick(), cause, "ann", **more)

    def start(self, workflow_id: str, definition: str = "chain") -> Request:
        return self.ask(workflow_id, goal(definition=definition), f"goal/{workflow_id}")

    def outcome(self, command: Command, *, output: Any = None, completes: bool = True) -> Request:
        trigger = RecordOutcome(
            step=command.step,
            kind="run",
            attempt=command.attempt,
            status="ok",
            output={"value": 1} if output is None else output,
            worker="w",
        )
        return self.ask(
            command.workflow_id,
            trigger,
            command.message_id,
            completes=command.message_id if completes else None,
        )

    def lapse(self, command: Command) -> Request:
        trigger = LapseAttempt(step=command.step, kind="run", attempt=command.attempt, owner="one")
        return self.ask(command.workflow_id, trigger, f"lapse/{command.message_id}", lapses=command.message_id)

    def received(self, message: str) -> Receipt:
        return Receipt(message, "control", "0" * 64)

    # --- acts

    def decide(self, *requests: Request) -> list[Decided]:
        return self.store.decide_turn(requests)

    def done(self, *requests: Request) -> list[Decided]:
        turn = self.decide(*requests)
        for decided in turn:
            if decided.error is not None:
                raise decided.error
        return turn

    def begin(self, *workflow_ids: str, definition: str = "chain") -> list[Command]:
        """Start workflows; their first commands."""
        self.begun.taken()
        self.done(*[self.start(workflow_id, definition) for workflow_id in workflow_ids])
        return self.begun.taken()

    def go_on(self, commands: Sequence[Command]) -> list[Command]:
        """Have attempts end well; the next commands."""
        self.done(*[self.outcome(command) for command in commands])
        return self.begun.taken()

    def finish(self, commands: Sequence[Command]) -> None:
        """Have everything end well, to the end."""
        while commands:
            commands = self.go_on(commands)

    # --- what is in the store

    def names(self, workflow_id: str) -> list[str]:
        return [recorded.name for recorded in self.checked(workflow_id)]

    def checked(self, workflow_id: str) -> list[RecordedEvent]:
        """A workflow's events, held against their chain."""
        return self.store.read(workflow_id, verified=True)

    def rows(self, table: str) -> dict[str, Any]:
        """First and second column of a table."""
        return {row[0]: row[1] for row in self.store.query(f"SELECT * FROM {table}")}

    def row_states(self) -> dict[str, str]:
        """Every row of the inbox, and its state."""
        return dict(self.store.query("SELECT message_id, state FROM inbox"))
