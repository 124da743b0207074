"""What bad requests get: a problem that says what is wrong, and nothing recorded."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import StoreUnavailable
from domain.messages.names import BODY_BYTES, GOAL_BODY_BYTES
from tests.integration.flows import ASKING
from tests.integration.http.conftest import Endpoint, decision, problem

JSON = "application/json"
DEEP = b'{"goal": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"

# What is sent to POST /goals: the body, its type, and the status and name of the problem.
GOALS: list[tuple[bytes, str, int, str]] = [
    (b"", JSON, 400, "body-unfit"),
    (b"goal=x", "application/x-www-form-urlencoded", 415, "not-json"),
    (b'{"goal": "chain"}', "", 415, "not-json"),
    (b'{"goal": "chain"}', "text/plain", 415, "not-json"),
    (b'{"goal": "chain"}', "application/json; charset=latin-1", 415, "not-json"),
    (b"{", JSON, 400, "body-unfit"),
    (b"\xff\xfe", JSON, 400, "body-unfit"),
    (b'{"goal": "chain", "goal": "asking"}', JSON, 400, "body-unfit"),
    (b'{"goal": "chain", "input": {"i": NaN}}', JSON, 400, "body-unfit"),
    (b'{"goal": "chain", "input": {"i": 1e999}}', JSON, 400, "body-unfit"),
    (b'{"goal": "chain", "input": {"i": 9007199254740992}}', JSON, 400, "body-unfit"),
    (b'{"goal": "ch\\u0000ain"}', JSON, 400, "body-unfit"),
    (b'{"goal": "\\ud800"}', JSON, 400, "body-unfit"),
    (DEEP, JSON, 400, "body-unfit"),
    (b"[]", JSON, 422, "body-unfit"),
    (b'"chain"', JSON, 422, "body-unfit"),
    (b"{}", JSON, 422, "body-unfit"),
    (b'{"goal": 7}', JSON, 422, "body-unfit"),
    (b'{"goal": "  "}', JSON, 422, "body-unfit"),
    (b'{"goal": "chain", "input": []}', JSON, 422, "body-unfit"),
    (b'{"goal": "chain", "tags": {"a": 1}}', JSON, 422, "body-unfit"),
    (b'{"goal": "chain", "tags": {"a\\n": "1"}}', JSON, 422, "body-unfit"),
    (b'{"goal": "chain", "deadline": "tomorrow"}', JSON, 422, "body-unfit"),
    (b'{"goal": "chain", "deadline": "2030-01-01T00:00:00"}', JSON, 422, "body-unfit"),
    (b'{"goal": "nobody knows this"}', JSON, 422, "unfit"),
    (b'{"goal": "x", "definition": "nobody knows this"}', JSON, 422, "unfit"),
    (b'{"goal": "' + b"x" * GOAL_BODY_BYTES + b'"}', JSON, 413, "too-large"),
]


@pytest.mark.parametrize(("body", "kind", "status", "name"), GOALS, ids=[str(number) for number in range(len(GOALS))])
async def test_a_bad_goal_is_refused(endpoint: Endpoint, body: bytes, kind: str, status: int, name: str) -> None:
    headers = endpoint.headers("rita", "requester") | ({"Content-Type": kind} if kind else {})
    problem(await endpoint.client.post("/goals", content=body, headers=headers), status, name)
    assert endpoint.runtime.store.newest() == 0


async def test_a_body_without_an_announced_length_is_bounded_too(endpoint: Endpoint) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100 * BODY_BYTES:
            sent += 65_536
            yield b" " * 65_536

    path, _ = decision(await endpoint.blocked(ASKING))
    headers = endpoint.headers("carol", "approver") | {"Content-Type": JSON}
    problem(await endpoint.client.post(path, content=endless(), headers=headers), 413, "too-large")


BODIES: list[dict[str, Any]] = [
    {"decision": "maybe"},
    {"decision": None},
    {"digest": None},
    {"digest": "abc"},
    {"digest": "G" * 64},
    {"controls": "annual review"},
    {"controls": [""]},
    {"controls": ["a\nb"]},
    {"controls": ["x"] * 101},
    {"controls": ["x" * 201]},
    {"reason": 5},
    {"reason": "x" * 2_001},
]


@pytest.mark.parametrize("wrong", BODIES, ids=str)
async def test_a_bad_decision_is_refused_and_counts_for_nothing(endpoint: Endpoint, wrong: dict[str, Any]) -> None:
    path, body = decision(await endpoint.blocked(ASKING))
    version = endpoint.runtime.store.load("wf_001").version
    refused = problem(await endpoint.post(path, {**body, **wrong}, "carol", "approver"), 422, "body-unfit")
    assert refused["faults"][0]["field"].startswith(next(iter(wrong)))
    assert endpoint.runtime.store.load("wf_001").version == version


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there"])
async def test_a_bad_key_is_refused(endpoint: Endpoint, key: str) -> None:
    problem(await endpoint.post("/goals", {"goal": "chain"}, "rita", "requester", key=key), 422, "key-unfit")


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=٣", "after=" + "x" * 300])
async def test_a_bad_query_is_refused(endpoint: Endpoint, query: str) -> None:
    problem(await endpoint.get(f"/approvals?{query}"), 422, "query-unfit")


@pytest.mark.parametrize("path", ["/", "/nothing", "/workflows", "/workflows/", "/approvals/", "/workflows/a/b/c/d"])
async def test_what_is_not_there_is_a_problem_too(endpoint: Endpoint, path: str) -> None:
    problem(await endpoint.get(path), 404, "no-such-place")


@pytest.mark.parametrize("name", ["wf_9", "UPPER", "a b", "x" * 300, "%00", "..", "%E2%82%AC"])
async def test_an_unknown_workflow_is_not_found(endpoint: Endpoint, name: str) -> None:
    answer = await endpoint.get(f"/workflows/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_names_the_right_one(endpoint: Endpoint) -> None:
    answer = await endpoint.client.delete("/goals")
    problem(answer, 405, "wrong-method")
    assert answer.headers["allow"] == "POST"


async def test_an_encoded_body_is_refused(endpoint: Endpoint) -> None:
    headers = endpoint.headers("rita", "requester") | {"Content-Type": JSON, "Content-Encoding": "gzip"}
    problem(await endpoint.client.post("/goals", content=b"\x1f\x8b", headers=headers), 415, "encoded")


@pytest.mark.parametrize(
    ("error", "status"), [(StoreUnavailable("the disk /secret is full"), 503), (KeyError("k"), 500)]
)
async def test_trouble_within_is_told_without_its_details(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    headers = endpoint.headers("vera", "viewer")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(endpoint.runtime.store, "load", fail)
    answer = await endpoint.client.get("/workflows/wf_001", headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_every_answer_has_the_security_headers(endpoint: Endpoint) -> None:
    for answer in (
        await endpoint.get("/approvals"),
        await endpoint.get("/nothing"),
        await endpoint.client.get("/goals"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    ["goal", "definition", "input", "tags", "deadline", "decision", "digest", "controls", "reason"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(FIELDS, JSON_VALUES, max_size=6) | JSON_VALUES | st.binary(max_size=200))
async def test_whatever_is_sent_is_answered(endpoint: Endpoint, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = endpoint.headers("all", "requester", "approver", "operator") | {"Content-Type": JSON}
    for path in ("/goals", "/workflows/wf_001/approvals/ask.1", "/workflows/wf_001/cancel"):
        answer: httpx.Response = await endpoint.client.post(path, content=content, headers=headers)
        assert answer.status_code in {202, 400, 404, 422}, answer.text
