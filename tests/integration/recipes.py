"""Small workflows for the command line, loaded by the real process as a user's module."""

import asyncio
import os
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from handrail import (
    ApprovalPolicy,
    ChildSpec,
    CompensationInput,
    Context,
    Definition,
    Denied,
    Finalization,
    NeedsApproval,
    Permanent,
    RetryPolicy,
    SignalWait,
    Step,
    TimeWait,
    Transient,
    activity,
    ref,
)

QUICK = RetryPolicy(max_attempts=3, initial_delay=timedelta(milliseconds=20))


class Word(BaseModel):
    word: str = "hello"


class Spoken(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str = "hello"


class Said(BaseModel):
    outcome: str


@activity(effect="pure")
async def say(word: Word) -> Said:
    return Said(outcome=word.word)


@activity(effect="pure", retry=QUICK)
async def stutter(word: Word, context: Context) -> Said:
    if context.attempt < 3:
        raise Transient(f"try {context.attempt}\nof three \x1b[31mred")
    return Said(outcome=word.word)


@activity(effect="pure", retry=QUICK)
async def stumble(_: Word) -> Said:
    raise RuntimeError("nobody expected this")


@activity(effect="pure")
async def talk_nonsense(_: Word) -> Said:
    return 7  # type: ignore[return-value]


@activity
async def put_back(_: CompensationInput) -> None:
    return None


@activity(compensation=put_back)
async def put(word: Word) -> Word:
    return word


@activity(effect="pure")
async def refuse(_: Word) -> Said:
    raise Permanent("it cannot be done")


@activity(effect="pure")
async def deny(_: Word) -> Said | Denied:
    return Denied("on the list")


@activity(effect="once", pivot=True)
async def pay(_: Word) -> Word:
    raise RuntimeError("the line went dead")


@activity(effect="pure")
async def ask(word: Word) -> Word | NeedsApproval:
    return NeedsApproval("a large sum", {"sum": 5}, controls=["call first"], output=word)


@activity(effect="pure")
async def wait_for_word(word: Word) -> Said:
    """Runs until something is written into the named pipe: tests decide when."""
    loop, written = asyncio.get_running_loop(), asyncio.Event()
    pipe = os.open(word.word, os.O_RDWR | os.O_NONBLOCK)
    loop.add_reader(pipe, written.set)
    try:
        await written.wait()
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)
    return Said(outcome="heard")


@activity(effect="pure")
async def conclude(final: Finalization, context: Context) -> None:
    await context.write_artifact("result.json", str(sorted(final.outputs)).encode())


def recipe(name: str, *steps: Step, **options: Any) -> Definition:
    options.setdefault("activities", [put_back])
    return Definition(name, steps=list(steps), **options)


TWO_OF_THREE = ApprovalPolicy(name="council", approvers=("ann", "bob", "cyd"), required=2, four_eyes=True)

SPOKEN = {"word": ref("input.word")}

DEFINITIONS = [
    recipe("greet", Step("say", say), artifact=conclude),
    recipe("stutter", Step("call", stutter)),
    recipe("stumble", Step("fall", stumble), Step("say", say)),
    recipe("nonsense", Step("talk", talk_nonsense)),
    recipe("undo", Step("first", put), Step("second", put), Step("third", refuse)),
    recipe("denied", Step("screen", deny)),
    recipe("unknown", Step("pay", pay), Step("say", say)),
    recipe("asking", Step("put", put), Step("big", ask), Step("say", say)),
    recipe("twice", Step("left", ask, after=()), Step("right", ask, after=())),
    recipe("council", Step("say", say, approval="council"), approvals=[TWO_OF_THREE]),
    recipe("signal", Step("letter", wait_signal=SignalWait(name="letter", correlation="box-1")), Step("say", say)),
    recipe("nap", Step("nap", wait_time=TimeWait(duration=timedelta(milliseconds=50))), Step("say", say)),
    recipe("parent", Step("child", child=ChildSpec(definition="asking")), Step("say", say)),
    recipe("budget", Step("call", stutter), attempts_budget=2),
    recipe("pipe", Step("wait", wait_for_word), Step("say", say)),
    recipe("spoken", Step("say", say, SPOKEN), Step("again", say, SPOKEN), input_model=Spoken),
]
