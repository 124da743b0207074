"""Golden histories, replayed for ever: what was once recorded is folded, verified and decided again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.errors import EventCorrupt
from domain.events import STORED
from domain.recorded import ENGINE, verify
from domain.replay import decide_again, fold
from domain.state import STATE
from tests.replay.add import main
from tests.replay.broken import BROKEN
from tests.replay.files import BROKEN_FOLDER, FOLDER, Golden, read, write
from tests.replay.recipes import DEFINITIONS
from tests.replay.workloads import WORKLOADS, happy

GOLDEN = sorted(FOLDER.glob("*.jsonl"))
each_history = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)


@each_history
def test_a_golden_history_is_folded_verified_and_decided_again(path: Path) -> None:
    golden = read(path)
    events = golden.events()
    verify(events, head=golden.about["head"])
    state = fold(events)
    assert (state.status.value, state.head) == (golden.about["status"], golden.about["head"])
    divergence = decide_again(events, DEFINITIONS)
    assert divergence is None or (divergence.other_engine and golden.about["engine"] != ENGINE)


@each_history
def test_every_prefix_of_a_golden_history_survives_a_snapshot_and_goes_on_from_it(path: Path) -> None:
    events = read(path).events()
    for version in range(1, len(events) + 1):
        state = fold(events, upto=version)
        assert STATE.validate_json(STATE.dump_json(state)) == state, version


def test_there_is_a_history_of_every_workload_and_the_other_way_round() -> None:
    assert {path.stem for path in GOLDEN} == set(WORKLOADS)
    assert {path.stem for path in BROKEN_FOLDER.glob("*.jsonl")} == set(BROKEN)


def test_every_event_there_is_stands_in_some_golden_history() -> None:
    told = {event.event.stored_name for path in GOLDEN for event in read(path).events()}
    assert {name for name, _ in STORED} == told


def test_a_history_that_was_decided_otherwise_diverges_where_it_does() -> None:
    golden = read(BROKEN_FOLDER / "changed.jsonl")
    events = golden.events()
    verify(events, head=golden.about["head"])
    divergence = decide_again(events, DEFINITIONS)
    assert divergence is not None
    assert divergence.version == golden.about["diverges_at"]
    assert not divergence.other_engine
    assert '"step":"one"' in divergence.expected
    assert '"step":"two"' in divergence.found


def test_a_history_that_was_tampered_with_fails_verification_where_it_was() -> None:
    golden = read(BROKEN_FOLDER / "tampered.jsonl")
    with pytest.raises(EventCorrupt, match=f"event {golden.about['corrupt_at']}: its payload was changed"):
        verify(golden.events(), head=golden.about["head"])


def test_what_is_there_is_never_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "happy.jsonl"
    write(path, {"about": "first"}, happy().history)
    with pytest.raises(FileExistsError):
        write(path, {"about": "second"}, happy().history)
    assert read(path) == Golden(json.loads(path.read_text().splitlines()[0]), read(path).rows)
    before = {file: file.read_bytes() for file in (*GOLDEN, *BROKEN_FOLDER.glob("*.jsonl"))}
    assert main() == 0
    assert "stays as it is" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in before} == before
