"""Looking: list, show, history, definitions; and what can be started and kept."""

import json
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from domain.chain import GENESIS, link, payload_digest
from tests.integration.command_line import LIMIT_SECONDS, CommandLine

HEAVY = ("eventsourcing", "prometheus_client", "sqlite3", "uvloop", "deploy.runtime", "deploy.examples")
"""What makes every other command slow to start, and help has no use for."""


@pytest.fixture
def three(handrail: CommandLine) -> CommandLine:
    handrail("run", "--goal", "greet", "--tag", "team=blue", "--by", "ada")
    handrail("run", "--goal", "asking", "--tag", "team=red", "--tag", "size=5")
    handrail("run", "--goal", "undo", "--tag", "team=blue")
    return handrail


def test_list_filters_and_prints_one_array(three: CommandLine) -> None:
    def ids(*options: str) -> list[str]:
        listed = three("list", "--json", *options)
        assert listed.code == 0
        return [row["workflow_id"] for row in listed.document]

    assert ids() == ["wf_001", "wf_002", "wf_003"]
    assert ids("--status", "blocked") == ["wf_002"]
    assert ids("--tag", "team=blue") == ["wf_001", "wf_003"]
    assert ids("--tag", "team=red", "--tag", "size=5") == ["wf_002"]
    assert ids("--status", "failed") == []
    assert ids("--definition", "greet") == ids("--definition", "Greet") == ["wf_001"]
    assert ids("--definition", "asking", "--status", "blocked", "--tag", "team=red") == ["wf_002"]
    assert ids("--definition", "greet", "--status", "blocked") == []
    (row,) = three("list", "--json", "--status", "blocked").document
    assert row["waits"] == [{"step": "big", "reason": "approval"}]
    assert row["tags"] == {"team": "red", "size": "5"}
    lines = three("list").lines
    assert [line.split()[:2] for line in lines] == [
        ["ID", "STATUS"],
        ["wf_001", "completed"],
        ["wf_002", "blocked"],
        ["wf_003", "compensated"],
    ]


def test_list_refuses_a_definition_that_nothing_has(three: CommandLine) -> None:
    refused = three("list", "--definition", "gret", "--json")
    assert (refused.code, refused.out) == (2, ""), refused
    assert "there are no workflows of a definition 'gret'" in refused.errors
    assert "'greet'" in refused.errors, "the nearest one is named"


def test_list_stays_in_line_whatever_the_ids(three: CommandLine) -> None:
    three("run", "--goal", "greet", "--id", "an-order-of-thirty-characters-1")
    head, *rows = three("list").lines
    assert {row[head.index("STATUS") - 1 :][:2].strip() for row in rows} <= set("cb"), "every status is in its column"
    assert all(row[head.index("STATUS") - 1] == " " for row in rows)
    assert len(rows) == 4


def test_show_says_where_it_stands_and_what_would_move_it(three: CommandLine) -> None:
    shown = three("show", "wf_002")
    assert shown.lines[0] == "wf_002  blocked"
    for words in ("big", "awaiting_approval", "put  by put_back", "handrail approve wf_002 --by WHO", "team=red"):
        assert words in shown.out
    document = three("show", "wf_002", "--json").document
    assert [step["status"] for step in document["steps"]] == ["ok", "awaiting_approval", "planned"]
    assert document["waits"][0]["needs_person"] is True
    assert document["compensation_plan"][0]["compensation"] == "put_back"
    ended = three("show", "wf_003").out
    assert "permanent: it cannot be done" in ended
    assert "first  by put_back  undone" in ended


def test_the_options_of_a_hint_lead_to_the_same_place(handrail: CommandLine) -> None:
    blocked = handrail("run", "--goal", "asking", "--home", "my data", "--module", "tests.integration.recipes")
    command = "handrail approve wf_001 --by WHO --home 'my data' --module tests.integration.recipes"
    assert command in blocked.errors


def test_history_is_every_event_and_proves_itself(three: CommandLine) -> None:
    lines = three("history", "wf_002").lines
    events = [json.loads(line) for line in lines]
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert list(events[0]) == [
        "workflow", "version", "name", "shape", "at", "cause", "actor", "engine", "decision", "previous", "digest",
        "payload",
    ]  # fmt: skip
    previous = GENESIS
    for line, event in zip(lines, events, strict=True):
        assert event["previous"] == previous
        # Header and payload stand in the line byte for byte as they entered the chain.
        header, _, rest = line.partition(',"previous":')
        payload = rest.partition('"payload":')[2][:-1]
        previous = link(f"{header}}}".encode(), previous, payload_digest(payload.encode()))
        assert event["digest"] == previous


def test_definitions_are_those_of_the_modules_and_the_examples(handrail: CommandLine) -> None:
    listed = handrail("definitions", "--json")
    names = {one["name"] for one in listed.document}
    assert {"greet", "undo", "vendor onboarding review"} <= names
    undo = next(one for one in listed.document if one["name"] == "undo")
    assert [step["id"] for step in undo["plan"]] == ["first", "second", "third"]
    assert "vendor onboarding review  version 1" in handrail("definitions").lines


def test_a_new_project_runs_with_the_printed_commands_and_passes_its_test(handrail: CommandLine) -> None:
    made = handrail("new", "first-steps")
    assert made.code == 0
    run, test = made.lines
    project = CommandLine(handrail.folder / "first-steps", modules="")
    module = (project.folder / "first_steps.py").read_text()
    assert len(module.splitlines()) <= 30
    assert run.startswith("cd first-steps && handrail run ")
    _, arguments = run.split("handrail ", 1)
    ran = project(*shlex.split(arguments))
    assert ran.code == 3, ran.errors
    assert ran.lines == ["[workflow] id=wf_001 started", "[step] look_up=blocked(unknown guest)"]
    approved = project("approve", "wf_001", "--by", "ann", "--module", "first_steps")
    assert approved.lines == ["[resume] approval_received", "[step] greet=greeted"]
    assert test == "cd first-steps && python -m pytest"
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"],
        cwd=project.folder, env=project.environment(), capture_output=True, text=True, timeout=LIMIT_SECONDS,
        check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    again = handrail("new", "first-steps")
    assert (again.code, again.errors.count("\n")) == (2, 1)
    assert "is there already" in again.errors


def test_it_says_which_version_it_is(handrail: CommandLine) -> None:
    said = handrail("--version")
    assert (said.code, said.lines) == (0, [f"handrail {version('handrail')}"])


def test_help_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    script = (
        "import runpy, sys\n"
        "sys.argv = ['handrail', '--help']\n"
        "try:\n    runpy.run_module('deploy.cli', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=CommandLine(tmp_path).environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "LOADED"


def test_schemas_are_printed_and_written(handrail: CommandLine, tmp_path: Path) -> None:
    printed = handrail("schema").document
    written = handrail("schema", "--write", str(tmp_path / "schemas"))
    assert (written.code, written.out) == (0, "")
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == set(printed)
