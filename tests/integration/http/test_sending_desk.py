"""The desk that sends messages: what the broker loses is sent again, what has no effect yet is answered with 202."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from deploy import held_goals
from deploy.http.app import make_app
from deploy.http.desk import Goal, KeyReused
from deploy.http.desk_remote import RemoteDesk
from deploy.http.home import HomeHealth
from deploy.http.sending_on import SendingOn
from deploy.sending import Sending
from deploy.tokens import Bearer, find_bearer
from domain.errors import BrokerUnavailable
from domain.ids import workflow_id_from_message
from domain.store.aside import inline
from domain.transport import Published
from handrail import Runtime
from tests.integration.flows import ASKING, run
from tests.integration.http.conftest import Endpoint, decision, problem
from tests.integration.http.loopback import LOGIN, Loopback

GOAL = Goal("order-7", "0" * 64, "chain", "rita", input={"i": 1})


@pytest.fixture
async def hasty(runtime: Runtime, loopback: Loopback) -> RemoteDesk:
    """A desk without patience."""
    sending = Sending(loopback, chance=lambda: 0.0, again_after_seconds=0.01)
    return RemoteDesk(runtime.store, loopback, login=LOGIN, aside=inline, patience_seconds=0.001, sending=sending)


@pytest.fixture
def sending_on(runtime: Runtime, loopback: Loopback) -> SendingOn:
    """Another process's: it has nothing but the store."""
    return SendingOn(runtime.store, loopback, login=LOGIN, aside=inline)


def held(runtime: Runtime) -> list[str]:
    return [row[0] for row in runtime.store.query("SELECT message_id FROM goals_held")]


def make_due(runtime: Runtime) -> None:
    with runtime.store.transaction() as cursor:
        cursor.execute("UPDATE goals_held SET next_try = 0")


@pytest.fixture
async def remote(runtime: Runtime, hasty: RemoteDesk) -> Endpoint:
    async def find(token: str) -> Bearer | None:
        return find_bearer(runtime.store, token)

    app = make_app(hasty, find, HomeHealth(runtime))
    return Endpoint(runtime, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://desk"))


async def test_a_goal_that_the_broker_lost_is_sent_again(desk: RemoteDesk, loopback: Loopback) -> None:
    loopback.unreachable = 2
    accepted = await desk.submit(GOAL)
    assert accepted.stored
    assert accepted.workflow_id == workflow_id_from_message(LOGIN, "order-7")
    assert [message.message_id for message in loopback.sent] == ["order-7"] * 3


async def test_a_goal_without_effect_is_answered_and_sent_on(
    runtime: Runtime, hasty: RemoteDesk, sending_on: SendingOn, loopback: Loopback
) -> None:
    loopback.losing = 3
    accepted = await hasty.submit(GOAL)
    assert not accepted.stored
    for _ in range(3):
        make_due(runtime)
        assert await sending_on.once() == 1
    assert runtime.store.exists(accepted.workflow_id)
    assert [message.message_id for message in loopback.sent] == ["order-7"] * 4
    assert len(set(map(repr, loopback.sent))) == 1
    make_due(runtime)
    await sending_on.once()
    assert held(runtime) == []
    again = await hasty.submit(GOAL)
    assert (again.stored, again.repeated) == (True, True)
    assert len(loopback.sent) == 4


async def test_a_goal_that_cannot_be_held_is_a_503(
    remote: Endpoint, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_goals, "MOST_HELD", 0)
    loopback.losing = 1
    problem(await remote.post("/goals", {"goal": "chain"}, "rita", "requester"), 503, "store-unavailable")


async def test_a_key_that_is_held_for_another_goal_is_refused(hasty: RemoteDesk, loopback: Loopback) -> None:
    loopback.losing = 2
    await hasty.submit(GOAL)
    with pytest.raises(KeyReused):
        await hasty.submit(replace(GOAL, goal="another"))


async def test_a_decision_without_effect_yet_is_a_202(remote: Endpoint, loopback: Loopback) -> None:
    state = await run(remote.runtime, ASKING)
    path, body = decision(state)
    loopback.losing = 1
    answer = await remote.post(path, body, "carol", "approver", key="k")
    assert (answer.status_code, answer.json()["outcome"]) == (202, "sent")
    # The caller asks again, with the same key: now it arrives.
    again = await remote.post(path, body, "carol", "approver", key="k")
    assert (again.status_code, again.json()["effect"]) == (200, "granted")
    assert len({message.message_id for message in loopback.sent}) == 1


async def test_the_message_names_the_person_and_the_broker_the_service(
    endpoint: Endpoint, desk: RemoteDesk, loopback: Loopback
) -> None:
    state = await run(endpoint.runtime, ASKING)
    path, body = decision(state, decided_by="mallory")
    await endpoint.post(path, body, "carol", "approver")
    if loopback.sent:
        (message,) = loopback.sent
        assert b'"decided_by":"carol"' in message.body
        assert (message.routing_key, message.correlation_id) == ("approval.asking", "wf_001")
        actors = {one.actor for one in endpoint.runtime.store.read("wf_001") if one.name == "ApprovalRecorded"}
        assert actors == {LOGIN}


async def test_a_goal_that_cannot_be_begun_is_in_its_dead_queue_and_sent_no_more(
    remote: Endpoint, loopback: Loopback, sending_on: SendingOn
) -> None:
    answer = await remote.post("/goals", {"goal": "nobody knows this"}, "rita", "requester")
    assert (answer.status_code, answer.json()["outcome"]) == (202, "sent")
    assert loopback.dead[0].headers["handrail-fault-type"] == "definition_unknown"
    make_due(remote.runtime)
    await sending_on.once()
    assert held(remote.runtime) == []


async def test_a_broker_that_is_away_is_a_503(
    remote: Endpoint, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> int:
        raise BrokerUnavailable("amqp://secret@broker is not reached")

    monkeypatch.setattr(Sending, "confirmed", away)
    answer = await remote.post("/goals", {"goal": "chain"}, "rita", "requester")
    refused = problem(answer, 503, "broker-unavailable")
    assert "Idempotency-Key" in refused["detail"]
    assert "secret" not in answer.text
    assert int(answer.headers["retry-after"]) > 0


async def test_a_broker_without_the_queues_is_a_503(remote: Endpoint, loopback: Loopback) -> None:
    loopback.answers = [Published.RETURNED]
    problem(await remote.post("/goals", {"goal": "chain"}, "rita", "requester"), 503, "broker-unavailable")


async def test_the_same_key_twice_at_once_is_held_once(runtime: Runtime, hasty: RemoteDesk, loopback: Loopback) -> None:
    loopback.losing = 1_000_000
    await asyncio.gather(*(hasty.submit(GOAL) for _ in range(5)))
    assert held(runtime) == ["order-7"]
