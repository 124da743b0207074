"""The client of another service: goals accepted once, decisions passed on, results waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import pytest

from deploy.roles import Role
from domain.errors import InputInvalid, NotAccepted, WorkflowConflict, WorkflowUnknown
from domain.state import Status
from domain.topology import GOALS_QUEUE
from handrail import Client, WorkflowResult
from tests.integration.clients.conftest import Place, Served
from tests.integration.flows import World

LIMIT_SECONDS = 30.0

Found = TypeVar("Found")


async def found(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """What a look finds, once it finds something."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if (one := await look()) is not None:
                return one
            await asyncio.sleep(0)


async def blocked(client: Client, workflow_id: str) -> WorkflowResult:
    async def look() -> WorkflowResult | None:
        standing = await client.status(workflow_id)
        return standing if standing.needs_person else None

    return await found(look)


async def test_a_goal_is_accepted_and_its_result_waited_for(served: Served) -> None:
    async with Client(served.shop, served.store) as client:
        submitted = await client.submit("chain", input={"i": 1}, tags={"team": "blue"}, message_id="order-7")
        assert submitted.accepted
        assert submitted.message_id == "order-7"
        result = await client.result(submitted, timeout=LIMIT_SECONDS)
        assert (result.status, result.ended) == (Status.COMPLETED, True)
        again = await client.submit("chain", input={"i": 1}, tags={"team": "blue"}, message_id="order-7")
        assert again == submitted
        with pytest.raises(WorkflowConflict):
            await client.submit("chain", input={"i": 2}, message_id="order-7")
        waiting = await client.submit("gated")
        with pytest.raises(TimeoutError):
            await client.result(waiting, timeout=0.01)
        World.current.open(waiting)
    state = served.parts.store.load(submitted)
    assert state.requested_by == client.login


async def test_a_goal_that_the_broker_lost_is_sent_again(place: Place) -> None:
    async with Client(place.shop, place.store, again_after_seconds=0.1) as client:
        submitting = asyncio.create_task(client.submit("chain", input={"i": 1}, message_id="order-7"))

        async def waiting() -> int | None:
            queue = await asyncio.to_thread(place.vhost.queue, GOALS_QUEUE)
            return (queue or {}).get("messages") or None

        await found(waiting)
        # All that the broker has confirmed is gone.
        await asyncio.to_thread(place.vhost.broker.ask, "DELETE", "queues", place.vhost.name, GOALS_QUEUE, "contents")
        async with place.serving() as served:
            submitted = await submitting
            assert submitted.accepted
            assert (await client.result(submitted, timeout=LIMIT_SECONDS)).status == "completed"
            assert served.parts.store.workflow_ids() == [submitted]


async def test_what_nobody_takes_in_is_not_said_to_be_accepted(place: Place) -> None:
    async with Client(place.shop, place.store, again_after_seconds=0.1) as client:
        with pytest.raises(NotAccepted, match="handrail dead show order-7"):
            await client.submit("chain", message_id="order-7", timeout=2)


async def test_without_a_lookout_it_says_that_the_broker_alone_has_it(served: Served) -> None:
    async with Client(served.shop) as client:
        submitted = await client.submit("chain", message_id="order-8")
        assert not submitted.accepted
        with pytest.raises(InputInvalid, match="cannot look"):
            await client.result(submitted)
    async with Client(served.shop, served.store) as client:
        assert (await client.result(submitted, timeout=LIMIT_SECONDS)).status == "completed"


async def test_the_result_of_a_goal_that_was_not_taken_in_yet_is_waited_for(place: Place) -> None:
    async with Client(place.shop) as sender, Client(place.shop, place.store) as client:
        submitted = await sender.submit("chain", message_id="order-11")
        with pytest.raises(WorkflowUnknown, match=submitted):
            await client.result(submitted, timeout=0.2)
        waiting = asyncio.create_task(client.result(submitted, timeout=LIMIT_SECONDS))
        async with place.serving():
            assert (await waiting).status == "completed"


async def test_an_id_that_never_comes_to_be_is_not_waited_for_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.client.SUBMIT_SECONDS", 0.2)
    async with Client(served.shop, served.store) as client:
        with pytest.raises(WorkflowUnknown, match="wf_nothing"):
            await client.result("wf_nothing")
        # A workflow that is there is waited for without a limit all the same.
        asked = await client.submit("gated", timeout=LIMIT_SECONDS)
        waiting = asyncio.create_task(client.result(asked))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.5)
        assert not waiting.done()
        World.current.open(asked)
        assert (await waiting).ended


async def test_a_decision_of_a_person_is_passed_on(served: Served) -> None:
    async with Client(served.shop, served.store) as shop, Client(served.desk, served.store) as desk:
        asked = await shop.submit("asking", requested_by="alice")
        await blocked(desk, asked)
        digest = served.parts.store.load(asked).ballots["ask"].request.digest
        refused = await desk.approve(asked, "ask.1", digest="0" * 64, decided_by="carol")
        assert (refused.outcome, "digest" in refused.reason) == ("refused", True)
        granted = await desk.approve(asked, "ask.1", digest=digest, decided_by="carol", controls=["annual review"])
        assert (granted.outcome, granted.effect) == ("done", "granted")
        result = await shop.result(asked, timeout=LIMIT_SECONDS)
        assert (result.status, result.controls) == ("completed", ("annual review",))
        with pytest.raises(InputInvalid, match="reason"):
            await desk.reject(asked, "ask.1", digest=digest, decided_by="carol", reason="x" * 3_000)
    recorded = [one for one in served.parts.store.read(asked) if one.name == "ApprovalRecorded"]
    assert [(one.actor, getattr(one.event, "decided_by", "")) for one in recorded] == [(desk.login, "carol")]


async def test_it_may_look_over_http(served: Served) -> None:
    token = served.token("shop", Role.VIEWER)
    async with Client(served.shop, http_url=served.address, token=token) as client:
        submitted = await client.submit("chain", input={"i": 1}, message_id="order-9")
        assert submitted.accepted
        assert (await client.result(submitted, timeout=LIMIT_SECONDS)).status == "completed"
        with pytest.raises(WorkflowConflict, match="another input"):
            await client.submit("chain", input={"i": 2}, message_id="order-9")
        assert (await client.submit("chain", input={"i": 3, "tags": ("a", "b")}, message_id="order-10")).accepted
    with pytest.raises(InputInvalid, match="choose"):
        Client(served.shop, served.store, http_url=served.address, token=token)


async def test_the_endpoint_of_a_served_process(served: Served) -> None:
    roles = (Role.REQUESTER, Role.APPROVER)
    headers = {"Authorization": f"Bearer {served.token('carol', *roles)}"}
    async with httpx.AsyncClient(base_url=served.address, headers=headers, timeout=LIMIT_SECONDS) as client:
        accepted = await client.post("/goals", json={"goal": "asking"})
        assert (accepted.status_code, accepted.json()["outcome"]) == (202, "stored")
        unfit = await client.post("/goals", json={"goal": "nobody knows this"})
        assert (unfit.status_code, unfit.json()["type"]) == (422, "urn:handrail:problem:unfit")

        async def listed() -> dict[str, str] | None:
            approvals = (await client.get("/approvals")).json()["approvals"]
            return approvals[0] if approvals else None

        asked = await found(listed)
        assert asked["workflow_id"] == accepted.json()["workflow_id"]
        assert asked["requested_by"] == "carol"
        decision = {"decision": "approve", "digest": asked["digest"]}
        decided = await client.post(asked["decide"], json=decision)
        assert (decided.status_code, decided.json()["effect"]) == (200, "granted")
        late = await client.post(asked["decide"], json=decision)
        assert (late.status_code, late.json()["recorded"]) == (409, True)
