"""A workflow of another author: who runs it on the same home has none of the others' definitions."""

from typing import Any

from handrail import Definition, Step, activity


@activity(effect="pure")
async def greet(given: dict[str, Any]) -> str:
    """Touch nothing."""
    return "good morning"


stranger = Definition("crash stranger", steps=[Step("greet", greet, {})])
