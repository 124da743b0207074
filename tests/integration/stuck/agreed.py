"""A definition as it was when its workflows ran."""

from pydantic import BaseModel

from handrail import Definition, Step, activity


class Line(BaseModel):
    line: str = "first"


@activity(effect="pure", queue="office")
async def write(line: Line) -> Line:
    return line


AGREED = Definition("replay mismatch", steps=[Step("write", write)])
