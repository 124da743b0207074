"""Every role at every route: let in, or turned away; and tokens that do not count."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from starlette.requests import Request

from deploy.http.app import make_app
from deploy.http.auth import FAILURES_TOLD, FailureLog, Gate, Right
from deploy.http.desk_local import LocalDesk
from deploy.http.home import HomeHealth
from deploy.http.problems import Problem
from deploy.roles import Role
from deploy.tokens import create_token, find_bearer, list_tokens, revoke_tokens
from domain.errors import InputInvalid
from domain.messages.bodies import CONTROL_VERBS
from tests.integration.http.conftest import Endpoint, problem

LOOKING = [("GET", "/approvals"), ("GET", "/workflows/wf_404")]
REQUESTING = [("POST", "/goals")]
DECIDING = [("POST", "/workflows/wf_404/approvals/ask.1")]
OPERATING = [("POST", f"/workflows/wf_404/{verb}") for verb in CONTROL_VERBS]
EVERYTHING = [*LOOKING, *REQUESTING, *DECIDING, *OPERATING]
MAY = {
    Role.VIEWER: LOOKING,
    Role.REQUESTER: [*LOOKING, *REQUESTING],
    Role.APPROVER: [*LOOKING, *DECIDING],
    Role.OPERATOR: [*LOOKING, *OPERATING],
}


@pytest.mark.parametrize("role", Role)
async def test_each_role_at_each_route(endpoint: Endpoint, role: Role) -> None:
    headers = endpoint.headers("someone", role)
    for method, path in EVERYTHING:
        answer = await endpoint.client.request(method, path, headers=headers)
        if (method, path) in MAY[role]:
            # Whoever is let in is told about the request itself: a missing body, or an unknown workflow.
            assert answer.status_code in {200, 404, 415}, (method, path)
        else:
            refused = problem(answer, 403, "not-allowed")
            assert "someone" in refused["detail"]
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_the_table_of_routes_is_whole(endpoint: Endpoint) -> None:
    health, metrics = HomeHealth(endpoint.runtime), endpoint.runtime.metrics
    app = make_app(LocalDesk(endpoint.runtime), lambda _: None, health, metrics)  # type: ignore[arg-type, return-value]  # nobody asks
    routes = app._app.routes  # type: ignore[attr-defined]
    known = {
        (method, route.path.replace("{workflow_id}", "wf_404").replace("{approval_id}", "ask.1"))
        for route in routes
        for method in route.methods - {"HEAD"}
    }
    assert known == {*EVERYTHING, ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/readyz")}


async def test_metrics_are_told_to_whoever_asks_and_name_no_workflow(endpoint: Endpoint) -> None:
    workflow_id = await endpoint.runtime.start("asking", requested_by="rosa")
    answer = await endpoint.client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "handrail_ready 1.0\n" in answer.text
    assert "\nhandrail_turns_total 0.0\n" not in answer.text
    assert workflow_id not in answer.text
    assert "rosa" not in answer.text


async def test_nobody_gets_in_without_a_token(endpoint: Endpoint) -> None:
    for method, path in EVERYTHING:
        answer = await endpoint.client.request(method, path)
        problem(answer, 401, "not-authenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="handrail"'


async def test_several_roles_may_what_each_may(endpoint: Endpoint) -> None:
    headers = endpoint.headers("olga", Role.OPERATOR, Role.APPROVER)
    for method, path in [*DECIDING, *OPERATING]:
        answer = await endpoint.client.request(method, path, headers=headers)
        assert answer.status_code in {404, 415}


def wrong_tokens(right: str) -> Iterator[str]:
    yield ""
    yield "Bearer"
    yield "Bearer "
    yield right.removeprefix("Bearer ")
    yield right.replace("Bearer", "Basic")
    yield right[:-1]
    yield f"{right}A"
    yield f"{right} {right}"
    yield right[:-2] + ("AA" if right[-2:] != "AA" else "BB")
    yield "Bearer hrt_aaaaaaaa_" + "A" * 43
    yield "Bearer " + "x" * 10_000
    yield "Bearer hrt_' OR 1=1 --"


async def test_wrong_tokens_do_not_count(endpoint: Endpoint) -> None:
    right = endpoint.headers("vera", "viewer")["Authorization"]
    for wrong in wrong_tokens(right):
        answer = await endpoint.client.get("/approvals", headers={"Authorization": wrong})
        problem(answer, 401, "not-authenticated")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], wrong
    twice = await endpoint.client.get("/approvals", headers=[("Authorization", right), ("Authorization", right)])
    problem(twice, 401, "not-authenticated")
    assert (await endpoint.client.get("/approvals", headers={"Authorization": right})).status_code == 200


async def test_a_revoked_token_ends_at_once(endpoint: Endpoint) -> None:
    headers = endpoint.headers("vera", "viewer")
    assert (await endpoint.client.get("/approvals", headers=headers)).status_code == 200
    (revoked,) = revoke_tokens(endpoint.runtime.store, revoked_by="root", name="vera")
    assert revoked.state == "revoked"
    problem(await endpoint.client.get("/approvals", headers=headers), 401, "not-authenticated")
    assert revoke_tokens(endpoint.runtime.store, revoked_by="root", name="vera") == []
    with pytest.raises(InputInvalid, match="no token of 'nobody'"):
        revoke_tokens(endpoint.runtime.store, revoked_by="root", name="nobody")


async def test_a_token_ends_when_it_expires(endpoint: Endpoint) -> None:
    store = endpoint.runtime.store
    text, row = create_token(
        store, name="temp", roles=[Role.VIEWER], created_by="root", expires_in=timedelta(seconds=60)
    )
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at) == timedelta(seconds=60)
    bearer = find_bearer(store, text)
    assert bearer is not None
    assert (bearer.name, bearer.roles) == ("temp", frozenset({Role.VIEWER}))
    with store.transaction() as cursor:
        cursor.execute("UPDATE tokens SET expires_at = ?", (cursor.now(),))
    assert find_bearer(store, text) is None
    assert [one.state for one in list_tokens(store)] == ["expired"]


async def test_nothing_of_a_token_is_kept_but_its_hash(endpoint: Endpoint) -> None:
    text = endpoint.token("vera", "viewer")
    secret = text.split("_", 2)[2]
    (row,) = endpoint.runtime.store.query("SELECT * FROM tokens")
    assert secret not in str(row)
    await endpoint.client.get("/approvals", headers={"Authorization": f"Bearer {text}"})
    for path in endpoint.runtime.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


async def test_failed_attempts_are_told_a_few_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]

    async def nobody(_: str) -> None:
        return None

    gate = Gate(nobody, FailureLog(lambda: now[0]))

    async def never(*_: object) -> None:
        raise AssertionError("let in")

    guarded = gate.guard(Right.LOOK, never)  # type: ignore[arg-type]  # nobody gets there
    scope = {"type": "http", "headers": [(b"authorization", b"Bearer hrt_something-secret")], "client": ("10.0.0.9", 1)}
    with caplog.at_level(logging.WARNING, "handrail.http"):
        for _ in range(FAILURES_TOLD + 40):
            with pytest.raises(Problem):
                await guarded(Request(dict(scope)))
        assert len(caplog.records) == FAILURES_TOLD
        now[0] += 61
        with pytest.raises(Problem):
            await guarded(Request(dict(scope)))
    assert [record.getMessage() for record in caplog.records[FAILURES_TOLD:]] == [
        "40 further requests were turned away",
        "a request from 10.0.0.9 was turned away: its token is unknown, revoked or expired",
    ]
    assert "something-secret" not in caplog.text


async def test_health_needs_no_token(endpoint: Endpoint) -> None:
    assert (await endpoint.client.get("/healthz")).json() == {"status": "ok"}
    assert (await endpoint.client.get("/readyz")).json() == {"status": "ok", "parts": {"store": "ok"}}


async def test_who_is_not_ready_says_so() -> None:
    class Ill:
        async def ready(self) -> tuple[bool, dict[str, str]]:
            return False, {"store": "gone"}

    app = make_app(None, lambda _: None, Ill())  # type: ignore[arg-type, return-value]  # nobody asks them
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://desk") as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["parts"]) == (503, {"store": "gone"})
        assert (await client.get("/healthz")).status_code == 200
