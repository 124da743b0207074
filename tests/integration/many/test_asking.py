"""At a terminal the command asks before it acts on many, and takes only yes for yes."""

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from tests.integration.command_line import LIMIT_SECONDS, PROGRAM, CommandLine

BY = ("--by", "olga", "--reason", "superseded")
CHOSEN = ("cancel", "--status", "blocked", "--definition", "fall")


@pytest.fixture
def handrail(tmp_path: Path) -> CommandLine:
    """A home in which two workflows wait for a person."""
    line = CommandLine(tmp_path, "tests.integration.many.recipes")
    for _ in range(2):
        assert line("run", "--goal", "fall").code == 3
    return line


def answered(handrail: CommandLine, answer: str, *more: str) -> tuple[int, str]:
    """The command's exit code and what it said at the terminal, where its question is answered so."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *CHOSEN, *BY, *more],
        cwd=handrail.folder,
        env={**handrail.environment(), "TERM": "dumb", "COLUMNS": "200"},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while True:
                readable, _, _ = select.select([ours], [], [], LIMIT_SECONDS)
                assert readable, shown.decode()
                try:
                    piece = os.read(ours, 4_096)
                except OSError:  # the other end is closed: it has ended
                    break
                shown += piece
                if answer and b"[y/N]" in shown:
                    os.write(ours, f"{answer}\n".encode())
                    answer = ""
            return process.wait(LIMIT_SECONDS), shown.decode()
        finally:
            os.close(ours)


def cancelled(handrail: CommandLine) -> int:
    return sum(one["status"] == "cancelled" for one in handrail("list", "--json").document)


def test_no_is_the_answer_where_nothing_else_is_said(handrail: CommandLine) -> None:
    code, said = answered(handrail, "n")
    assert (code, "cancel 2 workflows? [y/N]" in said, "nothing was done" in said) == (2, True, True)
    assert cancelled(handrail) == 0


def test_yes_lets_it_act(handrail: CommandLine) -> None:
    code, said = answered(handrail, "y")
    assert (code, "2 done" in said) == (0, True), said
    assert cancelled(handrail) == 2


def test_yes_beforehand_asks_nobody(handrail: CommandLine) -> None:
    code, said = answered(handrail, "", "--yes")
    assert (code, "[y/N]" in said) == (0, False), said
    assert cancelled(handrail) == 2
