"""A workflow that acts, waits for a person, fails and undoes; loaded by real processes."""

import asyncio
import os
from pathlib import Path

from opentelemetry import trace
from pydantic import BaseModel

from handrail import ApprovalPolicy, ChildSpec, CompensationInput, Definition, Permanent, Step, activity

GATE = Path("gate")


class Word(BaseModel):
    word: str = "hello"


@activity
async def put_back(_: CompensationInput) -> None:
    return None


@activity(compensation=put_back)
async def put(word: Word) -> Word:
    with trace.get_tracer("author").start_as_current_span("author's own"):
        return word


@activity(effect="pure")
def refuse(_: Word) -> Word:
    with trace.get_tracer("author").start_as_current_span("author's own, in a thread"):
        raise Permanent("it cannot be done")


@activity(effect="pure")
async def dawdle(word: Word) -> Word:
    """Ends at once, except where its process is to be killed in the middle of it."""
    if "DAWDLE" in os.environ:
        GATE.touch()  # noqa: ASYNC240 - one empty file, where nothing else runs
        await asyncio.Event().wait()
    return word


def recipe(name: str, *steps: Step) -> Definition:
    return Definition(name, steps=list(steps), activities=[put_back], approvals=[ApprovalPolicy()])


DEFINITIONS = [
    recipe("undone", Step("put", put), Step("asked", put, approval="default"), Step("end", refuse)),
    recipe("killed", Step("put", put), Step("dawdle", dawdle)),
    recipe("one", Step("put", put)),
    recipe("parent", Step("child", child=ChildSpec(definition="one")), Step("put", put)),
]
