"""Step commands from the broker: claimed and run, and each delivery settled in time, whatever it holds."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.activities import Bounds
from consumers.burial import Fault
from consumers.claims import Claims, Taken
from consumers.commands import HELD_SECONDS, WAITING_SECONDS, CommandIntake, read
from consumers.inbox import command_digest
from consumers.waiting import WaitingRoom
from domain.definitions import ActivityType, activity
from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.limits import Limits, Rate
from domain.messages import STEP_RUN, StepCommand
from domain.ports import Command
from domain.store.application import WorkflowStore
from domain.topology import activity_queue
from domain.transport import Delivery
from tests.unit.consumers.stage import BEGINNING, LEASE_SECONDS, OWNER, DatabaseClock, Workshop, open_inbox, rows

Given = dict[str, Any]
QUEUE = activity_queue("default")


@activity(effect="once", pivot=True, name="a")
async def quick(given: Given) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, DatabaseClock())
    yield opened
    opened.close()


def schedule(store: WorkflowStore, *commands: Command) -> None:
    """Write rows as the transaction that schedules does."""
    with store.transaction() as cursor:
        for command in commands:
            cursor.execute(
                "INSERT INTO inbox (message_id, kind, workflow_id, version, digest, state, issue_after, expires_at) "
                "VALUES (?, 'run', ?, 3, ?, 'open', 9e9, 9e9)",
                (command.message_id, command.workflow_id, command_digest(command)),
            )


@dataclass
class Post:
    """What became of the deliveries made."""

    acknowledged: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)

    def delivery(self, command: Command, *, queue: str = QUEUE, **changes: Any) -> Delivery:
        made = Delivery(
            queue,
            StepCommand.of(command).model_dump_json().encode(),
            message_id=command.message_id,
            type=STEP_RUN,
            content_type="application/json",
        )
        for name, value in changes.items():
            setattr(made, name, value)

        def settle(acknowledged: bool) -> None:
            (self.acknowledged if acknowledged else self.rejected).append(made.message_id)

        made.settle = settle
        made.give_back = lambda: self.given_back.append(made.message_id)
        return made


class Desk:
    """An intake with everything behind it."""

    def __init__(self, store: WorkflowStore, *activities: ActivityType, bounds: Bounds | None = None) -> None:
        self.store = store
        self.shop = Workshop(*activities, bounds=bounds)
        self.post = Post()
        self.claims = Claims(store, OWNER, lease_seconds=LEASE_SECONDS)
        self.room = WaitingRoom(self.claims, self.shop.runner, digests=True)
        self.buried: list[Fault] = []
        self.broker_is_down = False
        self.time = 1_000.0
        self.intake = CommandIntake(self.room, self.shop.runner.activities, bury=self.bury, time=lambda: self.time)
        self.switched: list[tuple[str, str]] = []
        self.intake.pause = lambda queue: self.switched.append(("pause", queue))
        self.intake.resume = lambda queue: self.switched.append(("resume", queue))

    async def bury(self, faults: Sequence[Fault]) -> None:
        if self.broker_is_down:
            raise BrokerUnavailable("gone")
        self.buried += faults
        for fault in faults:
            fault.delivery.acknowledge()

    def command(self, workflow_id: str = "wf_1", name: str = "a") -> Command:
        return self.shop.command(name, workflow_id)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - whatever the test waits for
                await asyncio.sleep(0)

    @property
    def outcomes(self) -> list[str]:
        return [one.status for one in self.shop.decisions.outcomes]


@pytest.fixture
async def gate() -> AsyncIterator[asyncio.Event]:
    opened = asyncio.Event()
    yield opened
    opened.set()


def waits_for(gate: asyncio.Event, **options: Any) -> ActivityType:
    @activity(effect="pure", name="a", **options)
    async def waits(given: Given) -> None:
        await gate.wait()

    return waits


# --- the way of one command -----------------------------------------------------------------------------------------


async def test_a_short_one_is_acknowledged_with_its_outcome(store: WorkflowStore, gate: asyncio.Event) -> None:
    desk = Desk(store, waits_for(gate))
    command = desk.command()
    schedule(store, command)
    await desk.intake([desk.post.delivery(command)])
    assert rows(store) == {"wf_1": ("claimed", OWNER)}
    assert (desk.post.acknowledged, desk.outcomes, desk.intake.held) == ([], [], 1)
    gate.set()
    await desk.shop.over([command])
    assert (desk.post.acknowledged, desk.outcomes, desk.intake.held) == ([command.message_id], ["ok"], 0)


async def test_a_long_one_is_acknowledged_when_it_is_claimed(store: WorkflowStore, gate: asyncio.Event) -> None:
    desk = Desk(store, waits_for(gate, start_to_finish=timedelta(minutes=6)))
    command = desk.command()
    schedule(store, command)
    await desk.intake([desk.post.delivery(command)])
    assert rows(store) == {"wf_1": ("claimed", OWNER)}
    assert (desk.post.acknowledged, desk.outcomes, desk.intake.held) == ([command.message_id], [], 0)
    await desk.intake([desk.post.delivery(command)])
    assert desk.post.acknowledged == [command.message_id] * 2
    gate.set()
    await desk.shop.over([command])
    assert desk.outcomes == ["ok"]


async def test_all_at_hand_are_claimed_with_one_statement(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store, quick)
    commands = [desk.command(f"wf_{number}") for number in range(5)]
    schedule(store, *commands)
    turns: list[int] = []
    take = desk.claims.take

    def counted(names: Collection[str], **more: Any) -> Taken:
        turns.append(len(names))
        return take(names, **more)

    monkeypatch.setattr(desk.claims, "take", counted)
    await desk.intake([desk.post.delivery(command) for command in commands])
    await desk.shop.over(commands)
    assert turns == [5]
    assert sorted(desk.post.acknowledged) == sorted(command.message_id for command in commands)


async def test_duplicates_run_once_and_are_settled_with_the_first(store: WorkflowStore, gate: asyncio.Event) -> None:
    desk = Desk(store, waits_for(gate))
    command = desk.command()
    schedule(store, command)
    first = desk.post.delivery(command)
    await desk.intake([first, desk.post.delivery(command)])
    await desk.intake([desk.post.delivery(command), first])
    assert desk.post.acknowledged == []
    gate.set()
    await desk.shop.over([command])
    assert desk.post.acknowledged == [command.message_id] * 3
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'done'")
    await desk.intake([desk.post.delivery(command)])
    assert desk.post.acknowledged == [command.message_id] * 4
    assert desk.outcomes == ["ok"]


@pytest.mark.parametrize("state", ["revoked", "done", "lapsed", "claimed", None])
async def test_what_means_nothing_any_more_is_acknowledged_and_never_run(
    store: WorkflowStore, state: str | None
) -> None:
    desk = Desk(store, quick)
    command = desk.command()
    if state is not None:
        schedule(store, command)
        with store.transaction() as cursor:
            cursor.execute("UPDATE inbox SET state = ?, owner = 'there-2'", (state,))
    await desk.intake([desk.post.delivery(command)])
    assert not desk.shop.runner.running
    assert desk.post.acknowledged == [command.message_id]
    assert desk.buried == []


async def test_code_that_does_not_end_does_not_keep_its_delivery(store: WorkflowStore, gate: asyncio.Event) -> None:
    @activity(effect="pure", name="a", start_to_finish=timedelta(milliseconds=10))
    async def stubborn(given: Given) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    desk = Desk(store, stubborn)
    command = desk.command()
    schedule(store, command)
    await desk.intake([desk.post.delivery(command)])
    await desk.until(lambda: desk.post.acknowledged)
    assert desk.outcomes == ["failed"]
    assert command.message_id in desk.shop.runner.running


# --- what cannot be run ---------------------------------------------------------------------------------------------


def broken(desk: Desk, name: str) -> Delivery:
    command = desk.command()
    body = StepCommand.of(command).model_dump_json()
    changes: dict[str, dict[str, Any]] = {
        "no JSON": {"body": b"{"},
        "no UTF-8": {"body": b'{"a": "\xff"}'},
        "no object": {"body": b"[1]"},
        "no fields": {"body": b"{}"},
        "no type": {"type": ""},
        "another type": {"type": "handrail.goal.start.v1"},
        "a newer type": {"type": "handrail.step.run.v9"},
        "no message id": {"message_id": ""},
        "NUL in its id": {"message_id": "wf_1/a/run/\x00"},
        "another id": {"message_id": "wf_2/a/run/1"},
        "an id of 300 characters": {"message_id": "w" * 300},
        "an id of another workflow": {"body": body.replace('"workflow_id":"wf_1"', '"workflow_id":"wf_2"').encode()},
        "NUL in its workflow": {"body": body.replace('"workflow_id":"wf_1"', '"workflow_id":"\\u0000"').encode()},
        "too large": {"body": body.replace('"input":{}', '"input":{"x":"' + "x" * 600_000 + '"}').encode()},
        "no instant": {"body": body.replace('Z"', '"').encode()},
        "the year 1": {"body": body.replace("2030-", "0001-").encode()},
    }
    return desk.post.delivery(command, **changes[name])


CASES = (
    "no JSON", "no UTF-8", "no object", "no fields", "no type", "another type", "a newer type", "no message id",
    "NUL in its id", "another id", "an id of 300 characters", "an id of another workflow", "NUL in its workflow",
    "too large", "no instant", "the year 1",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_what_cannot_be_read_goes_to_the_dead_queue_and_the_others_run(store: WorkflowStore, case: str) -> None:
    desk = Desk(store, quick)
    good = desk.command("wf_9")
    schedule(store, good, desk.command())
    bad = broken(desk, case)
    await desk.intake([bad, desk.post.delivery(good)])
    await desk.shop.over([good])
    (fault,) = desk.buried
    assert fault.delivery is bad
    assert fault.fault not in {"", "conflict"}
    assert len(fault.reason) > 10
    assert desk.outcomes == ["ok"]
    assert rows(store)["wf_1"] == ("open", None)
    assert not desk.intake.held


@pytest.mark.parametrize(
    "change", [{"input": {"amount": 1_000_000}}, {"input": {"text": "\x00"}}, {"requested_by": "mallory"}]
)
async def test_what_differs_from_its_row_goes_to_the_dead_queue_and_its_row_stays_open(
    store: WorkflowStore, change: dict[str, Any]
) -> None:
    desk = Desk(store, quick)
    command = desk.command()
    schedule(store, command)
    await desk.intake([desk.post.delivery(dataclasses.replace(command, **change))])
    await desk.until(lambda: desk.buried)
    assert [fault.fault for fault in desk.buried] == ["conflict"]
    assert rows(store) == {"wf_1": ("open", None)}
    await desk.intake([desk.post.delivery(command)])
    await desk.shop.over([command])
    assert desk.outcomes == ["ok"]


async def test_an_activity_that_this_process_lacks_leaves_the_row_open(store: WorkflowStore) -> None:
    desk = Desk(store, quick)
    command = dataclasses.replace(desk.command(), activity="unheard of")
    schedule(store, command)
    missing: list[str] = []
    desk.room.missing = missing.extend
    await desk.intake([desk.post.delivery(command)])
    assert desk.post.acknowledged == [command.message_id]
    assert missing == [command.message_id]
    assert rows(store) == {"wf_1": ("open", None)}
    assert desk.buried == []


async def test_a_foreign_command_that_comes_here_says_so_in_the_dead_queue(store: WorkflowStore) -> None:
    @activity(effect="pure", name="a", queue="node", foreign=True)
    async def elsewhere(given: Given) -> None: ...

    desk = Desk(store, elsewhere)
    command = desk.command()
    schedule(store, command)
    await desk.intake([desk.post.delivery(command)])
    await desk.until(lambda: desk.buried)
    assert desk.buried[0].fault == "activity_unknown"
    assert "foreign" in desk.buried[0].reason


async def test_what_could_not_be_buried_is_buried_when_the_broker_is_back(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.commands._BURY_AGAIN_SECONDS", 0.001)
    desk = Desk(store, quick)
    command = desk.command()
    schedule(store, command)
    desk.broker_is_down = True
    await desk.intake([desk.post.delivery(dataclasses.replace(command, input={"x": 2}))])
    with pytest.raises(BrokerUnavailable):
        await desk.intake([broken(desk, "no JSON")])
    assert desk.post.acknowledged == []
    desk.broker_is_down = False
    await desk.until(lambda: desk.buried)
    assert desk.post.acknowledged == [command.message_id]


# --- trouble, room and time -----------------------------------------------------------------------------------------


async def test_while_the_store_is_away_deliveries_are_kept_and_tried_again(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store, quick)
    command = desk.command()
    schedule(store, command)
    delivery = desk.post.delivery(command)

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(desk.claims, "take", away)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await desk.intake([delivery])
    assert (desk.post.acknowledged, desk.buried) == ([], [])
    # The transport let it go meanwhile, and the broker delivers it again.
    await desk.intake([desk.post.delivery(command)])
    await desk.shop.over([command])
    assert desk.outcomes == ["ok"]
    assert desk.post.acknowledged == [command.message_id] * 2


async def test_the_queue_of_long_ones_is_paused_while_there_is_no_room(
    store: WorkflowStore, gate: asyncio.Event
) -> None:
    desk = Desk(store, waits_for(gate, start_to_finish=timedelta(hours=24)), bounds=Bounds(attempts=2))
    desk.intake.long_queues = frozenset({QUEUE})
    told = desk.post.acknowledged
    commands = [desk.command(f"wf_{number}") for number in range(3)]
    schedule(store, *commands)
    await desk.intake([desk.post.delivery(commands[0])])
    assert desk.switched == []
    desk.intake.pause = lambda queue: desk.switched.append((f"pause after {len(told)}", queue))
    await desk.intake([desk.post.delivery(commands[1])])
    # Paused before the acknowledgement that would let the next one in.
    assert desk.switched == [("pause after 1", QUEUE)]
    await desk.intake([desk.post.delivery(commands[2])])
    assert rows(store)["wf_2"] == ("open", None)
    running = asyncio.create_task(desk.intake.run())
    gate.set()
    await desk.until(lambda: len(desk.outcomes) == 3)
    await desk.until(lambda: len(desk.switched) == 2)
    assert desk.switched[1:] == [("resume", QUEUE)]
    assert len(desk.post.acknowledged) == 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_nothing_waits_for_room_too_long(store: WorkflowStore, gate: asyncio.Event) -> None:
    desk = Desk(store, waits_for(gate, concurrency=1))
    runs, waits, young = (desk.command(f"wf_{number}") for number in range(3))
    schedule(store, runs, waits, young)
    await desk.intake([desk.post.delivery(runs), desk.post.delivery(waits)])
    desk.time += 1
    await desk.intake([desk.post.delivery(young)])
    desk.time += WAITING_SECONDS - 1
    desk.intake.look()
    assert desk.post.acknowledged == [waits.message_id]
    assert rows(store)["wf_1"] == ("open", None)
    gate.set()
    await desk.shop.over([runs])
    await desk.room.turn()
    await desk.shop.over([young])
    assert desk.post.acknowledged == [waits.message_id, runs.message_id, young.message_id]


async def test_nothing_is_held_for_ten_minutes_whatever_it_does(store: WorkflowStore, gate: asyncio.Event) -> None:
    desk = Desk(store, waits_for(gate))
    command = desk.command()
    schedule(store, command)
    await desk.intake([desk.post.delivery(command)])
    desk.time += HELD_SECONDS - 1
    desk.intake.look()
    assert desk.post.acknowledged == []
    desk.time += 1
    desk.intake.look()
    assert desk.post.acknowledged == [command.message_id]
    assert command.message_id in desk.shop.runner.running
    gate.set()
    await desk.shop.over([command])
    assert desk.post.acknowledged == [command.message_id]
    assert desk.outcomes == ["ok"]
    assert HELD_SECONDS < 600


async def test_what_a_limit_defers_is_acknowledged(store: WorkflowStore) -> None:
    @activity(effect="pure", name="a", limits=Limits(rate=Rate(times=1, per=timedelta(minutes=1))))
    async def limited(given: Given) -> None: ...

    desk = Desk(store, limited)
    commands = [desk.command(f"wf_{number}") for number in range(3)]
    schedule(store, *commands)
    await desk.intake([desk.post.delivery(command) for command in commands])
    await desk.shop.over(commands)
    assert len(desk.post.acknowledged) == 3
    assert desk.outcomes == ["ok"]
    assert [state for state, _ in rows(store).values()] == ["claimed", "open", "open"]


async def test_a_command_says_when_it_was_scheduled_as_far_as_its_headers_do() -> None:
    command = Workshop(quick).command(quick)
    told = Post().delivery(command, headers={"handrail-scheduled-at": "2030-01-01T12:00:00.5Z"})
    assert read(told).scheduled_at == BEGINNING + timedelta(seconds=0.5)
    assert read(Post().delivery(command)).scheduled_at is None
