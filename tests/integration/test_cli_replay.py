"""`handrail replay ID` on real homes: the answer first, the same bytes each time; nothing opened, nothing written."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.integration.command_line import PROGRAM, CommandLine, Ended, Pipe
from tests.integration.watched import attempted, everything, watched


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a workflow that completed, one that was undone, one that waits, and one that is a parent."""
    handrail = CommandLine(tmp_path_factory.mktemp("once"))
    for goal in ("greet", "undo", "asking", "parent"):
        handrail("run", "--goal", goal, "--by", "ada")
    return handrail.home


@pytest.fixture
def ran(handrail: CommandLine, once: Path) -> CommandLine:
    """A copy of that home."""
    shutil.copytree(once, handrail.home)
    return handrail


def cause(ended: Ended) -> tuple[str, int, str]:
    found = ended.document["first_cause"]
    return found["kind"], found["version"], found["workflow"]


def test_the_first_lines_answer_what_happened_why_and_whether_the_code_agrees(ran: CommandLine) -> None:
    replayed = ran("replay", "wf_002")
    assert replayed.code == 0
    told = [line for line in replayed.lines[:7] if "because: Permanent, told by " not in line]
    assert told == [
        "wf_002  compensated: step third failed: it cannot be done",
        "  cause     event 8: an activity failed",
        "            attempt 1 of third failed: permanent: it cannot be done",
        "            fingerprint ec3a4dec97b69012: nowhere else",
        "  code      decides all 18 events as they are recorded (engine 1)",
        "  record    18 events, each fits its digest and the one before it",
    ]
    assert [line for line in replayed.lines if line and line[0].isalpha()][1:] == [
        "how it came to that",
        "where the time went",
        "attempts that did not end well",
        "who acted",
        "transitions",
    ]
    assert max(map(len, replayed.lines)) <= 80
    assert ran("replay", "wf_002", "--brief").lines == replayed.lines[: replayed.lines.index("")]


def test_the_same_position_gives_the_same_bytes_and_says_which(ran: CommandLine) -> None:
    first = ran("replay", "wf_002")
    again = ran("replay", "wf_002", COLUMNS="40", TZ="Asia/Tokyo")
    assert first.out == again.out
    with sqlite3.connect(ran.home / "handrail.db") as store:
        ((newest,),) = store.execute("SELECT max(id) FROM stored_events")
    assert f"log position {newest}, event 18" in first.out
    assert ran("replay", "wf_002", "--json").document["position"] == newest


def test_json_says_all_that_the_text_says(ran: CommandLine) -> None:
    told = ran("replay", "wf_002", "--json").document
    assert told["format"] == "handrail.replay.v1"
    assert (told["first_cause"]["version"], told["first_cause"]["kind"]) == (8, "activity_failed")
    assert told["first_cause"]["elsewhere"]["count"] == 0
    assert told["code"]["word"] == "agrees"
    assert told["record"]["intact"] is True
    assert [link["version"] for link in told["chain"]] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [one["version"] for made in told["decisions"] for one in made["transitions"]] == list(range(1, 19))
    assert [one["outcome"] for one in told["attempts"]] == ["ok", "ok", "failed", "ok", "ok"]
    assert abs(sum(told["time"]["parts"].values()) - told["time"]["total_seconds"]) < 1e-5


def test_how_often_a_failure_occurred_elsewhere_is_counted(ran: CommandLine) -> None:
    ran("run", "--goal", "undo")
    ran("run", "--goal", "undo")
    found = ran("replay", "wf_002", "--json").document["first_cause"]["elsewhere"]
    assert (found["fingerprint"], found["count"]) == ("ec3a4dec97b69012", 2)
    assert "2 times elsewhere, last seen at" in ran("replay", "wf_002").out


def test_what_is_wrong_is_held_against_the_last_run_that_completed(handrail: CommandLine) -> None:
    for _ in range(3):
        handrail("run", "--goal", "asking", "--by", "ada")
    handrail("reject", "wf_002", "--by", "bob", "--reason", "too much")
    assert handrail("replay", "wf_002", "--json").document["beside"] is None
    handrail("approve", "wf_001", "--by", "bob")
    told = handrail("replay", "wf_002")
    assert "beside wf_001, the last that completed, parts from it at event 7; there: bob approves big" in " ".join(
        told.out.split()
    )
    beside = handrail("replay", "wf_002", "--json").document["beside"]
    assert (beside["workflow"], beside["parting"]["what"], beside["parting"]["here"]) == ("wf_001", "decision", 7)
    assert handrail("replay", "wf_003", "--json").document["beside"] is None, "nothing is wrong with it"
    assert handrail("replay", "wf_001", "--json").document["beside"] is None


def test_what_waits_is_told_with_what_it_waits_for_in_a_child_too(ran: CommandLine) -> None:
    waiting = ran("replay", "wf_003")
    assert (waiting.code, waiting.lines[0]) == (0, "wf_003  blocked: waits for approval (big)")
    assert "nothing is wrong: it waits for an approval" in waiting.out
    assert "  next      handrail approve wf_003 --by WHO" in waiting.lines
    assert ran("replay", "wf_003", "--json").document["next"][0] == "handrail approve wf_003 --by WHO"
    assert ran("replay", "wf_002", "--json").document["next"] == []
    assert cause(ran("replay", "wf_004", "--json")) == ("awaiting_approval", 6, "wf_004.child")


def test_it_opens_no_connection_and_writes_nothing(ran: CommandLine) -> None:
    for statement, words in (
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "socket"),
        ("open('new', 'w')", "writing new"),
        ("import sqlite3; sqlite3.connect('handrail.db')", "for writing"),
    ):
        refused = attempted(ran, statement)
        assert refused.code == 1
        assert f"forbidden: {words}" in refused.errors or words in refused.errors
    before = everything(ran.home)
    for options in ((), ("--json",), ("--at", "7"), ("--diff", "3", "9"), ("--walk",), ("--brief",)):
        for name in ("wf_001", "wf_002", "wf_004"):
            given = [*options[:1], "2", "3"] if options[:1] == ("--diff",) else list(options)
            given = ["--at", "2"] if options[:1] == ("--at",) else given
            ended = watched(ran, "replay", name, *given)
            assert ended.code == 0, (name, given, ended.errors)
            assert ended.out
    assert everything(ran.home) == before


def test_another_process_may_write_meanwhile(ran: CommandLine) -> None:
    with sqlite3.connect(ran.home / "handrail.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO store_facts (name, value) VALUES ('test', 'x')")
        assert ran("replay", "wf_002").code == 0
        writer.execute("ROLLBACK")


def test_a_workflow_is_told_while_it_runs(handrail: CommandLine, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "pipe")
    running = handrail.start("run", "--goal", "pipe", "--input", f"word={pipe.path}")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "[workflow] id=wf_001 started\n"
        replayed = handrail("replay", "wf_001", "--json").document
        assert (replayed["status"], replayed["first_cause"], replayed["code"]["word"]) == ("executing", None, "agrees")
        assert [(one["step"], one["outcome"]) for one in replayed["attempts"]] == [("wait", "open")]
        assert [one["step"] for one in replayed["time"]["awaited"]] == ["wait"]
        pipe.write()
        running.communicate(timeout=60)
    finally:
        running.kill()
        running.communicate()
        pipe.close()
    assert handrail("replay", "wf_001", "--json").document["status"] == "completed"


def test_a_changed_definition_is_told_at_the_event_that_it_decides_otherwise(
    handrail: CommandLine, tmp_path: Path
) -> None:
    recipe = "from handrail import Definition, Step\nfrom tests.integration.recipes import say\n"
    module = tmp_path / "mine.py"
    module.write_text(f"{recipe}ONE = Definition('mine', steps=[Step('say', say)])\n")
    handrail.modules = "mine"
    python_path = {"PYTHONPATH": f"{tmp_path}:{handrail.environment()['PYTHONPATH']}"}
    assert handrail("run", "--goal", "mine", **python_path).code == 0
    assert handrail("replay", "wf_001", **python_path).code == 0
    module.write_text(f"{recipe}ONE = Definition('mine', steps=[Step('say', say), Step('again', say)])\n")
    replayed = handrail("replay", "wf_001", **python_path)
    assert replayed.code == 1
    assert replayed.lines[1] == "  cause     event 2: the definition was changed"
    assert "differs first at event 2 (PlanProposed); look at the definition" in replayed.out
    assert cause(handrail("replay", "wf_001", "--json", **python_path)) == ("definition_changed", 2, "wf_001")


def test_without_the_definition_the_rest_is_told_all_the_same(ran: CommandLine) -> None:
    ran.modules = ""
    replayed = ran("replay", "wf_002")
    assert replayed.code == 3
    assert replayed.lines[1] == "  cause     event 8: an activity failed"
    assert "name its module with --module" in " ".join(replayed.out.split())


def hurt(home: Path, version: int, **columns: str | bytes | float) -> None:
    """Change an event of wf_002 behind the program's back."""
    with sqlite3.connect(home / "handrail.db") as store:
        for column, value in columns.items():
            statement = (
                f"UPDATE stored_events SET {column} = ? WHERE originator_id = 'wf_002' AND originator_version = ?"
            )
            store.execute(statement, (value, version))


def state_of(home: Path, version: int) -> bytes:
    with sqlite3.connect(home / "handrail.db") as store:
        where = "WHERE originator_id = 'wf_002' AND originator_version = ?"
        ((state,),) = store.execute(f"SELECT state FROM stored_events {where}", (version,))
    return bytes(state)


def test_a_record_that_was_changed_is_told_where(ran: CommandLine) -> None:
    hurt(ran.home, 5, state=state_of(ran.home, 5).replace(b'"queue":"default"', b'"queue":"hidden!"'))
    replayed = ran("replay", "wf_002")
    assert replayed.code == 1
    assert replayed.lines[1:3] == [
        "  cause     event 5: the record was changed",
        "            the payload of event 5 was changed",
    ]
    assert "besides   event 8: an activity failed" in replayed.out


def test_an_event_that_cannot_be_read_is_named_and_the_rest_is_shown(ran: CommandLine) -> None:
    state = state_of(ran.home, 9).replace(b'"name":"StepFailed"', b'"name":"StepPonder"')
    hurt(ran.home, 9, state=state, topic="StepPonder")
    replayed = ran("replay", "wf_002")
    assert replayed.code == 1
    assert replayed.lines[1] == "  cause     event 8: an activity failed", "that was before"
    assert "besides   event 9: the record cannot be read" in replayed.out
    assert "written by a newer version of Handrail" in replayed.out
    assert "   8 observer      attempt 1 of third failed" in replayed.out
    assert "   17 observer      first undone" in replayed.out
    told = ran("replay", "wf_002", "--json").document
    assert [one["version"] for one in told["record"]["unreadable"]] == [9]
    assert ran("replay", "wf_002", "--at", "8").code == 0
    beyond = ran("replay", "wf_002", "--at", "12")
    assert (beyond.code, beyond.errors.count("\n")) == (2, 1)


@pytest.mark.parametrize("state", ["{}\n\n{}", 7, 7.5, 900_000_000_000])
def test_a_row_that_holds_no_bytes_is_a_damage_that_is_told_of(ran: CommandLine, state: str | float) -> None:
    hurt(ran.home, 5, state=state)
    for command in (("replay", "wf_002", "--json"), ("replay", "--all"), ("report", "wf_002")):
        ended = ran(*command)
        assert (ended.code, "internal error" in ended.errors) == (1, False), (command, ended.errors)
    assert cause(ran("replay", "wf_002", "--json")) == ("unreadable", 5, "wf_002")
    assert "wf_002  event 5" in ran("replay", "--all").out
    shown = ran("show", "wf_002")
    assert (shown.code, "event 5 cannot be read: its row holds a text or a number" in shown.errors) == (4, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("workflow_keys SET key = 'zz' WHERE workflow_id = 'wf_002'", "the key of workflow wf_002 is damaged"),
        ("workflow_keys SET key = x'00' WHERE workflow_id = 'wf_002'", "the key of workflow wf_002 is damaged"),
        (
            "stored_events SET originator_version = 'v' WHERE originator_id = 'wf_002' AND originator_version = 5",
            "event 5 is missing",
        ),
    ],
)
def test_a_damage_beside_the_events_is_told_of_too(ran: CommandLine, change: str, words: str) -> None:
    with sqlite3.connect(ran.home / "handrail.db") as store:
        store.execute(f"UPDATE {change}")
    replayed = ran("replay", "wf_002")
    assert (replayed.code, words in " ".join(replayed.out.split())) == (1, True), replayed.errors
    everything = ran("replay", "--all")
    assert (everything.code, "wf_002  event" in everything.out) == (1, True), everything.errors
    shown = ran("show", "wf_002")
    assert (shown.code, "restore the store from a backup" in shown.errors) == (4, True)


def test_a_history_without_its_first_event_says_so(ran: CommandLine) -> None:
    with sqlite3.connect(ran.home / "handrail.db") as store:
        store.execute("DELETE FROM stored_events WHERE originator_id = 'wf_002' AND originator_version = 1")
    replayed = ran("replay", "wf_002")
    assert replayed.code == 1
    assert "event 1 is missing" in replayed.out
    at = ran("replay", "wf_002", "--at", "1")
    assert (at.code, "cannot be folded" in at.errors) == (4, True)


def test_the_state_then_and_what_changed_between_two_events(ran: CommandLine) -> None:
    at = ran("replay", "wf_002", "--at", "7")
    assert at.lines[0].startswith("after event 7 of 18, ")
    assert at.lines[1] == "wf_002  executing"
    assert "  third   scheduled" in at.lines
    by_time = ran("replay", "wf_002", "--at", "2999-01-01T00:00:00Z", "--json").document
    assert (by_time["at"]["version"], by_time["status"]) == (18, "compensated")
    changes = ran("replay", "wf_002", "--diff", "7", "9", "--json").document["changes"]
    assert {"path": "/steps/third/status", "before": "scheduled", "after": "failed"} in changes
    told = ran("replay", "wf_002", "--diff", "7", "9").out
    assert '  /steps/third/status\n    before    "scheduled"\n    after     "failed"' in told
    assert "nothing of the state changed" in ran("replay", "wf_002", "--diff", "7", "7").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wf_999",), "there is no workflow 'wf_999'"),
        (("wf_002", "--at", "99"), "there is no event 99"),
        (("wf_002", "--at", "0"), "there is no event 0"),
        (("wf_002", "--at", "yesterday"), "is no instant"),
        (("wf_002", "--at", "1999-01-01"), "the workflow began later"),
        (("wf_002", "--diff", "1", "77"), "there is no event 77"),
        (("wf_002", "--at", "1", "--walk"), "give one of them"),
        (("wf_002", "--walk", "--json"), "--walk is for reading along"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(ran: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    ended = ran("replay", *arguments)
    assert (ended.code, ended.out, ended.errors.count("\n")) == (2, "", 1)
    assert words in ended.errors


def test_the_walk_goes_where_it_is_told(ran: CommandLine) -> None:
    typed = "f\nb\ns\nd\np\n\n99\nnonsense\na\nq\n"
    ended = subprocess.run(
        [*PROGRAM, "replay", "wf_002", "--walk"],
        cwd=ran.folder, env=ran.environment(), input=typed, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "> this is the first cause" in ended.stdout
    assert "wf_002  executing" in ended.stdout
    assert "/steps/third/status" in ended.stdout
    assert "the events are 1 to 18" in ended.stderr
    visited = [found[1] for found in re.finditer(r"^ [ !] +(\d+) [a-z]", ended.stdout, re.MULTILINE)]
    assert visited == ["1", "8", "7", "6", "7"]


def test_the_walk_at_a_terminal(ran: CommandLine) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "deploy.cli", "replay", "wf_002", "--walk"],
        cwd=str(ran.folder),
        env=dict(ran.environment()),
        encoding="utf-8",
        timeout=30,
    )
    child.expect("event 1 of 18> ")
    child.sendline("f")
    child.expect("this is the first cause")
    child.expect("event 8 of 18> ")
    child.sendline("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_terminal_sees_what_to_look_at_first(ran: CommandLine) -> None:
    def seen(**more: str) -> str:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "deploy.cli", "replay", "wf_002"],
            cwd=str(ran.folder),
            env={**ran.environment(), "TERM": "xterm", **more},
            encoding="utf-8",
            timeout=30,
        )
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        return str(child.before)

    shown = seen()
    assert "\x1b[1m  cause     event 8: an activity failed\x1b[0m" in shown
    plain = ran("replay", "wf_002").lines
    assert re.sub(r"\x1b\[[0-9]*m", "", shown).splitlines() == plain
    assert seen(NO_COLOR="1").splitlines() == plain


def test_help_has_examples(handrail: CommandLine) -> None:
    helped = handrail("replay", "--help")
    assert helped.code == 0
    assert "handrail replay wf_001 --diff 7 12" in helped.out
    assert json.dumps(helped.out).count("Exit codes") == 1
