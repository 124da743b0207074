"""A role whose process the broker refuses is ended after a while; whatever else keeps the broker away is waited out."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from deploy.serving.accepted import REFUSED_FOR, while_accepted
from domain.errors import BrokerUnavailable
from domain.transport import LinkHealth

SINCE = datetime(2030, 1, 1, tzinfo=UTC)
REFUSED = LinkHealth(connected=False, since=SINCE, detail="ACCESS_REFUSED - Login was refused using PLAIN")


async def until(event: asyncio.Event) -> None:
    await event.wait()


async def forever() -> None:
    await until(asyncio.Event())


async def test_a_login_refused_for_too_long_ends_the_role() -> None:
    role = asyncio.ensure_future(forever())
    with pytest.raises(BrokerUnavailable, match="refuses this process's login since 00:00:00, so another may lead"):
        await while_accepted(role, lambda: REFUSED, lambda: SINCE + REFUSED_FOR, every_seconds=0.001)
    assert role.cancelled()


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        (REFUSED, REFUSED_FOR - timedelta(milliseconds=1)),
        (LinkHealth(connected=False, since=SINCE, detail="Connection refused"), timedelta(days=1)),
        (LinkHealth(connected=True, since=SINCE), timedelta(days=1)),
    ],
)
async def test_otherwise_the_role_goes_on_to_its_own_end(said: LinkHealth, passed: timedelta) -> None:
    looked = asyncio.Event()
    looks: list[LinkHealth] = []

    def look() -> LinkHealth:
        looks.append(said)
        if len(looks) > 2:
            looked.set()
        return said

    role = asyncio.ensure_future(until(looked))
    async with asyncio.timeout(30):
        await while_accepted(role, look, lambda: SINCE + passed, every_seconds=0.001)
    assert len(looks) > 2


async def test_a_role_that_fails_fails() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await while_accepted(asyncio.ensure_future(fails()), lambda: REFUSED, lambda: SINCE)


async def test_whoever_ends_it_ends_the_role() -> None:
    role = asyncio.ensure_future(forever())
    waiting = asyncio.ensure_future(while_accepted(role, lambda: REFUSED, lambda: SINCE))
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert role.cancelled()
