"""What other services are told on `handrail.events`, and that a listener in trouble stops nobody."""

import json
from typing import Any

import pytest

from domain.transport import Outgoing
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import ASKING, CHAIN
from tests.integration.outbound.stage import ScriptedBroker, running, until


def bodies(broker: ScriptedBroker, subject: str) -> list[tuple[Outgoing, dict[str, Any]]]:
    return [(one, json.loads(one.body)) for one in broker.told if one.routing_key.startswith(subject)]


async def test_a_persons_decision_is_asked_for_with_all_that_it_needs(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(ASKING)
    (name,) = await process.start(ASKING)
    async with process.relaying():
        await until(lambda: bool(bodies(broker, "approval")))
    ((message, body),) = bodies(broker, "approval.requested")
    asked = process.state(name).ballots["ask"].request
    assert message.routing_key == "approval.requested.asking-review"
    assert (message.mandatory, message.correlation_id, message.message_id) == (False, name, f"{name}@{body['version']}")
    assert message.headers["handrail-sequence"] == body["version"]
    assert (body["approval_id"], body["round"], body["digest"]) == (asked.approval_id, 1, asked.digest)
    assert (body["workflow_id"], body["step"], body["goal"]) == (name, "ask", "asking review")


async def test_beginning_and_end_are_told_under_the_same_ids_whoever_tells_them(
    begin: Begin, broker: ScriptedBroker
) -> None:
    process = begin(CHAIN)
    (name,) = await process.start(CHAIN)
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: bool(bodies(broker, "workflow.completed.chain")))
    told = [message.message_id for message in broker.told]
    assert told == [f"{name}@1", f"{name}@{process.state(name).version}"]
    process.store.run(_Rewound())
    async with process.relaying():
        await until(lambda: len(broker.told) == 4)
    assert [message.message_id for message in broker.told] == [*told, *told]


class _Rewound:
    """The relay's position is back at the beginning."""

    def run(self, cursor: Any) -> None:
        cursor.execute("UPDATE positions SET position = 0 WHERE name = 'relay'")


async def test_a_listener_whose_queue_is_full_stops_nobody_and_hears_of_it_later(
    begin: Begin, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.parked.FIRST_TRY_SECONDS", 0.01)
    process = begin(CHAIN)
    broker.full.add("workflow.started.chain")
    names = await process.start(CHAIN, 3)
    async with process.relaying(), running(process.work(broker)):
        await until(lambda: process.ended(names) and len(process.parked()) == 3)
        broker.full.clear()
        await until(lambda: len(bodies(broker, "workflow.started")) == 3 and not process.parked())
