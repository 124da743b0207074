"""A process that tries again and again to open its store leaves nothing behind of each try."""

import asyncio
import threading

import pytest
from pydantic import SecretStr

from deploy.loading import LoadedDefinitions
from deploy.runtime import utc_now
from deploy.serving.parts import Parts
from deploy.settings import Settings
from domain.errors import StoreAway

NOBODY = Settings(
    store=SecretStr("postgresql://handrail@127.0.0.1:1/handrail"), broker=SecretStr("amqp://handrail@127.0.0.1:1/")
)


async def test_a_store_that_is_away_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with pytest.raises(StoreAway, match="Connection refused"):
            await Parts.open(NOBODY, LoadedDefinitions(), utc_now)
    async with asyncio.timeout(10):
        while set(threading.enumerate()) - before:  # noqa: ASYNC110 - a thread tells nobody that it has ended
            await asyncio.sleep(0)
