"""The second version of the definition: one step, and nothing of what the first one had."""

from pydantic import BaseModel

from handrail import Definition, Step, activity


class Case(BaseModel):
    patient: bool = False


@activity(effect="pure")
async def decide(_: Case) -> str:
    return "decided by the second version"


REVIEW = Definition("review", version="2", steps=[Step("decide", decide)])
