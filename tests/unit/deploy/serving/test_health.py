"""Health: ready only while every part says so, and each part says what is wrong."""

import asyncio

import pytest

from deploy.serving import health
from deploy.serving.health import LATELY_SECONDS, Health, Lately


async def well() -> str:
    return ""


async def unwell() -> str:
    return "queue handrail.goals is missing"


async def broken() -> str:
    raise ConnectionError("refused")


async def hanging() -> str:
    await asyncio.Event().wait()
    return ""


async def test_ready_while_every_part_is_well() -> None:
    assert await Health({"store": well, "broker": well}).ready() == (True, {"store": "ok", "broker": "ok"})


async def test_each_part_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    ready, parts = await Health({"a": well, "b": unwell, "c": broken, "d": hanging}).ready()
    assert not ready
    assert parts == {
        "a": "ok",
        "b": "queue handrail.goals is missing",
        "c": "refused",
        "d": "gave no answer within 0.05 s",
    }


async def test_a_process_that_ends_takes_nothing_new() -> None:
    ready, parts = await Health({"store": well}, draining=True).ready()
    assert not ready
    assert "ending" in parts["process"]


async def test_what_somebody_fell_over_is_told_until_it_has_been_well_for_a_while() -> None:
    now = [0.0]
    lately = Lately(lambda: now[0])
    assert await lately() == ""
    lately.note("relay: the store lacks a table")
    assert await lately() == "relay: the store lacks a table"
    now[0] += LATELY_SECONDS - 1
    lately.note("relay: the store lacks a table")
    now[0] += LATELY_SECONDS - 1
    assert await lately() == "relay: the store lacks a table"
    now[0] += 2
    assert await lately() == ""
