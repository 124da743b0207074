"""What the office serves: one definition a cause, named after it. What they need is mended by a file, or by a port."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from handrail import (
    ApprovalPolicy,
    CompensationInput,
    Definition,
    Permanent,
    RetryPolicy,
    Step,
    TimeWait,
    activity,
)

MENDED = Path("mended")
"""In the folder that all processes run in."""
REGISTER_PORT = "REGISTER_PORT"
"""The variable with the port of a service that is called."""
UNTIRING = RetryPolicy(
    max_attempts=1_000, initial_delay=timedelta(milliseconds=200), maximum_delay=timedelta(seconds=1)
)


class Word(BaseModel):
    word: str = "hello"


@activity(effect="pure", queue="office")
async def say(word: Word) -> Word:
    return word


@activity(effect="pure", queue="post")
async def post(word: Word) -> Word:
    return word


@activity(effect="pure", queue="office", retry=UNTIRING)
async def look_up(word: Word) -> Word:
    """Ask a service that may be down."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[REGISTER_PORT]))
    writer.close()
    return word


@activity(effect="pure", queue="office")
def check(word: Word) -> Word:
    if not MENDED.exists():
        raise Permanent("the form is not filled in")
    return word


@activity(queue="office")
def release(_: CompensationInput) -> None:
    if not MENDED.exists():
        raise Permanent("the room cannot be given back")


@activity(queue="office", compensation=release)
async def reserve(word: Word) -> Word:
    return word


@activity(effect="pure", queue="office")
async def refuse(_: Word) -> Word:
    raise Permanent("there is no budget")


DEFINITIONS = [
    Definition("command parked", steps=[Step("post", post), Step("say", say)]),
    Definition("retrying too long", steps=[Step("look_up", look_up), Step("say", say)]),
    Definition("intervention needed", steps=[Step("check", check), Step("say", say)], on_failure="intervene"),
    Definition("compensation failed", steps=[Step("reserve", reserve), Step("refuse", refuse)], activities=[release]),
    Definition(
        "approval overdue",
        steps=[Step("say", say, approval="boss")],
        approvals=[ApprovalPolicy(name="boss", approvers=("ann",))],
    ),
    Definition(
        "timer overdue", steps=[Step("nap", wait_time=TimeWait(duration=timedelta(seconds=1))), Step("say", say)]
    ),
    Definition("projection lag", steps=[Step("say", say)]),
]
