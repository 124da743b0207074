"""Dead step commands become triggers of their workflows; what is none is parked, with the reason it came with."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from consumers.burial import Fault
from consumers.claims import Claims
from consumers.dead_commands import DeadCommandIntake
from domain.definitions import activity
from domain.errors import BrokerUnavailable, StoreUnavailable, WorkflowUnknown
from domain.messages.faults import outgoing_fault
from domain.ports import Command
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.topology import DEAD_EXCHANGE, activity_queue, dead_queue
from domain.transport import Delivery
from domain.triggers import DeadLetterCommand
from tests.unit.consumers.stage import BEGINNING, LEASE_SECONDS, OWNER, DatabaseClock, Workshop, open_inbox, rows
from tests.unit.consumers.test_commands import Post, schedule

DEAD_QUEUE = dead_queue(activity_queue("default"))


@activity(effect="pure", name="a")
async def act(given: dict[str, Any]) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, DatabaseClock())
    yield opened
    opened.close()


class Morgue:
    """The intake of a dead queue."""

    def __init__(self, store: WorkflowStore) -> None:
        self.store = store
        self.shop = Workshop(act)
        self.post = Post()
        self.parked: list[Fault] = []
        self.broker_is_down = False
        self.intake = DeadCommandIntake(
            claims=Claims(store, OWNER, lease_seconds=LEASE_SECONDS),
            decider=self.shop.decisions,
            clock=lambda: BEGINNING,
            bury=self.bury,
            aside=inline,
        )

    async def bury(self, faults: Sequence[Fault]) -> None:
        if self.broker_is_down:
            raise BrokerUnavailable("gone")
        self.parked += faults
        for fault in faults:
            fault.delivery.acknowledge()

    def scheduled(self, workflow_id: str = "wf_1", state: str = "open") -> Command:
        command = self.shop.command("a", workflow_id)
        schedule(self.store, command)
        with self.store.transaction() as cursor:
            cursor.execute("UPDATE inbox SET state = ? WHERE workflow_id = ?", (state, workflow_id))
        return command

    def dead(self, command: Command, **changes: Any) -> Delivery:
        death = {"reason": "delivery_limit", "queue": activity_queue("default"), "exchange": "handrail.commands"}
        given = {"exchange": DEAD_EXCHANGE, "routing_key": activity_queue("default"), "headers": {"x-death": [death]}}
        return self.post.delivery(command, queue=DEAD_QUEUE, **{**given, **changes})

    @property
    def told(self) -> list[tuple[str, object]]:
        return [(one.workflow_id, one.trigger) for one in self.shop.decisions.requests]


async def test_a_command_that_the_broker_gave_up_is_told_to_its_workflow(store: WorkflowStore) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled()
    await morgue.intake([morgue.dead(command)])
    reason = (
        "delivered_too_often: it was delivered 10 times, and nobody settled it: its consumers died, or lost their "
        "connection"
    )
    assert morgue.told == [("wf_1", DeadLetterCommand(step="a", kind="run", attempt=1, reason=reason))]
    assert morgue.post.acknowledged == [command.message_id]
    (request,) = morgue.shop.decisions.requests
    assert (request.cause, request.actor, request.at) == (command.message_id, "broker", BEGINNING)


async def test_what_a_consumer_said_of_it_is_told(store: WorkflowStore) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled()
    buried = outgoing_fault(
        morgue.post.delivery(command), fault="activity_unknown", reason="it is foreign", consumer="here", at=BEGINNING
    )
    await morgue.intake([morgue.dead(command, headers=buried.headers)])
    ((_, trigger),) = morgue.told
    assert isinstance(trigger, DeadLetterCommand)
    assert trigger.reason == "activity_unknown: it is foreign"


async def test_what_was_handed_over_is_taken_back_first(store: WorkflowStore) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled(state="handed_over")
    await morgue.intake([morgue.dead(command)])
    assert rows(store) == {"wf_1": ("open", None)}
    assert len(morgue.told) == 1


@pytest.mark.parametrize("state", ["claimed", "done", "revoked", "lapsed"])
async def test_a_command_that_somebody_else_answers_for_is_acknowledged(store: WorkflowStore, state: str) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled(state=state)
    await morgue.intake([morgue.dead(command)])
    assert morgue.told == []
    assert morgue.post.acknowledged == [command.message_id]
    assert rows(store)["wf_1"][0] == state


async def test_what_was_never_scheduled_harms_nobody_and_is_parked(store: WorkflowStore) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled()
    unknown = morgue.shop.command("a", "wf_9")
    forged = dataclasses.replace(command, input={"amount": 1_000_000})
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO inbox (message_id, kind, workflow_id, state) VALUES ('wf_8/a/run/1', 'goal', '', 'x')"
        )
    deliveries = [
        morgue.dead(command, body=b"{"),
        morgue.dead(unknown),
        morgue.dead(forged),
        morgue.dead(morgue.shop.command("a", "wf_8")),
    ]
    await morgue.intake(deliveries)
    assert morgue.told == []
    assert [fault.fault for fault in morgue.parked] == ["not_json", "command_unknown", "conflict", "command_unknown"]
    assert {fault.delivery.queue for fault in morgue.parked} == {"handrail.commands"}
    assert all(
        "lost their connection; it came from handrail.activity.default" in fault.reason for fault in morgue.parked
    )
    assert len(morgue.post.acknowledged) == 4
    assert rows(store)["wf_1"] == ("open", None)


async def test_a_workflow_that_refuses_has_it_parked(store: WorkflowStore) -> None:
    morgue = Morgue(store)
    good, bad = morgue.scheduled("wf_1"), morgue.scheduled("wf_2")
    morgue.shop.decisions.errors.append(WorkflowUnknown("there is none"))
    await morgue.intake([morgue.dead(bad), morgue.dead(good)])
    assert [fault.fault for fault in morgue.parked] == ["refused"]
    assert sorted(morgue.post.acknowledged) == [good.message_id, bad.message_id]


async def test_trouble_settles_nothing(store: WorkflowStore) -> None:
    morgue = Morgue(store)
    command = morgue.scheduled()
    morgue.shop.decisions.errors.append(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await morgue.intake([morgue.dead(command)])
    morgue.broker_is_down = True
    with pytest.raises(BrokerUnavailable):
        await morgue.intake([morgue.dead(command, body=b"{")])
    assert morgue.post.acknowledged == []
    await morgue.intake([morgue.dead(command)])
    assert morgue.post.acknowledged == [command.message_id]
