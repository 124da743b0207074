"""What a connection that goes makes of looking at queues: it is not known for a while, and then known again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from deploy.serving import queues
from deploy.serving.queues import QueueWatch
from domain.topology import activity_queue
from tests.broker.stage import eventually, running
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Vhost


@pytest.mark.parametrize("end", [Proxy.cut, Proxy.reset])
async def test_queues_are_looked_at_again_after_a_connection_has_gone(
    vhost: Vhost, proxies: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch, end: Callable[[Proxy], int]
) -> None:
    monkeypatch.setattr(queues, "LOOK_SECONDS", 0.05)
    proxy = proxies(vhost.broker.port)
    watch = QueueWatch(proxy.through(vhost.url), lambda: datetime.now(UTC), told=[activity_queue("orders")])
    async with running(watch.run()) as task:
        for _ in range(2):
            before = datetime.now(UTC).timestamp()
            await eventually(partial(_asked, watch, task, before), "the broker is not asked")
            assert not task.done()
            end(proxy)
    assert proxy.accepted >= 2


def _asked(watch: QueueWatch, task: asyncio.Task[None], after: float) -> bool:
    """Whether the broker has answered behind an instant, or nobody asks any more."""
    return task.done() or (watch.asked_at or 0.0) > after
