"""Health: ready only while every part says so, and each part says what is wrong."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from deploy.serving import health
from deploy.serving.health import LATELY_SECONDS, Health, Lately, Waits
from domain.errors import BrokerUnavailable, StoreAway


async def well() -> str:
    return ""


async def unwell() -> str:
    return "queue handrail.goals is missing"


async def broken() -> str:
    raise ConnectionError("refused")


async def hanging() -> str:
    await asyncio.Event().wait()
    return ""


async def test_a_part_that_is_added_while_others_are_asked_is_asked_the_next_time() -> None:
    health = Health()

    async def adds_another() -> str:
        health.checks["second"] = unwell
        return ""

    health.checks["first"] = adds_another
    assert await health.ready() == (True, {"first": "ok"})
    assert await health.ready() == (False, {"first": "ok", "second": "queue handrail.goals is missing"})


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


async def test_who_waits_is_told_with_what_for_and_since_when_until_it_goes_on() -> None:
    now = [datetime(2030, 1, 1, 12, tzinfo=UTC)]
    waits = Waits(lambda: now[0])
    with waits.of("relay") as relay, waits.of("projector") as projector:
        assert await waits() == ""
        relay("write its position", StoreAway("the store is starting"))
        now[0] += timedelta(minutes=1)
        relay("write its position", StoreAway("the store is gone"))
        projector("keep the views", StoreAway("the store is gone"))
        relay("carry on", BrokerUnavailable("the broker is gone"))
        assert (await waits()).split("; ") == [
            "relay waits since 2030-01-01T12:00:00Z to write its position: the store is gone",
            "projector waits since 2030-01-01T12:01:00Z to keep the views: the store is gone",
            "relay waits since 2030-01-01T12:01:00Z to carry on: the broker is gone",
        ]
        relay("carry on", None)
        relay("write its position", None)
        projector("keep the views", None)
        projector("keep the views", None)
        assert await waits() == ""


async def test_a_role_that_ended_or_is_anothers_waits_for_nothing() -> None:
    waits = Waits(lambda: datetime(2030, 1, 1, tzinfo=UTC))
    with waits.of("projector") as projector:
        projector("keep the views", StoreAway("gone"))
        with waits.of("relay") as relay:
            relay("carry on", StoreAway("gone"))
        assert await waits() == "projector waits since 2030-01-01T00:00:00Z to keep the views: gone"
    assert await waits() == ""
