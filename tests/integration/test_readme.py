"""The README as it stands: its code is run, its commands are typed, its tables are held against the program."""

import re
import shlex
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

from deploy.cli.exits import ExitCode
from deploy.cli.main import app
from tests.integration.command_line import ROOT, CommandLine

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXPORTS = (ROOT / "deploy" / "docs" / "exports.md").read_text(encoding="utf-8")
WRITING = (ROOT / "deploy" / "docs" / "writing-workflows.md").read_text(encoding="utf-8")
MOST_LINES = 30


def blocks(language: str, document: str = README) -> list[str]:
    """The code blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document, flags=re.MULTILINE | re.DOTALL)


def typed(block: str) -> Iterator[tuple[list[str], list[str]]]:
    """Each command of a block with the lines that it is said to print."""
    for part in block.split("$ ")[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        yield shlex.split(command), lines


def test_the_first_command_prints_what_the_readme_says(tmp_path: Path) -> None:
    ((command, lines),) = typed(blocks("console")[0])
    make, target, goal, arguments = command
    assert (make, target) == ("make", "run")
    handrail = CommandLine(tmp_path, modules="")
    ended = handrail("run", "--goal", goal.removeprefix("GOAL="), *shlex.split(arguments.removeprefix("ARGS=")))
    assert ended.lines == lines
    assert ended.code == 0


def test_the_second_command_is_make_test() -> None:
    assert list(typed(blocks("console")[1])) == [(["make", "test"], [])]


def test_the_readers_own_workflow_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert len(code.splitlines()) <= MOST_LINES
    name = re.search(r"Put this into `(\w+\.py)`", README)
    assert name is not None
    (tmp_path / name[1]).write_text(code, encoding="utf-8")
    handrail = CommandLine(tmp_path, modules="")
    commands = list(typed(blocks("console")[2]))
    assert len(commands) == 3
    for (program, *arguments), lines in commands:
        assert program == "handrail"
        ended = handrail(*arguments)
        assert ended.lines == lines, ended.errors


def test_the_longer_example_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = blocks("python", WRITING)
    given = re.search(r"this into `trip\.json`: `([^`]+)`", WRITING)
    assert given is not None
    (tmp_path / "trip.py").write_text(code, encoding="utf-8")
    (tmp_path / "trip.json").write_text(given[1], encoding="utf-8")
    handrail = CommandLine(tmp_path, modules="")
    (console,) = blocks("console", WRITING)
    commands = list(typed(console))
    assert len(commands) == 2
    for (_, *arguments), lines in commands:
        ended = handrail(*arguments)
        assert [without_delay(line) for line in ended.lines] == [without_delay(line) for line in lines], ended.errors


def test_the_example_of_marks_has_cut_out_what_it_says(tmp_path: Path) -> None:
    (code,) = blocks("python", EXPORTS)
    (tmp_path / "accounts.py").write_text(code, encoding="utf-8")
    handrail = CommandLine(tmp_path, modules="accounts")
    assert handrail("run", "--goal", "check account", "--input", "holder=Ann", "--input", "iban=NL0003").code == 0
    told = handrail("export", "--all", "--redact", "iban", "-o", "some.jsonl", "--json").document
    # The step's command and its outcome; what the workflow was given, and gave at last, stands in no marked place.
    assert (told["cut"], told["withheld"]) == (2, 2)
    assert b"NL0003" not in (tmp_path / "some.jsonl").read_bytes()
    assert handrail("verify", "some.jsonl").code == 0


def test_the_replay_prints_what_the_readme_says(tmp_path: Path) -> None:
    block = next(block for block in blocks("text") if "handrail replay" in block)
    handrail = CommandLine(tmp_path, modules="")
    commands = list(typed(block))
    assert [arguments[1] for arguments, _ in commands] == ["run", "reject", "replay"]
    ended = [handrail(*arguments[1:]) for arguments, _ in commands]
    printed = [without_figures(line) for line in ended[-1].lines]
    shown = [without_figures(line) for line in commands[-1][1]]
    places = [printed.index(line) for line in shown if line.strip() not in {"", "…"}]
    told = printed.index("how it came to that")
    assert shown[: shown.index("how it came to that")] == printed[:told], "nothing above the way is left out"
    ordered = places[: places.index(printed.index("where the time went")) + 1]
    assert ordered == sorted(ordered), "what is shown is printed in this order, but for which time was the longer one"


def without_figures(line: str) -> str:
    """A line of a report without its instants, times and digests."""
    line = re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?|\b[0-9a-f]{16,}\b", "…", line)
    return re.sub(r"\s*\d[\d.]*(m?s| %)\b|\s+[\d.]+ %", "…", line)


def without_delay(line: str) -> str:
    """A line that is printed, without how long the retry it announces still has to wait."""
    return re.sub(r" in=[\d.]+s$", "", line)


def test_every_command_is_in_the_table() -> None:
    table = README.partition("## Commands")[2].partition("## ")[0]
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", table))))
    assert {command.name for command in app.registered_commands} <= named
    assert {group.name for group in app.registered_groups} <= named


def test_the_commands_without_json_are_named() -> None:
    commands = {str(one.name): one for one in app.registered_commands}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        commands |= {f"{group.name} {one.name}": one for one in group.typer_instance.registered_commands}
    without = {name for name, one in commands.items() if "as_json" not in signature(one.callback or print).parameters}
    (sentence,) = re.findall(r"Every command has `--help`[^.]*", README)
    assert set(re.findall(r"`([^`]+)`", sentence)) - {"--help", "--json"} == without


def test_the_exit_codes_are_the_programs() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d) \|", README, flags=re.MULTILINE)]
    assert codes == [code.value for code in ExitCode if code.value < 10]


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
