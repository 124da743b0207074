"""The first version of a definition: whoever has only this one cannot run the second."""

from pydantic import BaseModel

from handrail import Definition, Step, activity


class Form(BaseModel):
    form: str = "blue"


@activity(effect="pure", queue="forms")
async def fill_in(form: Form) -> Form:
    return form


DEFINITIONS = [Definition("definition missing", version="1", steps=[Step("fill_in", fill_in)])]
