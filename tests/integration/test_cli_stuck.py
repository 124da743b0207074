"""`handrail stuck` on a home: what waits within its time is not stuck; what nobody goes on with is, and is told why."""

import json
import sqlite3
from pathlib import Path

from tests.integration.command_line import CommandLine

GOAL = "vendor onboarding review"


def impatient(handrail: CommandLine) -> None:
    """Call a command stuck that nobody has claimed for a millisecond, and an approval that has waited as long."""
    Path(handrail.folder / "handrail.toml").write_text(
        "[stuck]\nconsumer = 0.001\napproval = 0.001\ntimer = 0.001\n", encoding="utf-8"
    )


def test_nothing_is_stuck_where_a_person_has_time(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", GOAL).code == 3
    assert handrail("stuck").out == "nothing is stuck\n"
    assert json.loads(handrail("stuck", "--json").out) == []


def test_what_nobody_goes_on_with_is_told_with_what_would_help(handrail: CommandLine) -> None:
    impatient(handrail)
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    (found,) = json.loads(handrail("stuck", "--json").out)
    assert (found["workflow_id"], found["cause"]) == ("wf_001", "no_consumer")
    assert found["help"] == "handrail resume wf_001"
    for command, nothing in (("stuck", "nothing is stuck\n"), ("failures", "nothing has failed\n")):
        other = handrail(command, "--definition", "another")
        assert other.out == nothing
        assert "no workflows of a definition 'another'" in other.errors
    assert "no workflows" not in handrail("stuck", "--definition", GOAL).errors
    said = handrail("stuck").out
    assert said.splitlines()[0].split() == ["ID", "CAUSE", "SINCE", "STEP", "HELP"]
    assert "no_consumer" in said
    assert handrail("resume", "wf_001").code == 3
    assert handrail("stuck").out == "nothing is stuck\n"


def test_whoever_looks_first_puts_nothing_off(handrail: CommandLine) -> None:
    impatient(handrail)
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    assert "wf_001" in handrail("list").out
    assert "no_consumer" in handrail("stuck").out


def test_a_threshold_that_is_none_is_refused_by_its_name(handrail: CommandLine) -> None:
    (handrail.folder / "handrail.toml").write_text("[stuck]\nconsumer = 0\n", encoding="utf-8")
    refused = handrail("stuck")
    assert refused.code == 2
    assert "stuck.consumer" in refused.errors


def test_an_event_that_cannot_be_read_hides_nothing_that_is_stuck(handrail: CommandLine) -> None:
    impatient(handrail)
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    assert "no_consumer" in handrail("stuck").out
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    with sqlite3.connect(handrail.home / "handrail.db") as connection:
        connection.execute("UPDATE stored_events SET topic = 'NobodyKnows' WHERE originator_id = 'wf_002'")
    connection.close()
    found = handrail("stuck")
    assert found.code == 0
    assert "wf_001" in found.out
    assert "Traceback" not in found.errors
