"""What the ferry serves: a queue whose messages somebody else takes."""

from pydantic import BaseModel

from handrail import Definition, Step, activity


class Passenger(BaseModel):
    name: str = "charon"


@activity(effect="pure", queue="ferry")
async def cross(passenger: Passenger) -> Passenger:
    return passenger


DEFINITIONS = [Definition("command lost", steps=[Step("cross", cross)])]
