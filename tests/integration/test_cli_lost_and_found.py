"""What a resume finds: a definition that is gone, what fell due meanwhile, decisions that come too late."""

from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine

RECIPE = '''
"""Definitions that come and go, in a folder of their own."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

from handrail import ApprovalPolicy, ChildSpec, CompensationInput, Condition, Definition, GatePolicy, Step, activity


@activity(effect="pure")
async def look(given: dict[str, Any]) -> dict[str, Any]:
    return {"number": math.nan if given.get("mode") == "nan" else None}


@activity(effect="idempotent")
async def undo(given: CompensationInput) -> None:
    return None


@activity(effect="idempotent", compensation=undo)
async def act(given: dict[str, Any]) -> None:
    return None


if not Path("gone").exists():
    come_and_go = Definition("come and go", steps=[Step("one", look), Step("two", look)])

brief = Definition(
    "brief approval",
    approvals=[ApprovalPolicy(name="brief", deadline=timedelta(milliseconds=1))],
    steps=[Step("one", look, approval="brief")],
)
child = Definition("asked child", approvals=[ApprovalPolicy(name="ask")], steps=[Step("one", look, approval="ask")])
parent = Definition("asking parent", steps=[Step("child", child=ChildSpec(definition="asked child"))])
gated = Definition(
    "gated",
    activities=[undo],
    gates=[
        GatePolicy(name="no", steps=("two",), when=(Condition(path="mode", value="no"),), verdict="deny",
                   reason="not on a Sunday"),
        GatePolicy(name="ask", steps=("two",), when=(Condition(path="mode", value="ask"),),
                   verdict="require_approval", reason="larger than usual"),
    ],
    steps=[Step("one", act), Step("two", act)],
)
'''


@pytest.fixture
def handrail(tmp_path: Path) -> CommandLine:
    """The program, with definitions in a file beside its home."""
    (tmp_path / "recipe_here.py").write_text(RECIPE, encoding="utf-8")
    return CommandLine(tmp_path, modules="recipe_here")


@pytest.mark.parametrize("command", [("resume", "wf_001"), ("resume",)])
def test_what_is_scheduled_without_its_definition_waits_for_it_instead_of_for_ever(
    handrail: CommandLine, command: tuple[str, ...]
) -> None:
    assert handrail("run", "--goal", "come and go", "--detach").code == 0
    (handrail.folder / "gone").touch()
    resumed = handrail(*command)
    assert resumed.code == 3
    assert "[workflow] id=wf_001 blocked(definition 'come and go' version '1' is not loaded)" in resumed.lines
    (listed,) = handrail("list", "--json").document
    assert (listed["status"], handrail("show", "wf_001", "--json").document["status"]) == ("blocked", "blocked")
    (handrail.folder / "gone").unlink()
    again = handrail("resume", "wf_001")
    assert again.code == 0
    assert again.lines == ["[resume] definition_loaded", "[step] one=ok", "[step] two=ok"]


def test_what_fell_due_while_nobody_ran_is_printed_by_the_resume_that_decides_it(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "brief approval").code in {1, 3}
    assert handrail("run", "--goal", "brief approval", "--id", "late", "--detach").code == 0
    resumed = handrail("resume", "late")
    assert resumed.code in {1, 3}
    ended = resumed if resumed.code == 1 else handrail("resume", "late")
    assert ended.code == 1
    assert ended.lines[-3:] == [
        "[resume] approval_expired",
        "[step] one=failed(rejected: nobody decided before the deadline)",
        "[workflow] id=late failed",
    ]
    over = handrail("resume", "late")
    assert (over.code, over.out) == (1, "")
    assert "late is over already: failed" in over.errors


def test_a_decision_after_the_deadline_is_refused_and_recorded(handrail: CommandLine) -> None:
    handrail("run", "--goal", "brief approval")
    handrail("resume", "wf_001")
    late = handrail("approve", "wf_001", "--by", "ann")
    assert late.code == 2
    assert "approve of one.1 by ann was refused and recorded: the workflow is failed" in late.errors
    assert handrail("history", "wf_001").objects[-1]["name"] == "DecisionRefused"


def test_an_output_that_is_no_number_is_invalid_and_not_null(handrail: CommandLine) -> None:
    ran = handrail("run", "--goal", "come and go", "--input", "mode=nan")
    assert ran.code == 1
    assert "[step] one=failed(invalid: output of activity 'look': output.number: nan is no JSON number)" in ran.lines


def test_a_gate_says_its_own_reason_when_it_denies_and_when_it_asks(handrail: CommandLine) -> None:
    assert (
        "[step] two=failed(rejected: not on a Sunday)" in handrail("run", "--goal", "gated", "--input", "mode=no").lines
    )
    assert "[step] two=blocked(larger than usual)" in handrail("run", "--goal", "gated", "--input", "mode=ask").lines


def test_what_a_completed_workflow_did_is_not_shown_as_undone(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "gated").code == 0
    assert "undone" not in handrail("show", "wf_001").out


def test_instants_of_waits_are_written_like_all_others(handrail: CommandLine) -> None:
    handrail("run", "--goal", "gated", "--input", "mode=ask")
    shown = handrail("show", "wf_001", "--json").document
    assert shown["waits"][0]["since"] == shown["changed_at"]


def test_a_parent_resumed_while_its_child_waits_for_a_person_waits_for_that_person(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "asking parent").code == 3
    resumed = handrail("resume", "wf_001")
    assert resumed.code == 3
    assert "handrail approve wf_001.child --by WHO" in resumed.errors
    granted = handrail("run", "--goal", "asking parent", "--id", "wf_001", "--approve-as", "ann")
    assert granted.code == 0


def test_whoever_pauses_is_told_how_to_unpause(handrail: CommandLine) -> None:
    handrail("run", "--goal", "come and go", "--detach")
    paused = handrail("pause", "wf_001", "--by", "ann")
    assert (paused.code, paused.lines) == (0, ["[workflow] id=wf_001 paused"])
    assert "handrail unpause wf_001" in paused.errors


def test_a_store_that_cannot_be_read_is_told_in_one_line(handrail: CommandLine) -> None:
    handrail.home.mkdir()
    (handrail.home / "handrail.db").write_bytes(b"no database " * 1_000)
    listed = handrail("list")
    assert listed.code == 4
    assert len(listed.errors.splitlines()) == 1


def test_a_file_of_settings_that_was_named_must_be_there(handrail: CommandLine) -> None:
    refused = handrail("run", "--goal", "come and go", HANDRAIL_SETTINGS="nowhere.toml")
    assert (refused.code, refused.out) == (2, "")
    assert "HANDRAIL_SETTINGS names nowhere.toml" in refused.errors
