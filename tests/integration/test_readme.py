"""The README as it stands: its code is run, its commands are typed, its tables are held against the program."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from deploy.cli.exits import ExitCode
from deploy.cli.main import app
from tests.integration.command_line import ROOT, CommandLine

README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES = 30


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


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


def test_every_command_is_in_the_table() -> None:
    table = README.partition("## Commands")[2].partition("## ")[0]
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", table))))
    assert {command.name for command in app.registered_commands} <= named


def test_the_exit_codes_are_the_programs() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d) \|", README, flags=re.MULTILINE)]
    assert codes == [code.value for code in ExitCode if code.value < 10]


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
