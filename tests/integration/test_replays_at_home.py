"""Whoever holds a home decides again what has come to rest in it, unless that is turned off."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy import replays
from deploy.settings import Settings
from domain.ports import Definitions
from domain.recorded import RecordedEvent
from domain.replay import Divergence, decide_again
from handrail import Runtime
from tests.integration.flows import ALL, World, until


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workflows that were decided again, without the pauses before that."""
    names: list[str] = []

    def seen(events: Sequence[RecordedEvent], definitions: Definitions) -> Divergence | None:
        names.append(events[0].originator_id)
        return decide_again(events, definitions)

    monkeypatch.setattr(replays, "decide_again", seen)
    monkeypatch.setattr(replays, "FIRST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(replays, "LOOK_SECONDS", 0.01)
    return names


async def test_what_has_ended_is_decided_again_and_agrees(tmp_path: Path, decided: list[str]) -> None:
    World.new()
    settings = Settings(replay_checks_per_second=1_000)
    async with Runtime(tmp_path / "home", definitions=ALL, examples=False, settings=settings) as runtime:
        workflow_id = await runtime.start("chain", requested_by="alice")
        await runtime.wait(workflow_id, timeout=10)
        await until(lambda: workflow_id in decided)
        assert runtime.store.query("SELECT workflow_id FROM replay_mismatches") == []


async def test_turned_off_it_does_not_run(tmp_path: Path, decided: list[str]) -> None:
    settings = Settings(replay_checks_per_second=0)
    async with Runtime(tmp_path / "home", definitions=ALL, examples=False, settings=settings) as runtime:
        assert runtime.roles is not None
        assert "replays" not in {task.get_name() for task in runtime.roles._tasks}
    assert decided == []
