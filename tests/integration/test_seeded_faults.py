"""Each seeded fault, put into a real home and asked about with the command: the true first cause is named in its JSON.

What is expected stands beside each fault, written down before the run.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import replaying
from deploy.cli.main import main
from deploy.opened import open_store
from domain.ports import Cursor
from domain.recorded import RecordedEvent, to_state
from domain.store.mapper import EventRow
from tests.integration.command_line import CommandLine
from tests.unit.domain.scenario import Loaded
from tests.unit.projections.replaying.faults import FAULTS, Seeded


class _Key:
    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, cursor: Cursor) -> None:
        cursor.execute("INSERT INTO workflow_keys (workflow_id, key) VALUES (?, '')", (self._name,))


def put(home: Path, seeded: Seeded) -> None:
    """Write the seeded history, and those of its family, into the store of a home."""
    store = open_store(home, Loaded())
    rows = [EventRow("wf_001", *row) for row in seeded.rows()]
    store.recorder.insert_rows(rows, along=[_Key("wf_001")])
    for name, events in seeded.family.items():
        store.recorder.insert_rows(_rows(events), along=[_Key(name)])
    store.close()


def _rows(events: Sequence[RecordedEvent]) -> list[EventRow]:
    return [EventRow(one.originator_id, one.originator_version, one.name, to_state(one)) for one in events]


@pytest.mark.parametrize("name", FAULTS)
def test_the_command_names_the_first_cause(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeded = FAULTS[name](monkeypatch)
    put(tmp_path / "home", seeded)
    monkeypatch.setattr(replaying, "loaded", lambda _: seeded.definitions)
    replay = ["replay", "wf_001", "--home", str(tmp_path / "home")]
    code = main([*replay, "--json"])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    cause = told["first_cause"]
    assert (cause["kind"], cause["version"], cause["workflow"]) == (seeded.kind.value, seeded.version, seeded.workflow)
    assert main(replay) == code
    lines = capsys.readouterr().out.splitlines()
    where = f"event {seeded.version}" + ("" if seeded.workflow == "wf_001" else f" of {seeded.workflow}")
    assert next(line for line in lines if line.startswith("  cause")).startswith(f"  cause     {where}: ")
    assert max(len(line) for line in lines if "--home" not in line) <= 80, "commands are printed as they are typed"
    assert sum(line.startswith(" >") for line in lines) <= 1, "the first cause is marked once on the way to it"


# What the real engine does with real activities: the goal, what a person does then, and the first cause.
RUN = [
    ("stumble", (), "activity_failed", 4),  # 1 started, 2 plan, 3 scheduled, 4 failed
    ("undo", (), "activity_failed", 8),  # 4 and 6 ok, 7 scheduled, 8 failed
    ("denied", (), "activity_denied", 4),
    ("unknown", (), "outcome_unknown", 4),
    ("asking", ("reject", "--by", "bob", "--reason", "no"), "approval_rejected", 7),  # 6 asked, 7 the vote
    ("council", ("reject", "--by", "ann", "--reason", "no"), "approval_rejected", 4),  # 3 asked, 4 the vote
    ("asking", ("cancel", "--reason", "not any more"), "cancelled", 7),
    ("budget", (), "activity_failed", 4),  # what used the budget up, not that it is
    ("nonsense", (), "activity_failed", 4),
    ("stumble", ("skip", "--step", "fall", "--reason", "not needed"), None, None),
]


def test_of_what_really_ran_too(handrail: CommandLine) -> None:
    ids = []
    for number, (goal, act, _, _) in enumerate(RUN, start=1):
        ids.append(f"wf_{number:03d}")
        handrail("run", "--goal", goal, "--by", "ada")
        if act:
            acted = handrail(act[0], ids[-1], *act[1:])
            assert acted.code in {0, 1}, acted.errors
    found = []
    for name in ids:
        cause = handrail("replay", name, "--json").document["first_cause"]
        found.append((None, None) if cause is None else (cause["kind"], cause["version"]))
    assert found == [(kind, version) for _, _, kind, version in RUN]
