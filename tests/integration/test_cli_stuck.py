"""`handrail stuck` on a home: what waits within its time is not stuck; what nobody goes on with is, and is told why."""

import json
import os
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from deploy.cli.exits import ExitCode
from deploy.cli.session import Session
from deploy.cli.stuck import print_stuck
from deploy.lock import HomeLock
from domain.errors import StoreAway
from tests.integration.command_line import RECIPES, CommandLine
from tests.integration.http.test_run_http import started
from tests.integration.serving.deployment import until

GOAL = "vendor onboarding review"


def impatient(handrail: CommandLine) -> None:
    """Call a command stuck that nobody has claimed for a millisecond, and an approval that has waited as long."""
    Path(handrail.folder / "handrail.toml").write_text(
        "[stuck]\nconsumer = 0.001\napproval = 0.001\ntimer = 0.001\n", encoding="utf-8"
    )


def test_what_would_help_reaches_the_same_home(handrail: CommandLine) -> None:
    """Typed as it stands it must not act on the workflow of the same id in the folder's own home."""
    impatient(handrail)
    for home in (".handrail", "other home"):
        assert handrail("run", "--goal", GOAL, "--detach", "--home", home).code == 0
    (found,) = handrail("stuck", "--json", "--home", "other home", "--module", "tests.integration.shop").document
    assert found["help"] == "handrail resume wf_001 --home 'other home' --module tests.integration.shop"
    assert handrail(*shlex.split(found["help"])[1:], "--module", RECIPES).code == 3
    assert handrail("show", "wf_001", "--json").document["status"] == "planning", "it is where it was"


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
    for command in (("stuck",), ("stuck", "--watch"), ("failures",), ("failures", "--dead")):
        other = handrail(*command, "--definition", "another")
        assert (other.code, other.out) == (2, "")
        assert "no workflows of a definition 'another'" in other.errors
    for spelt in (GOAL, GOAL.upper().replace(" ", "_")):
        assert [one["workflow_id"] for one in handrail("stuck", "--definition", spelt, "--json").document] == ["wf_001"]
    assert handrail("failures", "--definition", "greet").out == "nothing has failed\n", "it is loaded"
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


@pytest.mark.parametrize("looking", ["list", "projections verify all", "projections rebuild all"])
def test_whoever_only_looks_puts_nothing_off_by_thresholds_of_his_own(handrail: CommandLine, looking: str) -> None:
    impatient = '{"consumer": 0.001}'
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    assert "wf_001" in handrail("stuck", HANDRAIL_STUCK=impatient).out
    assert handrail("run", "--goal", GOAL, "--detach").code == 0
    assert handrail(*looking.split()).code == 0
    assert "wf_002" in handrail("stuck", HANDRAIL_STUCK=impatient).out


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


BUSY = """
import os
from handrail import Definition, RetryPolicy, Step, activity

@activity(effect="pure", concurrency=1)
def dig(given: dict[str, int]) -> None:
    with open("dug") as pipe:
        pipe.read(1)

@activity(effect="pure", retry=RetryPolicy(max_attempts=1))
def stumble(given: dict[str, int]) -> None:
    raise RuntimeError("nobody expected this")

DIGGING = Definition("digging", steps=[Step("dig", dig)])
STUMBLING = Definition("stumbling", steps=[Step("stumble", stumble)], on_failure="intervene")
"""


@pytest.fixture
def busy(handrail: CommandLine) -> Iterator[CommandLine]:
    """Commands beside one that holds the home; whatever was started ends with the test."""
    (handrail.folder / "busy.py").write_text(BUSY, encoding="utf-8")
    os.mkfifo(handrail.folder / "dug")
    handrail.modules = "busy"
    programs: list[subprocess.Popen[str]] = []
    start = handrail.start

    def kept(*arguments: str) -> subprocess.Popen[str]:
        programs.append(start(*arguments))
        return programs[-1]

    handrail.start = kept  # type: ignore[method-assign]  # for this test
    yield handrail
    for one in programs:
        one.kill()
        one.communicate()


def test_what_queues_in_a_home_that_somebody_runs_is_no_trouble_yet(busy: CommandLine) -> None:
    impatient(busy)
    for _ in range(3):
        assert busy("run", "--goal", "digging", "--detach").code == 0
    busy.start("resume")
    dug = until(lambda: opened(busy.folder / "dug"), "nobody digs")
    with sqlite3.connect(busy.home / "handrail.db") as connection:
        connection.execute("UPDATE workflows SET look_at = '2026-01-01T00:00:00+00:00'")
    connection.close()
    assert busy("stuck").out == "nothing is stuck\n"
    os.close(dug)


def opened(pipe: Path) -> int | None:
    """The pipe, once somebody reads of it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_whoever_looks_beside_a_running_home_leaves_what_is_counted_as_it_is(busy: CommandLine) -> None:
    program, address = started(busy, "--goal", "stumbling")

    def stuck() -> float:
        told = httpx.get(f"{address}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in told if line.startswith("handrail_workflows_stuck{"))

    until(lambda: "intervention_needed" in busy("stuck").out, lambda: busy("stuck").out)
    until(lambda: stuck() == 1, stuck)
    assert busy("skip", "wf_001", "--step", "stumble", "--reason", "done by hand", "--detach").code == 0
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 0, errors
    assert busy("stuck").out == "nothing is stuck\n"
    assert busy("projections", "verify", "tallies").code == 0


def test_where_whoever_holds_a_home_hangs_what_is_due_is_judged_all_the_same(busy: CommandLine) -> None:
    (busy.folder / "handrail.toml").write_text("[stuck]\nstart = 0.001\n", encoding="utf-8")
    assert busy("run", "--goal", "digging", "--detach").code == 0
    lock = HomeLock(busy.home)
    assert lock.try_acquire()
    assert busy("list").code == 0
    assert busy("stuck").out == "nothing is stuck\n", "it may only just have begun"
    with sqlite3.connect(busy.home / "handrail.db") as connection:
        connection.execute("UPDATE workflows SET look_at = '2026-01-01T00:00:00+00:00'")
    connection.close()
    assert "backlog" in busy("stuck").out
    lock.release()


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
