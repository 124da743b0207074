"""What runs beside the projector: its fault is the role's, its end is not, and it ends with the role."""

import asyncio

import pytest

from deploy.viewing import with_beside


class Endless:
    """Runs until it is cancelled."""

    def __init__(self) -> None:
        self.ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def fails() -> None:
    raise RuntimeError("it fell over")


async def ends() -> None:
    await asyncio.sleep(0)


async def test_what_falls_over_ends_all_and_is_heard_of() -> None:
    work, other = Endless(), Endless()
    with pytest.raises(RuntimeError, match="it fell over"):
        await with_beside(work.run(), [other.run(), fails()])
    assert work.ended
    assert other.ended


async def test_what_has_nothing_to_do_ends_alone() -> None:
    work, done = Endless(), asyncio.Event()

    async def after() -> None:
        await ends()
        done.set()

    running = asyncio.ensure_future(with_beside(work.run(), [ends(), after()]))
    await done.wait()
    await ends()
    assert not work.ended
    running.cancel()
    await asyncio.wait({running})
    assert work.ended


async def test_where_the_work_ends_so_does_what_runs_beside_it() -> None:
    other = Endless()
    await with_beside(ends(), [other.run()])
    assert other.ended
