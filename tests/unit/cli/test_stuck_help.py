"""What `handrail stuck` says would help: a command that there is, with options that it has."""

import re
import shlex
from typing import Any

import pytest
import typer

from deploy.cli.main import app
from deploy.cli.pending import Place
from deploy.cli.stuck import HELP, help_for, typed
from projections.causes import Cause

KEYS = {
    Cause.APPROVAL_OVERDUE: ("pay:approval", "pay:intervention"),
    Cause.DEFINITION_MISSING: (":definition", "unasked"),
    Cause.DEAD_LETTERED: ("pay:intervention", "trouble:pay"),
}
OF_SERVICES = {Cause.BACKLOG, Cause.COMMAND_PARKED, Cause.PROJECTION_LAG}
"""They do not come up in a home."""
LINES = sorted(
    {
        help_for(cause, key, shared=shared)
        for cause in Cause
        for key in KEYS.get(cause, ("",))
        for shared in (True, False)
    }
)


def test_every_cause_has_one() -> None:
    assert HELP.keys() == set(Cause)


@pytest.mark.parametrize("line", LINES)
def test_it_can_be_typed(line: str) -> None:
    check(line.format(id="wf_1", step="pay"))


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in OF_SERVICES])
def test_at_home_it_names_the_home(cause: Cause) -> None:
    line = typed(help_for(cause, "pay:approval", shared=False).format(id="wf_1", step="pay"), Place("a home", ("m",)))
    assert line.endswith(" --home 'a home' --module m")
    check(line)


def check(line: str) -> None:
    for command in line.split(" && "):
        program, *words = shlex.split(command)
        assert program == "handrail"
        found: Any = typer.main.get_command(app)
        while hasattr(found, "commands"):
            found = found.commands[words.pop(0)]
        options = {name for parameter in found.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_nobody_says_unread_that_something_was_applied() -> None:
    (choice,) = re.findall(r"--as (\S+)", HELP[Cause.OUTCOME_UNKNOWN])
    assert choice not in {"applied", "not-applied"}


def test_an_approval_that_has_expired_is_asked_for_again() -> None:
    assert " approve " in help_for(Cause.APPROVAL_OVERDUE, "pay:approval")
    assert " retry " in help_for(Cause.APPROVAL_OVERDUE, "pay:intervention")


def test_on_a_home_nobody_serves() -> None:
    for cause in (Cause.NO_CONSUMER, Cause.TIMER_OVERDUE, Cause.DEFINITION_MISSING):
        assert help_for(cause, "", shared=False).startswith("handrail resume {id}")
