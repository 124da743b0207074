"""A connection whose broker has fallen silent is closed all the same, and the event loop ends after it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.broker.stage import Books, consumer, outgoing, publisher, with_work
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Vhost


async def published(url: str, proxy: Proxy) -> None:
    async with publisher(url) as sender:
        await sender.publish([outgoing(1)])
        proxy.stall()


async def consumed(url: str, proxy: Proxy) -> None:
    books = Books()
    async with consumer(url, books):
        async with publisher(url) as sender:
            await sender.publish([outgoing(1)])
        await books.have(1)
        proxy.stall()


@pytest.mark.parametrize("work", [published, consumed])
def test_the_loop_ends_after_a_close_that_the_broker_does_not_answer(
    vhost: Vhost,
    proxies: Callable[[int], Proxy],
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """The library's own close takes longer than this; cancelled, it would never end, nor would the loop."""
    monkeypatch.setattr("producers.link._CLOSE_SECONDS", 0.5)
    monkeypatch.setattr("consumers.amqp._CLOSE_SECONDS", 0.5)
    with_work(vhost)
    proxy = proxies(vhost.broker.port)
    loop = threading.Thread(target=lambda: asyncio.run(work(proxy.through(vhost.url), proxy)), daemon=True)
    loop.start()
    loop.join(30.0)
    assert not loop.is_alive()
