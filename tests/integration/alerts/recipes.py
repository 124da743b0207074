"""A workflow whose steps wait in a queue of their own, beside one whose steps do not."""

from datetime import timedelta

from pydantic import BaseModel

from handrail import ChildSpec, Definition, Step, TimeWait, activity

NAP = timedelta(seconds=10)
"""Long enough for somebody to take the broker away meanwhile."""


class Word(BaseModel):
    word: str = "hello"


@activity(effect="pure")
async def say(word: Word) -> Word:
    return word


@activity(effect="pure", queue="apart")
async def whisper(word: Word) -> Word:
    return word


DEFINITIONS = [
    Definition("greet", steps=[Step("say", say)]),
    Definition("apart", steps=[Step("whisper", whisper)]),
    Definition(
        "later",
        steps=[Step("nap", wait_time=TimeWait(duration=NAP)), Step("child", child=ChildSpec(definition="greet"))],
    ),
]
