"""What a connection that goes makes of looking at queues: it is not known for a while, and then known again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

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
        for accepted in (1, 2):
            await eventually(lambda accepted=accepted: proxy.accepted == accepted or task.done(), "it never connects")
            before = datetime.now(UTC).timestamp()
            await eventually(
                lambda before=before: (watch.asked_at or 0) > before or task.done(), "the broker is not asked"
            )
            assert not task.done()
            end(proxy)
