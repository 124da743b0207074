"""A process claims as it schedules only what it serves itself."""

from collections.abc import Iterator

import pytest

from consumers.attempts import Activities, Occupied, Rooms
from consumers.threads import ThreadPool
from deploy.loading import LoadedDefinitions
from domain.state import State
from handrail import Definition, Step, activity


@activity(effect="pure", queue="near")
async def near_work(given: dict[str, int]) -> dict[str, int]:
    return given


@activity(effect="pure", queue="far")
async def far_work(given: dict[str, int]) -> dict[str, int]:
    return given


WORK = Definition("served", steps=[Step("near", near_work), Step("far", far_work)])


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    pool = ThreadPool(1)
    yield pool
    pool.close()


def test_what_another_process_serves_is_left_open(threads: ThreadPool) -> None:
    rooms = Rooms(
        Activities(LoadedDefinitions([WORK])),
        Occupied(10, threads),
        closed=False,
        serves=frozenset({"near"}).__contains__,
    )
    state = State("wf_001", definition=WORK.name, definition_version=WORK.version)
    assert rooms.take_for(state, "near_work")
    assert not rooms.take_for(state, "far_work")
    assert rooms.take(WORK.name, WORK.version, "far_work"), "what was delivered here may run here"
