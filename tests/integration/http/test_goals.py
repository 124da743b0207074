"""Goals and operators over HTTP: accepted once, looked at, paused, cancelled."""

import asyncio
import re

from domain.state import Status
from tests.integration.flows import GATED, World
from tests.integration.http.conftest import Endpoint, problem


async def test_a_goal_is_accepted_with_the_id_of_its_workflow(endpoint: Endpoint) -> None:
    body = {"goal": "chain", "input": {"i": 3}, "tags": {"team": "blue"}, "requested_by": "mallory"}
    answer = await endpoint.post("/goals", body, "rita", "requester")
    assert answer.status_code == 202
    accepted = answer.json()
    assert re.fullmatch("wf_[a-z2-7]{26}", accepted["workflow_id"])
    assert answer.headers["location"] == f"/workflows/{accepted['workflow_id']}"
    assert (accepted["outcome"], accepted["repeated"], accepted["ignored"]) == ("stored", False, ["requested_by"])
    state = await endpoint.runtime.wait(accepted["workflow_id"], timeout=10)
    assert (state.status, state.requested_by, state.tags) == (Status.COMPLETED, "rita", {"team": "blue"})
    shown = (await endpoint.get(answer.headers["location"])).json()
    assert (shown["status"], shown["ended"], shown["waits"]) == ("completed", True, [])
    assert [step["status"] for step in shown["steps"]] == ["ok"] * 5


async def test_the_same_key_is_the_same_goal(endpoint: Endpoint) -> None:
    headers = endpoint.headers("rita", "requester") | {"Idempotency-Key": "order-7"}
    body = {"goal": "chain", "input": {"i": 3}}
    first = await endpoint.client.post("/goals", json=body, headers=headers)
    again = await endpoint.client.post("/goals", json={**body, "unknown": 1}, headers=headers)
    assert again.json()["workflow_id"] == first.json()["workflow_id"]
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    for other in ({"goal": "asking"}, {**body, "tags": {"a": "b"}}, {"goal": "chain", "input": {"i": 4}}):
        problem(await endpoint.client.post("/goals", json=other, headers=headers), 422, "key-reused")
    assert len(endpoint.runtime.store.workflow_ids()) == 1
    others = await endpoint.post("/goals", body, "sam", "requester", key="order-7")
    assert others.json()["workflow_id"] != first.json()["workflow_id"]


async def test_the_same_key_many_times_at_once_is_one_goal(endpoint: Endpoint) -> None:
    headers = endpoint.headers("rita", "requester") | {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(endpoint.client.post("/goals", json={"goal": "chain"}, headers=headers) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["workflow_id"] for answer in answers}) == 1
    assert len(endpoint.runtime.store.workflow_ids()) == 1


async def test_the_same_key_with_different_bodies_at_once_is_one_goal(endpoint: Endpoint) -> None:
    headers = endpoint.headers("rita", "requester") | {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(
            endpoint.client.post("/goals", json={"goal": "chain", "tags": {"n": str(n % 2)}}, headers=headers)
            for n in range(10)
        )
    )
    assert {answer.status_code for answer in answers} == {202, 422}
    assert len(endpoint.runtime.store.workflow_ids()) == 1


async def test_an_operator_pauses_resumes_and_cancels(endpoint: Endpoint) -> None:
    workflow_id = await endpoint.runtime.start("gated", GATED, requested_by="alice")
    await World.current.here.wait()
    path = f"/workflows/{workflow_id}"
    act = {"reason": "maintenance", "by": "mallory"}
    paused = await endpoint.post(f"{path}/pause", act, "olga", "operator")
    assert (paused.status_code, paused.json()["effect"], paused.json()["ignored"]) == (200, "applied", ["by"])
    again = await endpoint.post(f"{path}/pause", act, "olga", "operator")
    assert again.json()["outcome"] == "ignored"
    assert (await endpoint.get(path)).json()["status"] == "paused"
    await endpoint.post(f"{path}/resume", act, "olga", "operator")
    assert (await endpoint.post(f"{path}/cancel", act, "olga", "operator")).status_code == 200
    World.current.open(workflow_id)
    assert (await endpoint.runtime.wait(workflow_id, timeout=10)).status is Status.CANCELLED
    refused = problem(await endpoint.post(f"{path}/cancel", act, "olga", "operator"), 409, "refused")
    assert refused["recorded"] is True
    pauses = [one.event for one in endpoint.runtime.store.read(workflow_id) if one.name == "WorkflowPaused"]
    assert [getattr(event, "by", "") for event in pauses] == ["olga"]


async def test_an_act_without_a_reason_is_refused(endpoint: Endpoint) -> None:
    workflow_id = await endpoint.runtime.start("gated", GATED, requested_by="alice")
    answer = await endpoint.post(f"/workflows/{workflow_id}/pause", {}, "olga", "operator")
    assert problem(answer, 422, "body-unfit")["faults"][0]["field"] == "reason"
    World.current.open(workflow_id)


async def test_an_operator_forks_once_for_a_key_and_is_told_where_it_cannot_be(endpoint: Endpoint) -> None:
    begun = await endpoint.post("/goals", {"goal": "chain", "input": {"i": 3}}, "rita", "requester")
    source = begun.json()["workflow_id"]
    await endpoint.runtime.wait(source, timeout=10)
    path, act = f"/workflows/{source}", {"version": 3, "reason": "once more", "input": {"i": 4}}
    for outcome in (False, True):
        answer = await endpoint.post(f"{path}/fork", act, "olga", "operator", key="fork-1")
        assert (answer.status_code, answer.json()["outcome"], answer.json()["repeated"]) == (200, "done", outcome)
    ((fork, version),) = (await endpoint.get(path)).json()["forks"].items()
    assert version == 3
    async with asyncio.timeout(20):
        async for recorded in endpoint.runtime.follow(fork):
            if recorded.name == "WorkflowCompleted":
                break
    shown = (await endpoint.get(f"/workflows/{fork}")).json()
    assert (shown["forked_from"], shown["forked_at"], shown["input"]["i"]) == (source, 3, 4)
    unfit = await endpoint.post(f"{path}/fork", {**act, "version": 2}, "olga", "operator")
    if unfit.status_code != 202:  # over a broker it is in the dead queue then
        assert "in the middle of a decision" in problem(unfit, 422, "unfit")["detail"]
    assert len((await endpoint.get(path)).json()["forks"]) == 1
    assert (await endpoint.post(f"{path}/fork", act, "rita", "requester")).status_code == 403
