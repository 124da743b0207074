"""Whether the broker takes this process's login: when the process starts, and for as long as it leads.

A login that is refused stays so until somebody changes it. A process that starts with one ends, as with any wrong
setting. One whose login is refused later, because a password was changed, stays: it says so on `/readyz` and tries
again. But it lets go of what it leads and needs the broker for, so that a process with the new password can have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from consumers.looking import BrokerLook
from deploy.addresses import Address
from deploy.serving.ending import Ending
from domain.broker_address import login_refused
from domain.errors import BrokerUnavailable, InputInvalid
from domain.ports import Clock
from domain.transport import LinkHealth

LOOK_SECONDS: Final = 1.0
REFUSED_FOR: Final = timedelta(seconds=10)
"""How long a login may be refused before the process lets go: a broker that has just begun may not know it yet."""


async def check_login(address: Address, ending: Ending) -> None:
    """Raise InputInvalid where the broker refuses the login; one that is away is waited for by those who need it."""
    looking = asyncio.ensure_future(_look(address))
    asked = asyncio.ensure_future(ending.asked.wait())
    try:
        await asyncio.wait({looking, asked}, return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()
    finally:
        for task in (looking, asked):
            task.cancel()
        await asyncio.gather(looking, asked, return_exceptions=True)


async def _look(address: Address) -> None:
    try:
        async with BrokerLook(address.url):
            return
    except BrokerUnavailable as error:
        if login_refused(str(error)):
            raise InputInvalid(
                f"HANDRAIL_BROKER: {error}; `handrail topology apply --credentials FILE` makes a login and sets its "
                "password"
            ) from error


async def while_accepted(
    role: asyncio.Future[None],
    health: Callable[[], LinkHealth],
    clock: Clock,
    *,
    every_seconds: float = LOOK_SECONDS,
) -> None:
    """Await the role; raise BrokerUnavailable, having ended it, when the login has been refused for too long."""
    try:
        while True:
            said = health()
            if not said.connected and login_refused(said.detail) and clock() - said.since >= REFUSED_FOR:
                raise BrokerUnavailable(
                    f"the broker refuses this process's login since {said.since:%H:%M:%S}, so another may lead: "
                    f"{said.detail}"
                )
            done, _ = await asyncio.wait({role}, timeout=every_seconds)
            if done:
                return role.result()
    finally:
        role.cancel()
        await asyncio.gather(role, return_exceptions=True)
