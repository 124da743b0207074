"""`handrail timers` and `handrail failures --dead`, at a home and at an import of it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.dead_lettered import help_for
from deploy.cli.pending import Place
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.events import CommandDeadLettered
from domain.store.application import WorkflowStore
from tests.integration.command_line import CommandLine
from tests.integration.exports.stock import fill, histories

WORKFLOWS = 60
LONG_AGO = "2020-01-01T00:00:00+00:00"


@pytest.fixture
def store(handrail: CommandLine) -> Iterator[WorkflowStore]:
    """The store of a home with histories by chance, all of them in a year to come."""
    opened = open_store(handrail.home, LoadedDefinitions())
    fill(opened, histories(WORKFLOWS, seed=3))
    yield opened
    opened.close()


def timers(handrail: CommandLine, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = handrail("timers", "--json", *options).document
    return found


def change(handrail: CommandLine, statement: str) -> None:
    with sqlite3.connect(handrail.home / "handrail.db") as connection:
        connection.execute(statement)
    connection.close()


def test_what_will_wake_workflows_is_listed_with_what_is_overdue_first(
    handrail: CommandLine, store: WorkflowStore
) -> None:
    found = timers(handrail)
    due = store.query("SELECT due_at, workflow_id, step FROM waits WHERE due_at IS NOT NULL ORDER BY 1, 2, key", ())
    assert [(one["due_at"], one["workflow_id"], one["step"]) for one in found] == due
    assert {one["reason"] for one in found} > {"approval", "retry"}
    assert not any(one["overdue"] for one in found)
    late = next(one for one in reversed(found) if one["status"] != "paused")
    change(handrail, f"UPDATE waits SET due_at = '{LONG_AGO}' WHERE due_at = '{late['due_at']}'")
    first, *others = timers(handrail)
    assert (first["workflow_id"], first["due_at"], first["overdue"]) == (late["workflow_id"], LONG_AGO, True)
    assert len(others) == len(found) - 1
    assert {one["workflow_id"] for one in timers(handrail, "--due-before", "1s")} == {late["workflow_id"]}
    said = handrail("timers").lines
    assert said[0].split() == ["DUE", "ID", "STEP", "FOR", "DEFINITION"]
    assert said[1].split()[:4] == ["2020-01-01", "00:00:00", "overdue", late["workflow_id"]]
    change(handrail, f"UPDATE workflows SET status = 'paused' WHERE workflow_id = '{late['workflow_id']}'")
    assert timers(handrail)[0]["overdue"] is False
    assert handrail("timers").lines[1].split()[2] == "paused"


@pytest.mark.usefixtures("store")
def test_timers_are_bounded_and_chosen(handrail: CommandLine) -> None:
    found = timers(handrail)
    some = handrail("timers", "--limit", "2", "--json")
    assert some.document == found[:2]
    assert "there are more than these 2" in some.errors
    assert "there are more" not in handrail("timers", "--limit", str(len(found))).errors
    middle = found[len(found) // 2]["due_at"]
    assert timers(handrail, "--due-before", middle) == [one for one in found if one["due_at"] < middle]
    assert timers(handrail, "--due-before", middle.replace("+00:00", "")) == timers(handrail, "--due-before", middle)
    assert timers(handrail, "--due-before", "9999d") == found
    assert timers(handrail, "--definition", "planned") == [one for one in found if one["definition"] == "planned"]
    other = handrail("timers", "--definition", "another")
    assert (other.code, other.out) == (2, "")
    assert "no workflows of a definition 'another'" in other.errors
    for wrong in ("soon", "9999999d", "0h", "0001-01-01T00:00:00+14:00"):
        refused = handrail("timers", "--due-before", wrong)
        assert (refused.code, refused.errors.count("\n")) == (2, 1)
        assert f"--due-before '{wrong}' is " in refused.errors


def test_commands_that_were_given_up_are_listed_with_where_they_stand(
    handrail: CommandLine, store: WorkflowStore
) -> None:
    found = handrail("failures", "--dead", "--json").document
    assert len(found) >= 3
    assert [one["at"] for one in found] == sorted((one["at"] for one in found), reverse=True)
    for one in found:
        events = [each.event for each in store.read(one["workflow_id"])]
        (told,) = [
            each
            for each in events
            if isinstance(each, CommandDeadLettered)
            and (each.step, each.kind, each.attempt) == (one["step"], one["kind"], one["attempt"])
        ]
        assert one["why"] == told.reason
        over = one["status"] in {"completed", "failed", "cancelled", "compensated"}
        assert (one["help"] == "") == (over or one["step_status"] == "ok")
    said = handrail("failures", "--dead", "--limit", "1")
    assert said.lines[0].split() == "WHEN ID STEP KIND ATTEMPT ACTIVITY STANDS WHY HELP".split()
    assert len(said.lines) == 2
    assert f" {found[0]['workflow_id']} " in said.lines[1]
    assert "there are more than these 1" in said.errors
    assert handrail("failures", "--dead", "--definition", "paying").out == "no command was given up\n"
    refused = handrail("failures", "--limit", "3")
    assert (refused.code, "--limit goes with --dead" in refused.errors) == (2, True)


@pytest.mark.parametrize(
    ("status", "step_status", "waits_for", "command"),
    [
        ("blocked", "failed", "intervention", "retry wf_1 --step pay --reason TEXT"),
        ("blocked", "outcome_unknown", "outcome_unknown", "settle wf_1 --step pay --as APPLIED-OR-NOT-APPLIED"),
        ("blocked", "awaiting_approval", "approval", "approve wf_1 --step pay --by WHO"),
        ("blocked", "planned", "budget", "extend wf_1 --attempts 10 --reason TEXT"),
        ("blocked", None, "intervention", "retry wf_1 --step pay --reason TEXT"),
        ("paused", "failed", "intervention", "unpause wf_1 --reason TEXT"),
        ("executing", "retry_wait", "retry", "show wf_1"),
        ("executing", "ok", None, ""),
        ("blocked", "ok", "budget", ""),
        ("failed", "failed", None, ""),
    ],
)
def test_what_helps_is_by_where_the_step_stands(
    status: str, step_status: str | None, waits_for: str | None, command: str
) -> None:
    row = {"workflow_id": "wf_1", "step": "pay"}
    helps = help_for({**row, "status": status, "step_status": step_status, "waits_for": waits_for}, Place(home="here"))
    assert helps.startswith(f"handrail {command}" if command else "")
    assert (" --home here" in helps) == bool(command)


@pytest.mark.usefixtures("store")
def test_an_import_shows_both_and_says_that_nothing_of_it_can_be_done(handrail: CommandLine, tmp_path: Path) -> None:
    here, dead = timers(handrail), handrail("failures", "--dead", "--json").document
    file, there = str(tmp_path / "all.jsonl"), ("--home", str(tmp_path / "elsewhere"))
    assert handrail("export", "--all", "-o", file).code == 0
    assert handrail("import", file, "--read-only", *there).code == 0
    shown = handrail("timers", "--json", *there)
    assert shown.document == here
    assert "this is an import: nothing wakes its workflows here" in shown.errors
    shown = handrail("failures", "--dead", "--json", *there)
    assert shown.document == [{**one, "help": ""} for one in dead]
    assert "this is an import: nothing of it can be changed" in shown.errors
