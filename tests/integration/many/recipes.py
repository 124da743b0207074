"""Workflows that fail until somebody mends what they need: a file in the folder that they run in."""

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from handrail import CompensationInput, Definition, Permanent, RetryPolicy, Step, activity

MENDED = "mended"
QUICK = RetryPolicy(max_attempts=2, initial_delay=timedelta(milliseconds=20))


def mended() -> bool:
    return Path(MENDED).exists()


class Word(BaseModel):
    word: str = "hello"


@activity(effect="pure", retry=QUICK)
async def fall(word: Word) -> Word:
    if not mended():
        raise RuntimeError(f"row 17 of '{word.word}' is broken")
    return word


@activity
async def take_back(_: CompensationInput) -> None:
    if not mended():
        raise Permanent("it cannot be taken back")


@activity(compensation=take_back)
async def give(word: Word) -> Word:
    return word


@activity(effect="pure")
async def refuse(_: Word) -> Word:
    raise Permanent("it cannot be done")


DEFINITIONS = [
    Definition("fall", steps=[Step("fall", fall)]),
    Definition("also fall", steps=[Step("fall", fall)]),
    Definition("misfit", steps=[Step("fit", refuse, input=lambda given: given["nothing"])], on_failure="intervene"),
    Definition("give", steps=[Step("give", give), Step("refuse", refuse)], activities=[take_back]),
]
