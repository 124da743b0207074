"""The settings that `deploy/rabbitmq/rabbitmq.conf` recommends: a broker boots with them, and takes what we send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.messages.names import COMMAND_BODY_BYTES, GOAL_BODY_BYTES
from domain.transport import Published
from tests.broker.stage import WORK, count, outgoing, publisher, with_work
from tests.servers.fixtures import vhost_on
from tests.servers.rabbitmq import Vhost, own_broker

RECOMMENDED = Path(__file__).resolve().parents[2] / "deploy" / "rabbitmq" / "rabbitmq.conf"
LINES = [line for line in RECOMMENDED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
LARGEST = int(dict(line.split(" = ") for line in LINES)["max_message_size"])


@pytest.fixture
def recommended() -> Iterator[Vhost]:
    node = own_broker(LINES)
    try:
        yield from vhost_on(node)
    finally:
        node.leave()


async def test_what_handrail_sends_is_taken_and_what_is_far_larger_is_refused(recommended: Vhost) -> None:
    with_work(recommended)
    sizes = [max(GOAL_BODY_BYTES, COMMAND_BODY_BYTES), LARGEST, LARGEST + 1, 1]
    async with publisher(recommended.url) as sender:
        answers = [(await sender.publish([outgoing(size, body=b"x" * size)]))[0] for size in sizes]
    assert answers == [Published.CONFIRMED, Published.CONFIRMED, Published.UNFIT, Published.CONFIRMED]
    assert await count(recommended.url, WORK) == 3
