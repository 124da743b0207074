"""`handrail stuck` on a home: what waits within its time is not stuck; what nobody goes on with is, and is told why."""

import json
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deploy.cli.exits import ExitCode
from deploy.cli.session import Session
from deploy.cli.stuck import print_stuck
from domain.errors import StoreAway
from tests.integration.command_line import CommandLine
from tests.integration.serving.deployment import until

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


PATIENT = """
from datetime import timedelta
from handrail import Definition, RetryPolicy, Step, activity

@activity(effect="pure", retry=RetryPolicy(initial_delay=timedelta(hours=1), maximum_delay=timedelta(hours=1)))
async def call(given: dict[str, int]) -> None:
    raise ConnectionError("nobody answers")

CALLING = Definition("calling", steps=[Step("call", call)])
"""


def look_after(handrail: CommandLine) -> timedelta:
    """When the one workflow is to be looked at by the views as `handrail stuck` builds them, after its last event."""
    with sqlite3.connect(handrail.home / "handrail.db") as connection:
        connection.execute("DELETE FROM positions WHERE name LIKE 'views-%'")
    connection.close()
    # However soon the next try is due, only that it has been failing counts here.
    assert handrail("stuck", HANDRAIL_STUCK='{"timer": 86400}').out == "nothing is stuck\n"
    with sqlite3.connect(handrail.home / "handrail.db") as connection:
        ((look_at, changed_at),) = connection.execute("SELECT look_at, changed_at FROM workflows").fetchall()
    connection.close()
    return datetime.fromisoformat(look_at) - datetime.fromisoformat(changed_at)


def test_a_home_is_judged_by_what_its_definitions_say_of_their_activities(handrail: CommandLine) -> None:
    (handrail.folder / "patient.py").write_text(PATIENT, encoding="utf-8")
    handrail.modules = "patient"
    started = handrail.start("run", "--goal", "calling")
    until(lambda: "RetryScheduled" in handrail("history", "wf_001").out, "it is not tried again")
    started.terminate()
    started.communicate()
    assert look_after(handrail) > timedelta(minutes=50), "it is tried again in an hour, which is in its time"
    handrail.modules = ""
    assert look_after(handrail) < timedelta(minutes=20), "the shipped threshold"
    handrail.modules = "nowhere.to.be.found"
    found = handrail("stuck")
    assert (found.code, found.out) == (0, "nothing is stuck\n")
    assert "judged without what definitions say" in found.errors


def test_lowered_thresholds_reach_a_home_that_was_judged_before(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    assert handrail("stuck").out == "nothing is stuck\n"
    impatient(handrail)
    assert "no_consumer" in handrail("stuck").out


def test_a_watch_waits_for_a_store_that_goes_away_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    away, gone = StoreAway("the server does not answer"), StoreAway("the server is starting")
    looks: list[list[dict[str, str]] | StoreAway] = [[], away, away, gone, [], [], away]

    def look(*_: object) -> tuple[list[dict[str, str]], list[str]]:
        found = looks.pop(0)
        if isinstance(found, StoreAway):
            raise found
        return found, []

    def pause(_: float) -> None:
        if not looks:
            raise KeyboardInterrupt

    monkeypatch.setattr("deploy.cli.stuck.look", look)
    monkeypatch.setattr("deploy.cli.stuck.time.sleep", pause)
    session = Session(str(tmp_path), None, as_json=False)
    assert print_stuck(session, definition=None, watch=True) is ExitCode.COMPLETED
    said = capsys.readouterr()
    assert said.out == "nothing is stuck\n"
    assert [line for line in said.err.splitlines() if "answer" in line or "starting" in line] == [
        "what is stuck may have changed: the server does not answer",
        "what is stuck may have changed: the server is starting",
        "the store answers again",
        "what is stuck may have changed: the server does not answer",
    ]
    looks[:] = [away]
    with pytest.raises(StoreAway):
        print_stuck(session, definition=None, watch=True)
