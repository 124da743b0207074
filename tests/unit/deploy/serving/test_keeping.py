"""A role's loop is begun again whatever it fell over; a store that is away is no fault that needs a trace each time."""

import asyncio
import contextlib
import logging

import pytest

from deploy.serving import keeping
from deploy.serving.health import LATELY_SECONDS
from deploy.serving.keeping import kept_up
from domain.errors import StoreAway


async def fallen(errors: list[Exception], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is noted of a loop that falls over each of these, and then works."""
    monkeypatch.setattr(keeping, "RESTART_SECONDS", 0.0)
    noted: list[str] = []
    working = asyncio.Event()

    async def loop() -> None:
        if errors:
            raise errors.pop(0)
        working.set()
        await asyncio.Event().wait()

    keeping_up = asyncio.create_task(kept_up("leases", loop, noted.append, chance=lambda: 0.0))
    await asyncio.wait_for(working.wait(), 10)
    keeping_up.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping_up
    return noted


async def test_a_store_that_is_away_is_told_once_and_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    noted = await fallen([StoreAway("it is stopped"), StoreAway("it is stopped"), StoreAway("it starts")], monkeypatch)
    assert noted == ["leases: it is stopped", "leases: it is stopped", "leases: it starts"]
    assert [(one.levelno, one.getMessage(), one.exc_info) for one in caplog.records] == [
        (logging.WARNING, f"leases stopped, and begins again when the store is there: {words}", None)
        for words in ("it is stopped", "it starts")
    ]


async def test_a_fault_has_its_trace_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    noted = await fallen([KeyError("one"), KeyError("two")], monkeypatch)
    assert noted == ["leases: KeyError: 'one'", "leases: KeyError: 'two'"]
    assert [(one.levelno, one.exc_info is not None) for one in caplog.records] == [(logging.ERROR, True)] * 2


def test_what_falls_each_time_is_never_told_to_be_well() -> None:
    assert keeping.LONGEST_PAUSE_SECONDS < LATELY_SECONDS
