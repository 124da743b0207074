"""A second process on the same home follows the first, and takes over when that one is killed.

It prints the lines that the first would have printed, and one more: that the step under way is tried again.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.checks import compare, record_of
from tests.crash.live import started, stop, until_said
from tests.crash.outside import Outside
from tests.crash.person import APPROVER, Person
from tests.crash.processes import KILLED, Place
from tests.crash.starting import LIMIT_SECONDS

FOLLOWING = "following it"
PERSON = Person("standby", "crash blocked")
COMMAND = (*PERSON.begin(), "--approve-as", APPROVER, "--control", "look again in a year")


@pytest.mark.parametrize(
    ("held_call", "step"), [(1, "reserve"), (2, "book")], ids=["before the approval", "after the approval"]
)
async def test_a_standby_goes_on_where_the_holder_was_killed(
    held_call: int, step: str, worlds: Callable[[], Outside], tmp_path: Path
) -> None:
    undisturbed = Place(tmp_path / "undisturbed", worlds())
    alone = undisturbed.run(*COMMAND)
    assert alone.code == 0, alone

    place = Place(tmp_path / "shared", worlds())
    place.outside.hold(held_call, "after")
    holder = await started(place, COMMAND)
    try:
        await asyncio.to_thread(place.outside.until_held)
        standby = await started(place, COMMAND)
        try:
            await until_said(standby.stderr, FOLLOWING)
            holder.kill()
            async with asyncio.timeout(LIMIT_SECONDS):
                out, errors = await standby.communicate()
        finally:
            await stop(standby)
    finally:
        await stop(holder)
    codes: list[int | None] = [holder.returncode, standby.returncode]
    assert codes == [KILLED, 0], errors.decode()
    lines = out.decode().splitlines()
    again = f"[retry] {step} attempt=2 in=0s"
    assert lines.count(again) == 1
    lines.remove(again)
    assert lines == alone.out.splitlines()
    assert compare(record_of(place), record_of(undisturbed)) == []
