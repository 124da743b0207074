"""A listener whose own queue refuses when it is full: told again for an hour, then let go; everybody else goes on."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from deploy.broker_definitions import broker_definitions
from domain.topology import EVENTS_EXCHANGE, topology_of
from producers.parked import LET_GO_AFTER_SECONDS, let_go
from tests.broker.stage import binding, count, eventually, holds, publisher, queue
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import ASKING, LONELY
from tests.integration.outbound.stage import Process, running
from tests.servers.rabbitmq import Vhost

FULL = "somebody.full"
OTHER = "somebody.else"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.parked.FIRST_TRY_SECONDS", 0.05)
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.01)


class Later:
    """An hour passes for what one workflow has told, or has asked for."""

    def __init__(self, statement: str, *values: Any) -> None:
        self._statement = statement
        self._values = values

    def run(self, cursor: Any) -> None:
        cursor.execute(self._statement, self._values)


def kept(process: Process) -> Callable[[], set[str]]:
    return lambda: {row.workflow_id for row in process.parked()}


async def test_what_a_full_listener_refuses_is_let_go_after_an_hour_and_the_approval_is_asked_for_again(
    vhost: Vhost, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    vhost.define(broker_definitions(topology_of(["common", "lonely"]), [], vhost.name))
    refusing = queue(FULL, "classic", max_length=1, overflow="reject-publish")
    heard = [binding(EVENTS_EXCHANGE, FULL, "approval.#"), binding(EVENTS_EXCHANGE, OTHER, "workflow.#")]
    vhost.define({"queues": [refusing, queue(OTHER)], "bindings": heard})
    async with publisher(vhost.url) as sender:
        process = begin(ASKING, LONELY, publisher=sender)
        await process.start(ASKING, 1, "first")
        async with process.relaying():
            await holds(vhost.url, FULL, 1)
            old, new = await process.start(ASKING, 2, "asked")
            await eventually(lambda: kept(process)() == {old, new}, "both are kept")
            assert all("under 'approval.requested.asking-review' is full" in row.reason for row in process.parked())
            hour = "UPDATE relay_parked SET since = since - ? WHERE workflow_id = ?"
            with caplog.at_level(logging.WARNING, "handrail.producers"):
                process.store.run(Later(hour, LET_GO_AFTER_SECONDS, old))
                await eventually(lambda: kept(process)() == {new}, "the one that is old is let go")
            assert "let go after 60 minutes, 1 of them: a queue that is bound to handrail.events under" in caplog.text
            assert let_go(process.store) == 1
            begun = await count(vhost.url, OTHER)
            await process.start(LONELY, 3, "others")
            await holds(vhost.url, OTHER, begun + 3)
            vhost.broker.ask("DELETE", "queues", vhost.name, FULL, "contents")
            await eventually(lambda: not process.parked(), "the other one is told when there is room")
            process.store.run(Later("UPDATE approvals_pending SET tell_after = 0 WHERE workflow_id = ?", old))
            vhost.broker.ask("DELETE", "queues", vhost.name, FULL, "contents")
            async with running(process.outbound.outstanding.remind()):
                await holds(vhost.url, FULL, 1)
    assert let_go(process.store) == 1


async def test_a_command_is_never_let_go(begin: Begin, broker: Any) -> None:
    process = begin(LONELY)
    broker.full.add("lonely")
    (name,) = await process.start(LONELY)
    async with process.relaying():
        await eventually(lambda: len(process.parked()) == 1, "the command is kept")
        process.store.run(Later("UPDATE relay_parked SET since = since - ?", 100 * LET_GO_AFTER_SECONDS))
        tries = process.parked()[0].tries
        await eventually(lambda: process.parked()[0].tries > tries, "it is tried again")
        broker.full.clear()
        await eventually(lambda: broker.waiting == [f"{name}/only/run/1"], "it is sent when there is room")
    assert let_go(process.store) == 0
