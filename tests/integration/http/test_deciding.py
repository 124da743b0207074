"""Approvals over HTTP: shown with all that a person needs, decided by whoever the token says."""

import asyncio

from domain import events as e
from domain.state import Status
from projections.schema import POSITION
from tests.integration.flows import ASKING, until
from tests.integration.http.conftest import COUNCIL, EYES, Endpoint, decision, problem


def refusals(endpoint: Endpoint, workflow_id: str) -> list[e.DecisionRefused]:
    events = [recorded.event for recorded in endpoint.runtime.store.read(workflow_id)]
    return [event for event in events if isinstance(event, e.DecisionRefused)]


async def test_a_pending_approval_is_shown_with_all_that_a_person_needs(endpoint: Endpoint) -> None:
    state = await endpoint.blocked(ASKING)
    answer = await endpoint.get("/approvals", "carol", "approver")
    assert answer.status_code == 200
    (shown,) = answer.json()["approvals"]
    (ballot,) = state.ballots.values()
    assert shown["workflow_id"] == "wf_001"
    assert shown["digest"] == ballot.request.digest
    assert shown["input"] == {"i": 1}
    assert shown["evidence"] == {"points": 9}
    assert shown["requested_by"] == "alice"
    assert shown["reason"] == "manual approval"
    assert shown["policy"]["required"] == 1
    assert shown["votes"]["approved_by"] == []
    assert shown["deadline_at"] == shown["policy"]["deadline_at"] is not None
    assert shown["you"] == {"name": "carol", "may_decide": True, "why_not": None}
    assert shown["decide"] == "/workflows/wf_001/approvals/ask.1"


async def test_an_approval_moves_the_workflow_on(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(ASKING), controls=["annual review"], reason="all fine")
    answer = await endpoint.post(path, body, "carol", "approver")
    assert answer.status_code == 200
    assert (answer.json()["outcome"], answer.json()["effect"]) == ("done", "granted")
    state = await endpoint.runtime.wait("wf_001", timeout=10)
    assert state.status is Status.COMPLETED
    assert state.controls == ["annual review"]
    assert state.grants["ask"].decided_by == ["carol"]
    assert (await endpoint.get("/approvals")).json()["approvals"] == []


async def test_a_list_says_how_far_it_is_behind(endpoint: Endpoint) -> None:
    await endpoint.blocked(ASKING)
    store = endpoint.runtime.store
    await until(
        lambda: store.query("SELECT position FROM positions WHERE name = ?", (POSITION,)) == [(store.newest(),)]
    )
    assert (await endpoint.get("/approvals")).json()["behind"] == 0
    with store.transaction() as cursor:
        cursor.execute("UPDATE positions SET position = position - 2 WHERE name = ?", (POSITION,))
    assert (await endpoint.get("/approvals")).json()["behind"] == 2


async def test_a_damaged_workflow_hides_no_other(endpoint: Endpoint) -> None:
    for _ in range(2):
        await endpoint.blocked(ASKING)
    with endpoint.runtime.store.transaction() as cursor:
        cursor.execute("UPDATE stored_events SET topic = 'NobodyKnows' WHERE originator_id = 'wf_001'")
    page = (await endpoint.get("/approvals")).json()
    assert [one["workflow_id"] for one in page["approvals"]] == ["wf_002"]
    assert page["unreadable"] == ["wf_001"]


async def test_a_rejection_says_why(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(ASKING), "reject")
    problem(await endpoint.post(path, body, "carol", "approver"), 422, "body-unfit")
    answer = await endpoint.post(path, {**body, "reason": "no contract"}, "carol", "approver")
    assert answer.json()["effect"] == "rejected"
    assert (await endpoint.runtime.wait("wf_001", timeout=10)).ended is not None


async def test_the_approver_is_the_tokens_name_whatever_the_body_says(endpoint: Endpoint) -> None:
    path, body = decision(
        await endpoint.blocked(ASKING), decided_by="mallory", workflow_id="wf_999", approval_id="x.1", round=7
    )
    answer = await endpoint.post(path, body, "carol", "approver")
    assert answer.status_code == 200
    assert answer.json()["ignored"] == ["approval_id", "decided_by", "round", "workflow_id"]
    state = await endpoint.runtime.wait("wf_001", timeout=10)
    assert state.grants["ask"].decided_by == ["carol"]
    events = [one.event for one in endpoint.runtime.store.read("wf_001")]
    assert [event.decided_by for event in events if isinstance(event, e.ApprovalRecorded)] == ["carol"]


async def test_four_eyes_refuse_the_requester_and_record_it(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(EYES))
    shown = (await endpoint.get("/approvals", "alice", "approver")).json()["approvals"][0]["you"]
    assert shown["may_decide"] is False
    refused = problem(await endpoint.post(path, body, "alice", "approver"), 409, "refused")
    assert "four eyes" in refused["detail"]
    assert refused["recorded"] is True
    (event,) = refusals(endpoint, "wf_001")
    assert (event.decided_by, event.reason) == ("alice", refused["detail"])
    assert (await endpoint.post(path, body, "carol", "approver")).status_code == 200


async def test_another_digest_is_refused_and_recorded(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(ASKING))
    refused = await endpoint.post(path, {**body, "digest": "0" * 64}, "carol", "approver")
    assert "digest" in problem(refused, 409, "refused")["detail"]
    assert len(refusals(endpoint, "wf_001")) == 1


async def test_a_decision_that_comes_too_late_is_refused(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(ASKING))
    await endpoint.post(path, body, "carol", "approver")
    await endpoint.runtime.wait("wf_001", timeout=10)
    refused = problem(await endpoint.post(path, body, "dave", "approver"), 409, "refused")
    assert "completed" in refused["detail"]
    assert refused["workflow_status"] == "completed"


async def test_votes_are_counted_until_there_are_enough(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(COUNCIL))
    assert (await endpoint.post(path, body, "ann", "approver")).json()["effect"] == "counted"
    (shown,) = (await endpoint.get("/approvals", "ann", "approver")).json()["approvals"]
    assert shown["votes"]["approved_by"] == ["ann"]
    assert shown["you"]["why_not"] == "has already decided in this round"
    # A second token of the same person is the same person.
    assert "already" in problem(await endpoint.post(path, body, "ann", "approver"), 409, "refused")["detail"]
    assert "may not" in problem(await endpoint.post(path, body, "eve", "approver"), 409, "refused")["detail"]
    assert (await endpoint.post(path, body, "bob", "approver")).json()["effect"] == "granted"


async def test_the_same_key_is_the_same_decision(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(COUNCIL))
    token = endpoint.headers("ann", "approver") | {"Idempotency-Key": "k-1"}
    first = await endpoint.client.post(path, json=body, headers=token)
    again = await endpoint.client.post(path, json=body, headers=token)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == {**first.json(), "repeated": True}
    assert refusals(endpoint, "wf_001") == []
    other = await endpoint.client.post(path, json={**body, "reason": "on reflection"}, headers=token)
    problem(other, 422, "key-reused")
    # Somebody else's key of the same name is another key.
    assert (await endpoint.post(path, body, "bob", "approver", key="k-1")).json()["effect"] == "granted"


async def test_a_repeated_refusal_is_the_same_refusal(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(EYES))
    first = problem(await endpoint.post(path, body, "alice", "approver", key="k"), 409, "refused")
    again = problem(await endpoint.post(path, body, "alice", "approver", key="k"), 409, "refused")
    assert again == {**first, "repeated": True}
    assert len(refusals(endpoint, "wf_001")) == 1


async def test_the_same_key_twice_at_once_decides_once(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(COUNCIL))
    headers = endpoint.headers("ann", "approver") | {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(endpoint.client.post(path, json=body, headers=headers) for _ in range(8)))
    assert {(answer.status_code, answer.json()["effect"]) for answer in answers} == {(200, "counted")}
    assert endpoint.runtime.store.load("wf_001").ballots["ask"].grants == ["ann"]


async def test_what_was_never_asked_for_is_not_found(endpoint: Endpoint) -> None:
    path, body = decision(await endpoint.blocked(ASKING))
    for wrong in ("/workflows/wf_001/approvals/nothing.1", f"{path}x", "/workflows/wf_001/approvals/ask.0"):
        problem(await endpoint.post(wrong, body, "carol", "approver"), 404, "no-such-approval")
    problem(await endpoint.post("/workflows/wf_9/approvals/ask.1", body, "carol", "approver"), 404, "no-such-workflow")
    assert refusals(endpoint, "wf_001") == []


async def test_approvals_come_in_pages_and_by_definition(endpoint: Endpoint) -> None:
    for definition in (ASKING, COUNCIL, ASKING, ASKING):
        await endpoint.blocked(definition)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await endpoint.get("/approvals", params={"limit": "1", "after": after})).json()
        seen += [one["workflow_id"] for one in page["approvals"]]
        after = page["after"]
    assert seen == ["wf_001", "wf_002", "wf_003", "wf_004"]
    council = (await endpoint.get("/approvals", params={"definition": "council"})).json()["approvals"]
    assert [one["workflow_id"] for one in council] == ["wf_002"]
