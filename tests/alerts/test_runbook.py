"""What the runbook says to type can be typed: every command and option is one that the program has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, Final

import pytest
import typer.main

from deploy.cli.main import app
from tests.alerts.shipped import ROOT, RUNBOOK, alerts, anchors

TEXT: Final = RUNBOOK.read_text(encoding="utf-8")
PROGRAM: Final = typer.main.get_command(app)


def typed() -> Iterator[str]:
    """The commands of the program in indented blocks, without what is behind them: comments, pipes, optional parts."""
    for line in re.findall(r"^ {4}(handrail .*)$", TEXT, re.MULTILINE):
        yield re.sub(r"[\[\]]", "", re.split(r"\s{2,}#|\s[|>]|\s<", line)[0])


def amiss(line: str) -> str:
    """What the program would not understand of a command; nothing where it would."""
    _, *words = shlex.split(line)
    command: Any = PROGRAM
    while isinstance(known := getattr(command, "commands", None), dict):
        name, *words = words
        if name not in known:
            return f"there is no command {name}"
        command = known[name]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    return ", ".join(sorted(set(given) - options))


@pytest.mark.parametrize("line", sorted(set(typed())))
def test_what_is_to_be_typed_is_understood(line: str) -> None:
    assert amiss(line) == ""


@pytest.mark.parametrize("name", sorted(alerts()))
def test_what_an_alert_says_is_to_be_typed_is_understood(name: str) -> None:
    said = "\n".join(alerts()[name]["annotations"].values())
    assert [amiss(line) for line in re.findall("`(handrail [^`]+)`", said) if amiss(line)] == []


def test_what_is_not_understood_is_found() -> None:
    assert amiss("handrail settle ID --step STEP --applied") == "--applied"
    assert amiss("handrail dead reply --queue goals") == "there is no command reply"
    assert amiss("handrail dead replay --queue goals") == ""
    assert len(list(typed())) > 50


def test_sections_that_documents_link_to_are_there() -> None:
    documents = [ROOT / "README.md", *(ROOT / "deploy").rglob("*.md")]
    linked = {
        (document.name, anchor)
        for document in documents
        for place, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", document.read_text(encoding="utf-8"))
        if place.endswith(RUNBOOK.name) or (not place and document == RUNBOOK)
    }
    known = set(anchors(TEXT))
    assert len(linked) > 10
    assert [one for one in sorted(linked) if one[1] not in known] == []
