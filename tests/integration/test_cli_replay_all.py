"""`handrail replay --all`: the check for CI, on a real home."""

import json
import os
import sqlite3
from itertools import count
from pathlib import Path

import pytest

from deploy.cli import replay_jobs
from deploy.cli.replay_all import print_check
from deploy.cli.replay_jobs import Check, checked_by, jobs_for
from deploy.cli.session import Session
from domain.errors import StoreError
from projections.replaying.checking import CheckingAll
from tests.integration.command_line import CommandLine
from tests.integration.watched import everything, watched
from tests.unit.domain.scenario import Loaded


@pytest.fixture
def ran(handrail: CommandLine) -> CommandLine:
    for goal in ("greet", "undo", "asking"):
        handrail("run", "--goal", goal, "--by", "ada")
    return handrail


def test_all_is_as_recorded_and_nothing_is_written(ran: CommandLine) -> None:
    before = everything(ran.home)
    checked = watched(ran, "replay", "--all")
    assert (checked.code, checked.lines) == (
        0,
        ["3 workflows with 31 events, up to log position 31: 3 as recorded, 0 differ"],
    ), checked.errors
    assert everything(ran.home) == before
    assert ran("replay", "--all").out == checked.out
    (summary,) = ran("replay", "--all", "--json", "--definition", "Greet").objects
    assert (summary["workflows"], summary["agree"], summary["position"]) == (1, 1, 31)
    assert ran("replay", "--all", "--since", "2999-01-01").lines[0].startswith("0 workflows")
    assert ran("replay", "--all", "--since", "1d").lines[0].startswith("3 workflows")


def test_what_differs_is_listed_and_the_exit_code_is_1(ran: CommandLine) -> None:
    with sqlite3.connect(ran.home / "handrail.db") as store:
        where = "WHERE originator_id = 'wf_002' AND originator_version = 5"
        ((state,),) = store.execute(f"SELECT state FROM stored_events {where}")
        changed = bytes(state).replace(b'"queue":"default"', b'"queue":"hidden!"')
        store.execute(f"UPDATE stored_events SET state = ? {where}", (changed,))
    checked = ran("replay", "--all")
    assert checked.code == 1
    assert checked.lines == [
        "wf_002  event 5",
        "    undo 1: the payload of event 5 was changed",
        "3 workflows with 31 events, up to log position 31: 2 as recorded, 1 differ",
    ]
    differs, summary = (json.loads(line) for line in ran("replay", "--all", "--json").lines)
    assert (differs["workflow"], differs["version"], differs["word"]) == ("wf_002", 5, "damaged")
    assert summary["differ"] == 1


def test_what_cannot_be_asked_is_told_with_an_exit_code_of_its_own(ran: CommandLine) -> None:
    ran.modules = ""
    checked = ran("replay", "--all")
    assert checked.code == 3
    assert checked.lines[0].endswith("0 as recorded, 0 differ, 3 not asked")
    assert "  greet version 1 is not loaded (1): name its module with --module" in checked.lines


def test_progress_is_told_beside_the_lines(
    ran: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HANDRAIL_MODULES", ran.modules)
    monkeypatch.delenv("HANDRAIL_STORE", raising=False)
    ticks = count(0, 4)
    session = Session(str(ran.home), None, as_json=False)
    print_check(session, definition=None, since=None, clock=lambda: next(ticks))
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    assert printed.err.splitlines() == ["2 workflows with 25 events decided again; 3 events a second"]


def damage(ran: CommandLine, workflow_id: str) -> None:
    with sqlite3.connect(ran.home / "handrail.db") as store:
        where = f"WHERE originator_id = '{workflow_id}' AND originator_version = 3"
        store.execute(f"UPDATE stored_events SET topic = 'Pondered' {where}")


def test_several_processes_say_what_one_says(
    ran: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(ran, "wf_001")
    damage(ran, "wf_003")
    monkeypatch.setenv("HANDRAIL_MODULES", ran.modules)
    monkeypatch.delenv("HANDRAIL_STORE", raising=False)
    monkeypatch.setattr(replay_jobs, "WORKFLOWS_A_RANGE", 1)
    session = Session(str(ran.home), None, as_json=True)
    codes = [print_check(session, definition=None, since=None, jobs=jobs) for jobs in (1, 2)]
    lines = capsys.readouterr().out.splitlines()
    assert codes == [1, 1]
    assert lines[:3] == lines[3:]
    assert [json.loads(line)["kind"] for line in lines[:3]] == ["differs", "differs", "summary"]
    assert ran("replay", "--all", "--jobs", "2").lines == ran("replay", "--all").lines


def test_a_process_that_cannot_go_on_ends_the_check(ran: CommandLine, tmp_path: Path) -> None:
    session = Session(str(ran.home), [ran.modules], as_json=True)
    with session.store() as store:
        checking = CheckingAll(store.reading, store.mapper.read, Loaded())
        elsewhere = Check(str(tmp_path / "absent"), (), None, None, checking.position)
        with pytest.raises(StoreError, match="absent"):
            list(checked_by(2, elsewhere, checking))


def test_a_process_that_is_lost_ends_the_check(
    ran: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaving.py").write_text("import os\nos._exit(1)\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)
    session = Session(str(ran.home), [ran.modules], as_json=True)
    with session.store() as store:
        checking = CheckingAll(store.reading, store.mapper.read, Loaded())
        leaving = Check(str(ran.home), ("leaving",), None, None, checking.position)
        with pytest.raises(StoreError, match="--jobs 1"):
            list(checked_by(2, leaving, checking))


def test_a_short_log_is_not_worth_further_processes() -> None:
    assert jobs_for(None, 99_999) == 1
    assert 1 <= jobs_for(None, 100_000) <= 4
    assert jobs_for(7, 1) == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a workflow, or give --all"),
        (("wf_001", "--all"), "name a workflow, or give --all"),
        (("wf_001", "--since", "7d"), "go with --all"),
        (("--all", "--walk"), "give one of them"),
        (("--all", "--since", "soon"), "is no instant"),
        (("wf_001", "--jobs", "2"), "go with --all"),
        (("--all", "--jobs", "0"), "give a number from 1 to 64"),
        (("--all", "--definition", "gret"), "no workflow asked for has it; is 'greet' meant?"),
    ],
)
def test_what_does_not_fit_is_refused(ran: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    refused = ran("replay", *arguments)
    assert (refused.code, refused.out, refused.errors.count("\n")) == (2, "", 1)
    assert words in refused.errors
