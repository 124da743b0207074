"""Workflows for real workers: each attempt is written into a ledger outside, and waits for a gate that a test opens."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from handrail import CompensationInput, Context, Definition, Step, activity

GATE = "gate"
_LOOK_SECONDS = 0.02


class Word(BaseModel):
    word: str = "hello"


def ledger() -> Path:
    return Path(os.environ["LEDGER"])


def note(what: str, workflow_id: str) -> None:
    with (ledger() / "calls").open("a", encoding="utf-8") as book:
        book.write(f"{what} {workflow_id} {os.getpid()}\n")


async def wait_for_the_gate(word: Word, context: Context) -> str:
    note("begun", context.workflow_id)
    while not (ledger() / GATE).exists():
        if await context.heartbeat():
            note("told", context.workflow_id)
            return "told to stop"
        await asyncio.sleep(_LOOK_SECONDS)
    note("ended", context.workflow_id)
    return word.word


wait = activity(effect="idempotent", pivot=True, name="wait")(wait_for_the_gate)
wait_long = activity(
    effect="idempotent", pivot=True, name="wait_long", queue="long", start_to_finish=timedelta(hours=24)
)(wait_for_the_gate)


@activity
async def take_back(_: CompensationInput, context: Context) -> None:
    note("undone", context.workflow_id)


@activity(compensation=take_back)
async def insist(word: Word, context: Context) -> str:
    """Ends when the gate is open, and not because it is told to."""
    note("begun", context.workflow_id)
    while not (ledger() / GATE).exists():
        await context.heartbeat()
        await asyncio.sleep(_LOOK_SECONDS)
    note("ended", context.workflow_id)
    return word.word


INSISTING = Definition("insisting", steps=[Step("insist", insist)], activities=[take_back])
WAITING = Definition("waiting", steps=[Step("wait", wait)])
WAITING_LONG = Definition("waiting long", steps=[Step("wait", wait_long)])
