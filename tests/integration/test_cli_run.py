"""`handrail run` as scripts see it: exact lines on stdout, everything else on stderr, exit codes."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command_line import LIMIT_SECONDS, CommandLine, Pipe

VENDOR = "vendor onboarding review"
SIX_LINES = """\
[workflow] id=wf_001 started
[step] docs_collect=ok
[step] policy_screen=blocked(manual approval)
[resume] approval_received
[step] final_decision=approved_with_controls
[artifact] onboarding_decision.json
"""


@pytest.fixture
def awaited(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


def test_the_six_lines_byte_for_byte(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", VENDOR, "--approve-as", "alice")
    assert ended.out == SIX_LINES
    assert ended.code == 0
    decision = json.loads((handrail.home / "workflows/wf_001/onboarding_decision.json").read_text())
    assert decision["decision"] == "approved_with_controls"


def test_a_block_without_a_terminal_says_which_command_approves_and_that_command_goes_on(
    handrail: CommandLine,
) -> None:
    blocked = handrail("run", "--goal", VENDOR, "--by", "ada")
    assert blocked.out == "".join(SIX_LINES.splitlines(keepends=True)[:3])
    assert blocked.code == 3
    assert "handrail approve wf_001 --by WHO" in blocked.errors
    assert "not by ada" in blocked.errors
    approved = handrail("approve", "wf_001", "--by", "grace")
    assert approved.out == "".join(SIX_LINES.splitlines(keepends=True)[3:])
    assert (approved.code, approved.errors) == (0, "")


def test_goal_words_choose_the_definition_and_others_are_listed(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "  GREET! ").code == 0
    unknown = handrail("run", "--goal", "make tea")
    assert unknown.code == 2
    assert "no definition fits the goal 'make tea'" in unknown.errors
    assert "'greet'" in unknown.errors
    assert "'vendor onboarding review'" in unknown.errors
    assert unknown.errors.count("\n") == 1
    chosen = handrail("run", "--goal", "make tea", "--definition", "greet")
    assert chosen.lines == ["[workflow] id=wf_002 started", "[step] say=hello", "[artifact] result.json"]


def test_input_from_keys_and_files(handrail: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "whole.json").write_text('{"word": "from the file", "other": [1, 2]}')
    (tmp_path / "part.json").write_text('"from its own file"')
    (tmp_path / "goal.txt").write_text("greet\n")
    whole = handrail("run", "--goal", "@goal.txt", "--input", "@whole.json")
    assert whole.lines[1] == "[step] say=from the file"
    single = handrail("run", "--goal", "greet", "--input", "word=typed", "--input", "@whole.json")
    assert single.lines[1] == "[step] say=typed"
    part = handrail("run", "--goal", "greet", "--input", "word=@part.json", "--tag", "team=blue")
    assert part.lines[1] == "[step] say=from its own file"
    shown = handrail("show", "wf_002", "--json").document
    assert shown["input"] == {"word": "typed", "other": [1, 2]}


def test_a_retry_keeps_running_and_tells_why_on_stderr(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "stutter")
    assert ended.code == 0
    assert ended.lines[0] == "[workflow] id=wf_001 started"
    assert [line.partition(" in=")[0] for line in ended.lines[1:3]] == [
        "[retry] call attempt=2",
        "[retry] call attempt=3",
    ]
    assert ended.lines[3:] == ["[step] call=hello"]
    assert "call attempt 1: transient: try 1 of three [31mred" in ended.errors
    assert "\x1b" not in ended.errors


def test_a_failure_undoes_what_was_done(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "undo")
    assert ended.lines == [
        "[workflow] id=wf_001 started",
        "[step] first=ok",
        "[step] second=ok",
        "[step] third=failed(permanent: it cannot be done)",
        "[compensation] second=ok",
        "[compensation] first=ok",
        "[workflow] id=wf_001 compensated",
    ]
    assert ended.code == 1


def test_nothing_to_undo_is_failed(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "denied")
    assert ended.lines[1:] == ["[step] screen=failed(rejected: on the list)", "[workflow] id=wf_001 failed"]
    assert ended.code == 1


def test_an_activity_that_returns_nonsense_fails_its_step(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "nonsense")
    assert ended.code == 1
    assert ended.lines[1].startswith("[step] talk=failed(invalid: ")
    assert "Traceback" not in ended.out + ended.errors


def test_waits_for_a_time_go_by(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "nap")
    assert ended.code == 0
    assert ended.lines[1].startswith("[step] nap=waiting(until ")
    assert ended.lines[2:] == ["[resume] time_reached", "[step] say=hello"]


def test_the_same_id_again_goes_on_and_never_starts_a_second(handrail: CommandLine) -> None:
    first = handrail("run", "--goal", "asking", "--id", "order-7", "--input", "word=tea")
    assert first.code == 3
    assert handrail("run", "--goal", "asking", "--id", "order-7", "--input", "word=tea").out == first.out
    for change, named in (
        (("--goal", "greet", "--input", "word=tea"), "goal"),
        (("--goal", "asking", "--input", "word=milk"), "input"),
    ):
        refused = handrail("run", "--id", "order-7", *change)
        assert refused.code == 2
        assert named in refused.errors
        assert "order-7" in refused.errors
        assert refused.errors.count("\n") == 1
    done = handrail("run", "--goal", "asking", "--id", "order-7", "--input", "word=tea", "--approve-as", "ann")
    assert done.code == 0
    assert done.lines[-2:] == ["[resume] approval_received", "[step] say=tea"]
    assert done.lines[:3] == first.lines
    assert [row["workflow_id"] for row in handrail("list", "--json").document] == ["order-7"]


def test_detach_saves_and_another_process_drives(handrail: CommandLine) -> None:
    detached = handrail("run", "--goal", "greet", "--detach")
    assert (detached.code, detached.lines) == (0, ["[workflow] id=wf_001 started"])
    assert "handrail resume wf_001" in detached.errors
    assert handrail("show", "wf_001", "--json").document["status"] != "completed"
    resumed = handrail("resume", "wf_001")
    assert (resumed.code, resumed.lines) == (0, ["[step] say=hello", "[artifact] result.json"])


def test_json_is_one_object_a_line_and_a_summary(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", VENDOR, "--approve-as", "alice", "--json")
    *lines, summary = ended.objects
    assert [line["line"] for line in lines] == SIX_LINES.splitlines()
    assert lines[2] | {"step": "policy_screen", "outcome": "blocked", "detail": "manual approval"} == lines[2]
    assert {line["workflow"] for line in lines} == {"wf_001"}
    assert summary["kind"] == "summary"
    assert (summary["status"], summary["exit_code"]) == ("completed", 0)
    assert [artifact["name"] for artifact in summary["artifacts"]] == ["onboarding_decision.json"]
    assert (handrail.folder / summary["artifacts"][0]["path"]).is_file()


def test_json_of_a_block_says_what_would_move_it(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "asking", "--json")
    summary = ended.objects[-1]
    assert (ended.code, summary["exit_code"], summary["status"]) == (3, 3, "blocked")
    assert summary["waits"][0]["commands"][0] == "handrail approve wf_001 --by WHO"


def test_decisions_in_advance_need_as_many_as_the_policy(handrail: CommandLine) -> None:
    alone = handrail("run", "--goal", "council", "--approve-as", "ann")
    assert alone.code == 3
    assert "1 of 2 from ann, bob, cyd" in alone.errors
    both = handrail("run", "--goal", "council", "--approve-as", "ann", "--approve-as", "bob", "--control", "slowly")
    assert both.code == 0
    assert both.lines == [
        "[workflow] id=wf_002 started",
        "[step] say=blocked(manual approval)",
        "[resume] approval_received",
        "[step] say=hello",
    ]
    assert handrail("show", "wf_002", "--json").document["controls"] == ["slowly"]


def test_a_decision_in_advance_that_does_not_count_is_refused(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "council", "--by", "ann", "--approve-as", "ann")
    assert ended.code == 2
    assert "approve by ann refused" in ended.errors
    names = [event["name"] for event in handrail("history", "wf_001").objects]
    assert "DecisionRefused" in names
    assert "ApprovalRecorded" not in names


def test_a_child_that_waits_for_a_person_blocks_its_parent(handrail: CommandLine) -> None:
    blocked = handrail("run", "--goal", "parent")
    assert blocked.code == 3
    assert blocked.lines == ["[workflow] id=wf_001 started", "[step] child=waiting(child wf_001.child)"]
    assert "handrail approve wf_001.child --by WHO" in blocked.errors
    assert "wf_001.child [step] big=blocked(a large sum)" in blocked.errors
    approved = handrail("run", "--goal", "parent", "--approve-as", "ann")
    assert approved.code == 0
    assert approved.lines[2:] == ["[resume] child_completed", "[step] child=hello", "[step] say=hello"]


def test_an_interrupt_while_working_is_an_interrupt_and_resume_goes_on(handrail: CommandLine, awaited: Pipe) -> None:
    process = handrail.start("run", "--goal", "pipe", "--input", f"word={awaited.path}")
    assert process.stdout is not None
    assert process.stdout.readline() == "[workflow] id=wf_001 started\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert out == ""
    awaited.write()
    resumed = handrail("resume", "wf_001")
    assert resumed.code == 0
    assert resumed.lines[:2] == ["[retry] wait attempt=2 in=0s", "[step] wait=heard"]


def test_an_interrupt_while_it_waits_is_a_wait(handrail: CommandLine) -> None:
    process = handrail.start("run", "--goal", "signal")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "[workflow] id=wf_001 started\n"
    assert process.stdout.readline() == "[step] letter=waiting(signal letter box-1)\n"
    assert "waits: letter signal" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 3
    assert "handrail signal letter box-1" in errors


def test_killed_and_resumed(handrail: CommandLine, awaited: Pipe) -> None:
    process = handrail.start("run", "--goal", "pipe", "--input", f"word={awaited.path}", "--id", "job")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)
    awaited.write()
    everything = handrail("resume")
    assert everything.code == 0
    assert everything.lines == [
        "[workflow] id=job resumed",
        "[retry] wait attempt=2 in=0s",
        "[step] wait=heard",
        f"[step] say={awaited.path}",
    ]
    assert "wait attempt 1 ended without an outcome" in everything.errors


def test_a_second_process_prints_the_same_lines_and_takes_over(handrail: CommandLine, awaited: Pipe) -> None:
    arguments = ("run", "--goal", "pipe", "--input", f"word={awaited.path}", "--id", "job")
    first = handrail.start(*arguments)
    assert first.stdout is not None
    assert first.stdout.readline() == "[workflow] id=job started\n"
    second = handrail.start(*arguments)
    assert second.stderr is not None
    assert "another process runs the workflows of this home" in second.stderr.readline()
    first.kill()
    first.communicate(timeout=LIMIT_SECONDS)
    awaited.write()
    out, errors = second.communicate(timeout=LIMIT_SECONDS)
    assert second.returncode == 0, errors
    assert out.splitlines() == [
        "[workflow] id=job started",
        "[retry] wait attempt=2 in=0s",
        "[step] wait=heard",
        f"[step] say={awaited.path}",
    ]


def test_who_stops_reading_ends_it_without_a_complaint(handrail: CommandLine) -> None:
    handrail("run", "--goal", "greet")
    history = handrail.start("history", "wf_001")
    assert history.stdout is not None
    history.stdout.close()
    assert history.stderr is not None
    history.wait(timeout=LIMIT_SECONDS)
    assert "Traceback" not in history.stderr.read()
    history.stderr.close()
    assert history.returncode in {0, 141}


@pytest.mark.parametrize("where", [("--home", "elsewhere"), ()])
def test_home_is_an_option_or_a_variable(handrail: CommandLine, where: tuple[str, ...]) -> None:
    environment = {} if where else {"HANDRAIL_HOME": "elsewhere"}
    assert handrail("run", "--goal", "greet", *where, **environment).code == 0
    assert (handrail.folder / "elsewhere" / "handrail.db").is_file()
    assert not handrail.home.exists()


def test_make_run_prints_exactly_what_handrail_prints(tmp_path: Path) -> None:
    makefile = Path(__file__).resolve().parents[2] / "Makefile"
    said = subprocess.run(
        ["make", "-n", "-f", str(makefile), "run", f"GOAL={VENDOR}", "ARGS=--approve-as alice"],
        cwd=makefile.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '.venv/bin/handrail run --goal "$GOAL"' in said.stdout
    assert "--approve-as alice" in said.stdout
