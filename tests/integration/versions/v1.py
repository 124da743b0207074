"""The first version of a definition: it gathers, waits for a letter, and closes."""

import asyncio
import os
from pathlib import Path

from pydantic import BaseModel

from handrail import Context, Definition, SignalWait, Step, activity

_LOOK_SECONDS = 0.02


class Case(BaseModel):
    patient: bool = False
    """Whether gathering waits until the test opens a gate."""


def is_open() -> bool:
    return Path(os.environ["GATE"]).exists()


@activity(effect="pure", concurrency=8)
async def gather(case: Case, context: Context) -> str:
    while case.patient and not is_open() and not await context.heartbeat():  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(_LOOK_SECONDS)
    return "gathered"


@activity(effect="pure")
async def close(_: Case) -> str:
    return "closed by the first version"


REVIEW = Definition(
    "review",
    version="1",
    steps=[
        Step("gather", gather),
        Step("letter", wait_signal=SignalWait(name="letter", correlation="all")),
        Step("close", close),
    ],
)
