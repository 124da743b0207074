"""What the press serves: work that takes its time, one piece after the other."""

import asyncio
import contextlib

from pydantic import BaseModel

from handrail import Definition, Step, activity

PIECE_SECONDS = 0.5


class Page(BaseModel):
    page: int = 1


@activity(effect="pure", queue="press")
async def imprint(page: Page) -> Page:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), PIECE_SECONDS)
    return page


DEFINITIONS = [Definition("backlog", steps=[Step("imprint", imprint)])]
