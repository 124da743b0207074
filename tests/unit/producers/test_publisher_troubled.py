"""Who counts what could not be sent hears of it; what the broker says is held by tests/broker."""

import asyncio

import pytest

from domain.errors import BrokerUnavailable
from domain.transport import Outgoing, Published
from producers.publisher import AmqpPublisher

NOBODY = "amqp://handrail@127.0.0.1:1/"
MESSAGES = [Outgoing("e", "k", f"m{number}", "t", b"{}") for number in range(3)]


@pytest.fixture
def heard() -> list[tuple[Published | None, int]]:
    return []


async def test_a_publisher_that_is_closed(heard: list[tuple[Published | None, int]]) -> None:
    publisher = AmqpPublisher(NOBODY, name="test")
    publisher.troubled = lambda said, number: heard.append((said, number))
    with pytest.raises(BrokerUnavailable, match="not started"):
        await publisher.publish(MESSAGES)
    assert heard == [(None, 3)]


async def test_a_broker_that_is_not_reached_in_time(heard: list[tuple[Published | None, int]]) -> None:
    publisher = AmqpPublisher(NOBODY, name="test", timeout_seconds=0.01)
    publisher.troubled = lambda said, number: heard.append((said, number))
    await publisher.start()
    try:
        async with asyncio.timeout(10):
            with pytest.raises(BrokerUnavailable, match="is not reached"):
                await publisher.publish(MESSAGES)
            assert await publisher.publish([]) == []
    finally:
        await publisher.close()
    assert heard == [(None, 3)]
