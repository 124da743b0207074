"""A message is sent until the broker has it, and again until the store shows what follows from it."""

import asyncio
from collections.abc import Sequence

import pytest

from deploy.sending import Sending
from domain.errors import BrokerUnavailable, BrokerUnfit, WorkflowConflict
from domain.transport import Outgoing, Published

MESSAGE = Outgoing("handrail.goals", "goal", "order-7", "handrail.goal.start.v1", b"{}")


class Scripted:
    """Answers as it is told, and confirms from then on; `None` is a broker that is not there."""

    def __init__(self, *answers: Published | None) -> None:
        self.answers = list(answers)
        self.sent: list[str] = []

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        self.sent += [message.message_id for message in messages]
        answer = self.answers.pop(0) if self.answers else Published.CONFIRMED
        if answer is None:
            raise BrokerUnavailable("nobody answers")
        return [answer]


def sending(publisher: Scripted) -> Sending:
    return Sending(publisher, chance=lambda: 0.0, again_after_seconds=0.001)


async def test_what_the_broker_did_not_take_is_sent_again() -> None:
    publisher = Scripted(None, Published.UNANSWERED, Published.REFUSED)
    assert await sending(publisher).confirmed(MESSAGE, timeout_seconds=10) == 4
    assert publisher.sent == ["order-7"] * 4


@pytest.mark.parametrize("answer", [Published.RETURNED, Published.UNFIT])
async def test_what_no_queue_takes_is_not_sent_again(answer: Published) -> None:
    publisher = Scripted(answer)
    with pytest.raises(BrokerUnfit, match="topology check"):
        await sending(publisher).confirmed(MESSAGE, timeout_seconds=10)
    assert publisher.sent == ["order-7"]


async def test_a_broker_that_never_confirms_is_given_up_in_time() -> None:
    class Silent(Scripted):
        async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
            await asyncio.Event().wait()
            return []

    with pytest.raises(BrokerUnavailable, match=r"order-7.*same message id"):
        await sending(Silent()).confirmed(MESSAGE, timeout_seconds=0.01)


async def test_a_message_that_has_no_effect_is_sent_again_under_its_id() -> None:
    publisher = Scripted()

    async def look() -> str | None:
        return "there" if len(publisher.sent) == 3 else None

    sent = await sending(publisher).until(MESSAGE, look, timeout_seconds=10)
    assert (sent.found, sent.times) == ("there", 3)
    assert publisher.sent == ["order-7"] * 3


async def test_one_that_has_its_effect_is_sent_once() -> None:
    publisher = Scripted()
    looks = 0

    async def look() -> str | None:
        nonlocal looks
        looks += 1
        return "there" if looks == 3 else None

    patient = Sending(publisher, chance=lambda: 0.0, again_after_seconds=1_000)
    assert (await patient.until(MESSAGE, look, timeout_seconds=10)).found == "there"
    assert publisher.sent == ["order-7"]


async def test_when_the_time_is_over_the_broker_alone_has_it() -> None:
    publisher = Scripted()

    async def look() -> str | None:
        return None

    sent = await sending(publisher).until(MESSAGE, look, timeout_seconds=0.02)
    assert sent.found is None
    assert sent.times == len(publisher.sent) > 1


async def test_a_broker_that_goes_after_the_first_confirm_is_no_error() -> None:
    publisher = Scripted(Published.CONFIRMED, *[None] * 1_000_000)

    async def look() -> str | None:
        return "there" if len(publisher.sent) > 5 else None

    assert (await sending(publisher).until(MESSAGE, look, timeout_seconds=0.2)).found == "there"


@pytest.mark.parametrize("answer", [Published.RETURNED, Published.UNFIT])
async def test_what_no_queue_takes_any_more_after_the_first_confirm_is_sent_until_the_time_is_over(
    answer: Published,
) -> None:
    """As while queues are deleted and declared anew."""
    publisher = Scripted(Published.CONFIRMED, answer, answer)

    async def look() -> str | None:
        return "there" if len(publisher.sent) == 4 else None

    sent = await sending(publisher).until(MESSAGE, look, timeout_seconds=10)
    assert (sent.found, sent.times) == ("there", 4)
    never = Scripted(Published.CONFIRMED, *[answer] * 1_000_000)

    async def nothing() -> str | None:
        return None

    sent = await sending(never).until(MESSAGE, nothing, timeout_seconds=0.02)
    assert sent.found is None
    assert sent.times == len(never.sent) > 1


async def test_what_the_look_finds_wrong_ends_it() -> None:
    async def look() -> str | None:
        raise WorkflowConflict("another goal")

    with pytest.raises(WorkflowConflict):
        await sending(Scripted()).until(MESSAGE, look, timeout_seconds=10)
