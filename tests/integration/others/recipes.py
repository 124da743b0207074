"""A definition with a step that another language runs, and one that a person has to allow."""

from pydantic import BaseModel

from handrail import ApprovalPolicy, Definition, GatePolicy, Step, activity, ref


class Text(BaseModel):
    """What the consumer in another language is given."""

    text: str


class Counted(BaseModel):
    """What it answers."""

    words: int


@activity(effect="pure", queue="papers", foreign=True)
async def word_count(given: Text) -> Counted:
    """Never called: its consumer is deploy/examples/clients/activity_consumer.js."""
    return Counted(words=len(given.text))


@activity(effect="pure")
async def sign(given: Counted) -> Counted:
    """Run by Handrail itself, once a person has allowed it."""
    return given


READING = Definition(
    "Count, then sign",
    input_model=Text,
    steps=[
        Step("count", word_count, input={"text": ref("input.text")}),
        Step("sign", sign, input={"words": ref("steps.count.words")}),
    ],
    gates=[GatePolicy(name="signing", steps=("sign",), verdict="require_approval", approval="desk")],
    approvals=[ApprovalPolicy(name="desk", approvers=("bea",), four_eyes=True)],
)

COUNTING = Definition(
    "Only count", input_model=Text, steps=[Step("count", word_count, input={"text": ref("input.text")})]
)
