"""A workflow whose steps wait in a queue of their own, beside one whose steps do not."""

from pydantic import BaseModel

from handrail import Definition, Step, activity


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
]
