"""What the yard serves: work that its process is killed in the middle of, and queues that others meddle with."""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from handrail import Definition, RetryPolicy, Step, activity

OPEN = Path("open")
"""In the folder that all processes run in: from then on nothing holds the work up."""


class Load(BaseModel):
    load: str = "gravel"


async def held(what: str) -> None:
    """Say that this has begun, and do not end before the yard is open."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, Path(f"{what} has begun").touch)
    if not await loop.run_in_executor(None, OPEN.exists):
        await asyncio.Event().wait()


@activity(effect="pure", queue="yard")
async def ship(load: Load) -> Load:
    return load


@activity(effect="once", pivot=True, queue="yard")
async def pay(load: Load) -> Load:
    await held("paying")
    return load


@activity(effect="pure", queue="yard")
async def lift(load: Load) -> Load:
    await held("lifting")
    return load


@activity(effect="pure", queue="mail", retry=RetryPolicy(max_attempts=1))
async def send(load: Load) -> Load:
    return load


DEFINITIONS = [
    Definition("no consumer", steps=[Step("ship", ship)]),
    Definition("outcome unknown", steps=[Step("pay", pay), Step("ship", ship)]),
    Definition("lease lapsed", steps=[Step("lift", lift), Step("ship", ship)]),
    Definition("dead lettered", steps=[Step("send", send), Step("ship", ship)]),
]
