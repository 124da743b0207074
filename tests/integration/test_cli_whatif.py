"""`handrail whatif`: other policies on the workflows of a real home."""

from itertools import count
from pathlib import Path

import pytest

from deploy.cli.session import Session
from deploy.cli.whatif import Question, print_answers
from tests.integration.command_line import CommandLine
from tests.integration.watched import everything, watched

STRICTER = "[approvals.default]\nrequired = 2\n"
ANY = "[activities.'*'.retry]\nmax_attempts = 1\n"
SAME = '{"approvals": {"default": {"required": 1, "deadline": "9d"}}}'


@pytest.fixture
def ran(handrail: CommandLine) -> CommandLine:
    for goal in ("greet", "asking", "asking"):
        handrail("run", "--goal", goal, "--by", "ada")
    handrail("approve", "wf_002", "--by", "bob")
    return handrail


def written(ran: CommandLine, text: str) -> str:
    path = ran.folder / "policies.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_what_would_have_gone_another_way_is_told_and_nothing_is_written(ran: CommandLine) -> None:
    before = everything(ran.home)
    policy = written(ran, STRICTER)
    asked = watched(ran, "whatif", "--policy", policy, "--all")
    assert (asked.code, asked.errors) == (0, "")
    first, *more = asked.lines
    assert first.startswith("wf_002  event 8  20")
    assert first.endswith("  big")
    assert more == [
        "    the approval would need another vote",
        "    recorded: granted by bob under call first; would be: 1 of 2 grants",
        "1 of 3 workflows would have gone another way, up to log position 25",
        "        1  asking 1: the approval would need another vote",
    ]
    assert everything(ran.home) == before
    assert ran("whatif", "--policy", policy, "--all").out == asked.out
    assert ran("whatif", "--policy", policy, "--all", "--check").code == 1


def test_as_json_each_is_an_object_and_the_last_one_sums_up(ran: CommandLine) -> None:
    policy = written(ran, STRICTER)
    differs, summary = ran("whatif", "--policy", policy, "wf_003", "wf_002", "--json").objects
    assert {name: differs[name] for name in ("kind", "workflow", "version", "step", "change")} == {
        "kind": "differs",
        "workflow": "wf_002",
        "version": 8,
        "step": "big",
        "change": "approval_needs_more",
    }
    assert (summary["kind"], summary["workflows"], summary["differ"], summary["not_judged"]) == ("summary", 2, 1, 0)
    assert summary["changes"] == [
        {"definition": "asking", "version": "1", "change": "approval_needs_more", "workflows": 1}
    ]


def test_where_nothing_differs_a_check_ends_well(ran: CommandLine) -> None:
    asked = ran("whatif", "--policy", written(ran, SAME), "--definition", "Asking", "--since", "1d", "--check")
    assert (asked.code, asked.lines) == (
        0,
        ["0 of 2 workflows would have gone another way, up to log position 25"],
    )


def test_of_what_is_not_loaded_nothing_can_be_said(ran: CommandLine) -> None:
    ran.modules = ""
    asked = ran("whatif", "--policy", written(ran, ANY), "--all")
    assert asked.code == 3
    assert asked.lines[1:] == [
        "of 3 nothing can be said:",
        "        2  asking 1: definition 'asking' version '1' is not loaded: name its module with --module",
        "        1  greet 1: definition 'greet' version '1' is not loaded: name its module with --module",
    ]
    (first, *_) = ran("whatif", "--policy", written(ran, ANY), "--all", "--json").objects
    assert (first["kind"], first["cause"]) == ("not_judged", "definition_missing")


def test_progress_is_told_beside_the_lines(
    ran: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HANDRAIL_MODULES", ran.modules)
    monkeypatch.delenv("HANDRAIL_STORE", raising=False)
    ticks = count(0, 3)
    session = Session(str(ran.home), None, as_json=False)
    print_answers(session, Question(written(ran, SAME)), check=False, clock=lambda: next(ticks))
    assert capsys.readouterr().err.splitlines() == ["2 workflows asked"]


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (STRICTER, (), "name workflows, or give --all"),
        (STRICTER, ("wf_001", "--all"), "name workflows, or give --all"),
        (STRICTER, ("wf_999",), "wf_999"),
        (STRICTER, ("--all", "--since", "soon"), "is no instant"),
        (STRICTER, ("--definition", "asknig"), "no workflow asked for has it; is 'asking' meant?"),
        ("[approvals]", ("--all",), "changes no policy"),
        ("[approvals.defoult]\nrequired = 2", ("--all",), "is 'default' meant?"),
        ("[approvals", ("--all",), "is no TOML"),
        ("{", ("--all",), "is not JSON"),
    ],
)
def test_what_does_not_fit_is_refused(ran: CommandLine, text: str, arguments: tuple[str, ...], words: str) -> None:
    refused = ran("whatif", "--policy", written(ran, text), *arguments)
    assert (refused.code, refused.out, refused.errors.count("\n")) == (2, "", 1)
    assert words in refused.errors


def test_a_file_that_is_not_there_is_refused(ran: CommandLine, tmp_path: Path) -> None:
    refused = ran("whatif", "--policy", str(tmp_path / "absent"), "--all")
    assert (refused.code, "cannot be read" in refused.errors) == (2, True)
