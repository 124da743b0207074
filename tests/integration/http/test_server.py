"""The server on a real port: what a client may take its time for, and what it may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from deploy.http.connection import HEADER_BYTES, BoundedConnection
from deploy.http.server import address_of, is_loopback, listen, served
from deploy.http.wrapping import Wrapped
from domain.errors import InputInvalid

LIMIT_SECONDS = 20.0


class Hasty(BoundedConnection):
    """Does not wait long."""

    begins_seconds = 0.05


class Small(BoundedConnection):
    """Has room for two."""

    connections_at_once = 2


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads what is posted to /read, never answers at /hang, and answers anything else at once."""
    while scope["path"] == "/read" and (await receive()).get("more_body"):
        pass
    if scope["path"] == "/hang":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def serve(connection: type[BoundedConnection], **options: Any) -> AsyncIterator[tuple[str, int]]:
    listening = listen("127.0.0.1", 0)
    place = listening.getsockname()
    async with served(Wrapped(app, **options), listening, connection):
        yield place


@pytest.fixture
async def patient() -> AsyncIterator[tuple[str, int]]:
    async for place in serve(BoundedConnection):
        yield place


@pytest.fixture
async def hasty() -> AsyncIterator[tuple[str, int]]:
    async for place in serve(Hasty, request_seconds=0.05):
        yield place


@pytest.fixture
async def small() -> AsyncIterator[tuple[str, int]]:
    async for place in serve(Small):
        yield place


def problem_in(answer: bytes) -> dict[str, Any]:
    """The problem that an answer is, sealed as every answer, with the connection at its end."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    for line in ("content-type: application/problem+json", "connection: close", "x-content-type-options: nosniff"):
        assert line in lines, answer
    problem: dict[str, Any] = json.loads(body)
    assert f" {problem['status']} " in head.decode()
    return problem


async def asked(place: tuple[str, int], sent: bytes) -> bytes:
    """All that is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection(*place)
    writer.write(sent)
    async with asyncio.timeout(LIMIT_SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


async def test_who_asks_nothing_is_sent_away(hasty: tuple[str, int]) -> None:
    assert await asked(hasty, b"") == b""


async def test_who_never_ends_the_headers_is_sent_away(hasty: tuple[str, int]) -> None:
    assert await asked(hasty, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""


async def test_who_asks_once_and_then_nothing_is_sent_away(hasty: tuple[str, int]) -> None:
    answer = await asked(hasty, b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n")
    assert answer.count(b"200 OK") == 1


async def test_a_body_that_does_not_come_is_not_waited_for(hasty: tuple[str, int]) -> None:
    answer = await asked(hasty, b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"application/problem+json" in answer


async def test_an_answer_that_does_not_come_is_a_problem(hasty: tuple[str, int]) -> None:
    answer = await asked(hasty, b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"too-slow" in answer


async def test_a_body_that_nobody_reads_ends_the_connection(patient: tuple[str, int]) -> None:
    answer = await asked(patient, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\nabc")
    assert b"200 OK" in answer
    assert b"connection: close" in answer.lower()


async def test_a_connection_is_kept_for_the_next_request(patient: tuple[str, int]) -> None:
    once = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await asked(patient, once + once + last)).count(b"200 OK") == 3


@pytest.mark.parametrize("sent", [b"nonsense", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 99])
async def test_what_is_no_http_is_sent_away(patient: tuple[str, int], sent: bytes) -> None:
    problem = problem_in(await asked(patient, sent + b"\r\n\r\n"))
    assert (problem["status"], problem["type"]) == (400, "urn:handrail:problem:not-http")


async def test_what_stops_being_http_behind_an_answer_is_sent_away(patient: tuple[str, int]) -> None:
    answer = await asked(patient, b"GET / HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n")
    first, _, second = answer.partition(b"ok")
    assert b"200 OK" in first
    assert problem_in(second)["status"] == 400


async def test_what_stops_being_http_within_its_body_is_sent_away(
    patient: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert problem_in(await asked(patient, head + b"3\r\nabc\r\nnonsense\r\n\r\n"))["status"] == 400
    assert caplog.text == ""


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
@pytest.mark.parametrize("size", [HEADER_BYTES, 60_000])
async def test_headers_are_bounded_whether_they_end_or_not(patient: tuple[str, int], size: int, end: bytes) -> None:
    problem = problem_in(await asked(patient, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * size + end))
    assert (problem["status"], problem["type"]) == (431, "urn:handrail:problem:headers-too-large")
    assert str(HEADER_BYTES) in problem["detail"]


async def test_an_address_counts_with_the_headers(patient: tuple[str, int]) -> None:
    answer = await asked(patient, b"GET /?" + b"x" * HEADER_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert problem_in(answer)["status"] == 431


async def test_headers_within_the_bound_are_taken(patient: tuple[str, int]) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: "
    answer = await asked(patient, head + b"x" * (HEADER_BYTES - len(head) - 4) + b"\r\n\r\n")
    assert b"200 OK" in answer


async def test_more_connections_than_there_is_room_for_are_told_so(small: tuple[str, int]) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n"
    async with asyncio.timeout(LIMIT_SECONDS):
        open_ones = [await asyncio.open_connection(*small) for _ in range(2)]
        for reader, writer in open_ones:
            writer.write(request + b"\r\n")
            assert b"200 OK" in await reader.readuntil(b"ok")
        problem = problem_in(await asked(small, request + b"\r\n"))
        assert (problem["status"], problem["type"]) == (503, "urn:handrail:problem:busy")
        for _, writer in open_ones:
            writer.close()
            await writer.wait_closed()
        while b"200 OK" not in await asked(small, request + b"Connection: close\r\n\r\n"):
            pass


def test_where_it_listens_is_told() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert address_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert is_loopback(listening)
    with listen("0.0.0.0", 0) as listening:  # noqa: S104 - that is the case
        assert not is_loopback(listening)
    for host, port in (("nowhere.invalid", 0), ("192.0.2.1", 0), ("", 0), ("x" * 300, 0)):
        if host:
            with pytest.raises(InputInvalid):
                listen(host, port)
