"""Dead letters that an earlier connection held and that are just returning: they are waited for, not passed over."""

import asyncio

import pytest

from deploy.dead_letters import DeadDesk
from tests.integration.dead.morgue import DEAD_DEFAULT, DEAD_GOALS, Morgue, dead_goal

LETTERS = 14


async def test_letters_that_are_just_returning_are_found(morgue: Morgue) -> None:
    url = morgue.deployment.vhost.url_of(morgue.operator)
    await asyncio.to_thread(
        morgue.publish, *(dead_goal(number) for number in range(LETTERS)), login=morgue.deployment.runtime
    )
    pauses: list[float] = []
    async with DeadDesk(url) as earlier:
        assert len((await earlier.read([DEAD_GOALS])).letters) == LETTERS

        async def while_it_pauses(seconds: float) -> None:
            pauses.append(seconds)
            await earlier.__aexit__(None, None, None)

        async with DeadDesk(url, pause=while_it_pauses) as desk:
            found = await desk.read([DEAD_DEFAULT, DEAD_GOALS])
    assert {letter.delivery.message_id for letter in found.letters} == {f"m-{number}" for number in range(LETTERS)}
    assert len(pauses) == 1
    assert found.more == {}


async def test_where_every_queue_has_letters_nothing_is_waited_for(morgue: Morgue) -> None:
    async def never(seconds: float) -> None:
        pytest.fail(f"it waited for {seconds} s")

    await asyncio.to_thread(morgue.publish, dead_goal(1), login=morgue.deployment.runtime)
    async with DeadDesk(morgue.deployment.vhost.url_of(morgue.operator), pause=never) as desk:
        assert len((await desk.read([DEAD_GOALS])).letters) == 1
