"""The example clients, really run against a broker with the topology, each with the rights of its role and no more."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aio_pika
import pytest

from domain.ids import workflow_id_from_message
from domain.messages.announcements import announcement_of
from domain.messages.reading import read_approval, read_goal, read_outcome
from domain.messages.writing import outgoing_announcement, outgoing_command, routing_word
from domain.ports import Command
from domain.rights import approval_service, foreign_worker, goal_service, listener, runtime
from domain.state import State
from domain.topology import Listener, dead_queue, listener_queue
from domain.transport import Outgoing, Published
from producers.publisher import AmqpPublisher
from tests.integration.others.programs import Mailbox, run, running
from tests.servers.rabbitmq import Vhost
from tests.servers.wiring import login_as, wire
from tests.unit.domain.test_wire_writing import ASKED, recorded
from tests.wire import checked, publish_off_the_contract

FAR = datetime(2100, 1, 1, tzinfo=UTC)
GOAL = "Vendor onboarding: review!"


def command(number: int = 1, activity: str = "word_count", **given: Any) -> Command:
    return Command(
        f"wf_1/count/run/{number}",
        "wf_1",
        "count",
        "run",
        number,
        1,
        activity,
        "papers",
        given or {"text": "four words in all"},
        "reading",
        "1",
        "wf_1/count/run",
        FAR,
        "alice",
    )


class Handrail:
    """What stands for Handrail here: it reads the queues that others write, and publishes as a serving process does."""

    def __init__(self, vhost: Vhost) -> None:
        self.vhost = vhost
        self._opened = AsyncExitStack()
        self._publisher = AmqpPublisher(vhost.url_of(login_as(vhost, runtime())), name="tests")

    async def __aenter__(self) -> Self:
        wire(self.vhost, ["papers"], [Listener("desk", ("approval.requested.#",))])
        connection = await self._opened.enter_async_context(await aio_pika.connect(self.vhost.url))
        self._channel = await connection.channel()
        await self._publisher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._publisher.close()
        await self._opened.aclose()

    async def mailbox(self, queue: str) -> Mailbox:
        made = Mailbox(queue)
        await made.listen(self._channel)
        return made

    async def send(self, message: Outgoing) -> None:
        assert await checked(self._publisher).publish([message]) == [Published.CONFIRMED]

    async def spoil(self, message: Outgoing) -> None:
        """Send what keeps no contract."""
        assert await publish_off_the_contract(self._publisher, [message]) == [Published.CONFIRMED]


@pytest.fixture
async def handrail(vhost: Vhost) -> AsyncIterator[Handrail]:
    async with Handrail(vhost) as made:
        yield made


@pytest.mark.parametrize("program", ["goal_publisher.js", "goal_publisher.py"])
async def test_a_goal_is_sent_by_whom_the_broker_knows(handrail: Handrail, program: str) -> None:
    login = login_as(handrail.vhost, goal_service("shop"))
    goals = await handrail.mailbox("handrail.goals")
    url = handrail.vhost.url_of(login)
    for _ in range(2):
        code, out, errors = await run(program, "order-7", GOAL, '{"folder": "vendors/northwind"}', url=url)
        assert (code, errors) == (0, "")
        assert out.strip() == workflow_id_from_message(login.name, "order-7")
    first, again = await goals.next_kept(), await goals.next_kept()
    read = read_goal(first)
    assert (read.sender, read.message_id) == (login.name, "order-7")
    assert (read.body.goal, read.body.input) == (GOAL, {"folder": "vendors/northwind"})
    assert read_goal(again).digest == read.digest


@pytest.mark.parametrize("program", ["goal_publisher.js", "goal_publisher.py"])
async def test_a_goal_that_is_no_json_is_the_senders_mistake(handrail: Handrail, program: str) -> None:
    url = handrail.vhost.url_of(login_as(handrail.vhost, goal_service("shop")))
    code, out, errors = await run(program, "order-7", GOAL, "{", url=url)
    assert (code, out) == (1, "")
    assert errors


async def test_a_person_is_asked_and_their_decision_comes_back(handrail: Handrail) -> None:
    approvals = await handrail.mailbox("handrail.approvals")
    desk = handrail.vhost.url_of(login_as(handrail.vhost, listener("desk")))
    sender = login_as(handrail.vhost, approval_service("desk-sender", [GOAL]))
    origin = State("wf_1", definition=GOAL, definition_version="2", requested_by="alice")
    asked = announcement_of(recorded(ASKED), origin)
    assert asked is not None
    async with running("approval_listener.js", listener_queue("desk"), url=desk) as listening:
        for _ in range(2):  # told again under the same id
            await handrail.send(outgoing_announcement(asked))
        other = announcement_of(replace(recorded(ASKED), originator_version=8), origin)
        assert other is not None
        await handrail.send(outgoing_announcement(other))
        line, next_line = await listening.line(), await listening.line()
        assert (json.loads(line)["version"], json.loads(next_line)["version"]) == (7, 8)
        assert await listening.end(signal.SIGTERM) == 0
    arguments = ("approve", "bea", "looks fine", "review in 90 days")
    url = handrail.vhost.url_of(sender)
    sent = [await run("approval_sender.js", *arguments, url=url, given=line.encode()) for _ in range(2)]
    assert [code for code, _, _ in sent] == [0, 0]
    assert sent[0][1] == sent[1][1]
    delivered = await approvals.next_kept()
    read = read_approval(delivered)
    assert delivered.routing_key == "approval.vendor-onboarding-review"
    assert read.sender == sender.name
    assert (read.body.workflow_id, read.body.approval_id, read.body.round) == ("wf_1", ASKED.approval_id, ASKED.round)
    assert (read.body.digest, read.body.decided_by) == (ASKED.digest, "bea")
    assert read.body.controls == ("review in 90 days",)


@pytest.mark.parametrize("definition", ["Ärger & Söhne", "x" * 199 + "a", "ü" * 150, "日本語 " * 50])
async def test_any_definition_has_the_same_word_in_either_language(handrail: Handrail, definition: str) -> None:
    approvals = await handrail.mailbox("handrail.approvals")
    sender = login_as(handrail.vhost, approval_service("desk-sender"))
    origin = State("wf_1", definition=definition, definition_version="2", requested_by="alice")
    asked = announcement_of(recorded(ASKED), origin)
    assert asked is not None
    given = outgoing_announcement(asked).body
    code, _, errors = await run("approval_sender.js", "reject", "bea", url=handrail.vhost.url_of(sender), given=given)
    assert code == 0, errors
    assert (await approvals.next_kept()).routing_key == f"approval.{routing_word(definition)}"


async def test_a_sender_says_that_it_does_not_know_whether_the_decision_counts(handrail: Handrail) -> None:
    url = handrail.vhost.url_of(login_as(handrail.vhost, approval_service("desk-sender", [GOAL])))
    asked = announcement_of(recorded(ASKED), State("wf_1", definition=GOAL, definition_version="2", requested_by="al"))
    assert asked is not None
    given = outgoing_announcement(asked).body
    code, message_id, said = await run("approval_sender.js", "approve", "bea", url=url, given=given)
    assert code == 0
    assert "the broker has it; whether it counts is told by `handrail show wf_1`" in said
    assert f"`handrail dead show {message_id.strip()}`" in said


# --- refusals and ends ----------------------------------------------------------------------------------------------


def without_password(vhost: Vhost, url: str) -> str:
    """The same address with a password that is not the login's."""
    before, _, place = url.rpartition("@")
    return f"{before.rpartition(':')[0]}:wrong@{place}"


@pytest.mark.parametrize("program", ["approval_listener.js", "activity_consumer.js"])
@pytest.mark.parametrize("how", ["password", "right", "queue"])
async def test_who_serves_ends_where_the_broker_refuses(
    handrail: Handrail, tmp_path: Path, program: str, how: str
) -> None:
    user = listener("desk") if how != "right" else goal_service("shop")
    url = handrail.vhost.url_of(login_as(handrail.vhost, user))
    if program == "activity_consumer.js":
        user = foreign_worker(
            "worker-missing" if how == "queue" else "worker", "missing" if how == "queue" else "papers"
        )
        if how != "right":
            url = handrail.vhost.url_of(login_as(handrail.vhost, user))
        arguments = ["missing" if how == "queue" else "papers", str(tmp_path / "table")]
    else:
        arguments = [listener_queue("desk")]
        if how == "queue":
            handrail.vhost.broker.ask("DELETE", "queues", handrail.vhost.name, listener_queue("desk"))
    url = without_password(handrail.vhost, url) if how == "password" else url
    code, out, said = await run(program, *arguments, url=url)
    assert (code, out) == (1, "")
    assert said.startswith("the broker refuses: ")
    assert {"password": "403 (ACCESS", "right": "403 (ACCESS", "queue": "404 (NOT"}[how] in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("program", ["goal_publisher.js", "goal_publisher.py", "approval_sender.js"])
@pytest.mark.parametrize("how", ["password", "right"])
async def test_who_sends_ends_where_the_broker_refuses(handrail: Handrail, program: str, how: str) -> None:
    user = listener("desk") if how == "right" else goal_service("shop")
    url = handrail.vhost.url_of(login_as(handrail.vhost, user))
    url = without_password(handrail.vhost, url) if how == "password" else url
    given = b'{"workflow_id": "wf_1", "definition": "review"}'
    arguments = ("approve", "bea") if program == "approval_sender.js" else ("order-7", GOAL)
    code, out, said = await run(program, *arguments, url=url, given=given)
    assert (code, out) == (1, "")
    assert said.startswith("the broker refuses: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("program", ["approval_listener.js", "activity_consumer.js"])
async def test_who_serves_ends_on_a_signal_while_the_broker_is_away(
    tmp_path: Path, program: str, how: signal.Signals
) -> None:
    async with running(program, "papers", str(tmp_path / "table"), url="amqp://me:secret@127.0.0.1:1/none") as client:
        for _ in range(4):
            await client.says("trying again")
        assert await client.end(how) == 0


async def test_a_listener_goes_on_after_a_disconnection_over_one_connection(handrail: Handrail) -> None:
    desk = handrail.vhost.url_of(login_as(handrail.vhost, listener("desk")))
    broker = handrail.vhost.broker
    asked = announcement_of(recorded(ASKED), State("wf_1", definition=GOAL, definition_version="2", requested_by="al"))
    assert asked is not None
    async with running("approval_listener.js", listener_queue("desk"), url=desk) as listening:
        await listening.says("listening to")
        name = await asyncio.to_thread(connection_of, broker, "approval_listener.js")
        broker.ask("DELETE", "connections", name)
        await listening.says("listening to")
        await handrail.send(outgoing_announcement(asked))
        assert json.loads(await listening.line())["version"] == 7
        assert await listening.end(signal.SIGINT) == 0


# --- the activity consumer ------------------------------------------------------------------------------------------


class Worker:
    """What the consumer needs: its login, its table, and a mailbox for its answers."""

    def __init__(self, handrail: Handrail, table: Path) -> None:
        self.url = handrail.vhost.url_of(login_as(handrail.vhost, foreign_worker("worker-papers", "papers")))
        self.table = table

    def begin(self) -> Any:
        return running("activity_consumer.js", "papers", str(self.table), url=self.url)


@pytest.fixture
def worker(handrail: Handrail, tmp_path: Path) -> Worker:
    return Worker(handrail, tmp_path / "answered.jsonl")


async def test_commands_are_answered_whatever_they_are(handrail: Handrail, worker: Worker) -> None:
    outcomes = await handrail.mailbox("handrail.outcomes")
    dead = await handrail.mailbox(dead_queue("handrail.activity.papers"))
    async with worker.begin() as consumer:
        await handrail.send(outgoing_command(command(1)))
        first = await outcomes.next_kept()
        assert read_outcome(first).body.output == {"words": 4}
        assert first.message_id == "wf_1/count/run/1/outcome"
        await handrail.send(outgoing_command(command(2, "paint")))
        failure = read_outcome(await outcomes.next_kept()).body.failure
        assert failure is not None
        assert (failure.kind, failure.message) == ("permanent", 'this consumer has no activity "paint"')
        await handrail.send(outgoing_command(command(3, text=7)))
        failure = read_outcome(await outcomes.next_kept()).body.failure
        assert failure is not None
        assert failure.kind == "invalid"
        good = outgoing_command(command(4))
        await handrail.spoil(replace(good, body=b"{"))
        await handrail.spoil(replace(good, type="handrail.step.run.v9"))
        assert {(await dead.next()).type, (await dead.next()).type} == {"handrail.step.run.v1", "handrail.step.run.v9"}
        await handrail.send(outgoing_command(replace(command(5), expires_at=datetime(2000, 1, 1, tzinfo=UTC))))
        await handrail.send(good)
        assert read_outcome(await outcomes.next_kept()).body.message_id == "wf_1/count/run/4"
        assert await consumer.end(signal.SIGTERM) == 0
    assert outcomes.empty


async def test_a_command_again_gets_the_answer_that_it_had(handrail: Handrail, worker: Worker) -> None:
    outcomes = await handrail.mailbox("handrail.outcomes")
    async with worker.begin() as consumer:
        await handrail.send(outgoing_command(command()))
        first = await outcomes.next_kept()
        await handrail.send(outgoing_command(command()))
        assert (await outcomes.next_kept()).body == first.body
        assert await consumer.end(signal.SIGKILL) == -signal.SIGKILL
    with worker.table.open("a") as table:
        table.write('{"messageId": "wf_1/count/run/2", "ans')  # it died while writing
    async with worker.begin() as consumer:
        await handrail.send(outgoing_command(command()))
        assert (await outcomes.next_kept()).body == first.body
        await handrail.send(outgoing_command(command(2)))
        # Killed between answer and acknowledgement, it is given each of the two commands of before once more.
        for _ in range(3):
            answer = await outcomes.next_kept()
            if answer.body != first.body:
                break
        assert read_outcome(answer).body.message_id == "wf_1/count/run/2"
        assert await consumer.end(signal.SIGTERM) == 0
    lines = [json.loads(line)["messageId"] for line in worker.table.read_text().splitlines()]
    assert lines == ["wf_1/count/run/1", "wf_1/count/run/2"]


async def test_it_goes_on_after_a_disconnection(handrail: Handrail, worker: Worker) -> None:
    outcomes = await handrail.mailbox("handrail.outcomes")
    async with worker.begin() as consumer:
        await consumer.says("serving papers")
        broker = handrail.vhost.broker
        name = await asyncio.to_thread(connection_of, broker, "activity_consumer.js")
        broker.ask("DELETE", "connections", name)
        await consumer.says("serving papers")
        await handrail.send(outgoing_command(command()))
        assert read_outcome(await outcomes.next_kept()).body.output == {"words": 4}


def connection_of(broker: Any, program: str) -> str:
    """The name of the connection that a client calls by its program; the management learns of it late."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for one in broker.ask("GET", "connections"):
            if program in str(one.get("client_properties", {}).get("connection_name", "")):
                return str(one["name"])
    raise AssertionError(f"{program} has no connection")
