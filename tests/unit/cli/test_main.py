"""The program itself: help, usage, and what becomes of errors nobody expected."""

import sys
from pathlib import Path

import pytest

from deploy.cli import given
from deploy.cli.exits import ExitCode, exit_code_of, exit_code_of_status
from deploy.cli.main import app, main
from domain import errors

COMMANDS = (
    "run submit approve reject signal resume list stuck failures timers show history replay compare report whatif "
    "export seal verify import archive erase retry skip supply settle extend pause unpause cancel fork definitions "
    "schema backup migrate reconcile restore doctor new"
).split()
LOGGING = ["serve"]
"""What prints nothing: it logs."""


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HANDRAIL_HOME", "HANDRAIL_STORE", "HANDRAIL_MODULES", "HANDRAIL_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def test_every_command_is_there() -> None:
    assert sorted(command.name or "" for command in app.registered_commands) == sorted(COMMANDS + LOGGING)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_and_knows_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert f"handrail {command}" in out
    assert "--json" in out


@pytest.mark.parametrize("command", ["list", "show", "replay", "discard"])
def test_every_command_about_dead_letters_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"handrail dead {command}" in out
    assert "--json" in out


@pytest.mark.parametrize("command", ["status", "rebuild", "verify", "retry"])
def test_every_command_about_the_views_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["projections", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"handrail projections {command}" in out
    assert "--json" in out


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_all_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(f" {command} " in out for command in COMMANDS)


def test_the_list_of_commands_leaves_details_to_each(capsys: pytest.CaptureFixture[str]) -> None:
    shorts = {command.name: command.short_help or "" for command in app.registered_commands}
    assert shorts["stuck"] == "List the workflows that do not go on, the longest first."
    assert max(map(len, shorts.values())) < 160
    assert main(["stuck", "--help"]) == 0
    assert "Ctrl-C" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["aprove"], "Did you mean 'approve'"),
        (["run"], "Missing option '--goal' (see `handrail run --help`)"),
        (["run", "--goal", "x", "--bogus"], "No such option: --bogus"),
        (["run", "--goal"], "--goal"),
        (["run", "--goal", "x", "--control", "c"], "--approve-as"),
        (["approve", "wf_001"], "Missing option '--by'"),
        (["approve"], "ID"),
        (["approve", "wf_001", "--by", ""], "--by is empty"),
        (["reject", "wf_001", "--by", "ann"], "Missing option '--reason'"),
        (["reject", "wf_001", "--by", "ann", "--reason", " "], "--reason is empty"),
        (["erase", "wf_001"], "Missing option '--reason'"),
        (["restore"], "Missing option '--reason'"),
        (["extend", "wf_001", "--attempts", "0"], "--attempts"),
        (["extend", "wf_001", "--attempts", "many"], "--attempts"),
        (["settle", "wf_001", "--step", "s", "--as", "maybe"], "'applied', 'not-applied'"),
        (["list", "--status", "odd"], "choose one of planning"),
        (["list"], "there is no Handrail data in .handrail"),
        (["show", "wf_001"], "there is no Handrail data"),
        (["resume"], "there is no Handrail data"),
        (["approve", "wf_001", "--by", "ann"], "there is no Handrail data"),
        (["retry", "wf_001", "--step", "s", "--input", "[1]"], "--input: holds an array"),
        (["supply", "wf_001", "--step", "s", "--output", "{"], "--output: is not JSON"),
        (["new", "class"], "cannot be called 'class'"),
        (["new", "json"], "cannot be called 'json'"),
        (["new", "handrail"], "cannot be called 'handrail'"),
        (["new", "../up"], "is no project's name"),
        (["definitions", "--module", "no.such.module"], "no.such.module"),
        (["replay", "wf_\udcff"], r"the argument 'wf_\udcff' is not UTF-8"),
        (["export", "\udcff", "-o", "f"], r"the argument '\udcff' is not UTF-8"),
        (["import", "a\udcff.jsonl", "--read-only", "--home", "there"], r"'a\udcff.jsonl' is not UTF-8"),
        (["archive", "--older-than", "1d", "--definition", "\udcff"], r"'\udcff' is not UTF-8"),
        (["show", "--home=\udcff", "wf_001"], r"'--home=\udcff' is not UTF-8"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(arguments) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.count("\n") == 1
    assert errors.startswith("handrail: ")
    assert words in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize(
    "command",
    [
        ["export", "-o", "file", "--since"],
        ["replay", "--all", "--since"],
        ["whatif", "--policy", "file", "--since"],
        ["failures", "--since"],
        ["failures", "--dead", "--since"],
        ["timers", "--due-before"],
    ],
)
def test_an_instant_outside_the_calendar_is_refused(
    command: list[str], instant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, instant]) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert f"{command[-1]} '{instant}' is in none of the years 1 to 9999 of UTC" in errors


def test_a_ring_that_nothing_here_can_use_is_made_and_it_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["keys", "new", "-o", "one.json"]) == 0
    assert "install" not in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    assert main(["keys", "new", "-o", "other.json"]) == 0
    assert "here nothing can use it yet: " in (told := capsys.readouterr().err)
    assert "install handrail[encryption]" in told
    assert (tmp_path / "other.json").is_file()


def unexpected(_: str) -> str:
    raise ZeroDivisionError("nobody thought of that")


def test_an_unexpected_error_is_one_line_and_its_traceback_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(given, "read_goal", unexpected)
    home = tmp_path / "home"
    home.mkdir()
    assert main(["run", "--goal", "x", "--home", str(home)]) == 4
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.count("\n") == 1
    assert "ZeroDivisionError: nobody thought of that" in errors
    assert str(home / "logs" / "handrail.log") in errors
    assert "Traceback" in (home / "logs" / "handrail.log").read_text()


def test_without_a_home_it_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(given, "read_goal", unexpected)
    assert main(["run", "--goal", "x"]) == 4
    errors = capsys.readouterr().err
    assert "HANDRAIL_DEBUG=1" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_whoever_debugs_sees_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(given, "read_goal", unexpected)
    monkeypatch.setenv("HANDRAIL_DEBUG", "1")
    assert main(["run", "--goal", "x"]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_every_error_has_its_exit_code() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HandrailError)
    ]
    more: dict[type[errors.HandrailError], dict[str, str]] = {
        errors.MessageUnfit: {"fault": "schema"},
        errors.DefinitionMissing: {"definition": "trip", "version": "1"},
    }
    for kind in kinds:
        refused = issubclass(kind, errors.Refused | errors.PayloadWithheld)  # what was asked for is not to be had
        expected = ExitCode.REFUSED if refused else ExitCode.INTERNAL
        assert exit_code_of(kind("x", **more.get(kind, {}))) is expected
    assert exit_code_of_status("completed") is ExitCode.COMPLETED
    assert {exit_code_of_status(status) for status in ("failed", "cancelled", "compensated")} == {ExitCode.ENDED}
