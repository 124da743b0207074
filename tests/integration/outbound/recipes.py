"""Definitions whose steps go to queues of their own; nothing of theirs runs in these tests."""

from pydantic import BaseModel

from handrail import ApprovalPolicy, ChildSpec, Definition, Step, activity


class Number(BaseModel):
    """An input that does not matter."""

    i: int = 0


@activity(effect="pure", queue="common")
async def common(given: Number) -> Number:
    """Goes to the queue of most."""
    return given


@activity(effect="pure", queue="lonely")
async def lonely(given: Number) -> Number:
    """Goes to a queue that is in trouble."""
    return given


@activity(effect="idempotent", pivot=True, queue="elsewhere", foreign=True)
async def elsewhere(given: Number) -> Number:
    """Runs in another language."""
    return given


CHAIN = Definition("chain", steps=[Step(f"s{number}", common) for number in range(3)])
LONELY = Definition("lonely", steps=[Step("only", lonely)])
FOREIGN = Definition("foreign", steps=[Step("only", elsewhere)])
ASKING = Definition("asking review", steps=[Step("ask", common, approval="default")], approvals=[ApprovalPolicy()])
PARENT = Definition("parent", steps=[Step("child", child=ChildSpec(definition="chain"))])
