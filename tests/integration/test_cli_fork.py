"""Forks from the command line: listed, asked for, begun once, and told of by both histories and by all that reads."""

import json
import os
import shlex
import sys
from pathlib import Path

import pexpect
import pytest

from domain.forking import fork_id
from tests.integration.command_line import LIMIT_SECONDS, PROGRAM, CommandLine
from tests.integration.test_cli_people import names, refused

FIRST = 3
"""The end of the first decision: nothing has settled there."""


def fork_of(handrail: CommandLine, at: int, workflow_id: str = "wf_001") -> str:
    """The one fork of a workflow after this event."""
    forks = handrail("show", workflow_id, "--json").document["forks"]
    (found,) = [name for name, version in forks.items() if version == at]
    return str(found)


def test_a_fork_runs_what_had_not_settled_and_leaves_its_source_alone(handrail: CommandLine) -> None:
    handrail("run", "--goal", "undo")
    assert names(handrail)[-1] == "WorkflowCompensated"
    before = handrail("history", "wf_001").lines
    ended = handrail("fork", "wf_001", "--at", "5", "--by", "olga", "--reason", "once more", "--yes")
    fork = fork_of(handrail, 5)
    assert (ended.code, ended.lines) == (
        1,
        [
            f"[workflow] id={fork} started",
            "[step] second=ok",
            "[step] third=failed(permanent: it cannot be done)",
            "[compensation] second=ok",
            f"[workflow] id={fork} compensated",
        ],
    )
    assert "settled before it, and not run again: first" in ended.errors
    assert "second put [idempotent]: attempt 1 ok (event 5); undone since" in ended.errors
    assert "! first was undone by event" in ended.errors
    assert "--at 3 has it done again" in ended.errors
    history = handrail("history", "wf_001").lines
    assert history[: len(before)] == before, "what was there is untouched"
    (taken,) = [json.loads(line) for line in history[len(before) :]]
    assert (taken["name"], taken["payload"]["fork"], taken["payload"]["by"]) == ("ForkTaken", fork, "olga")
    (began, *_) = handrail("history", fork).objects
    assert (began["name"], began["payload"]["source"]) == ("WorkflowForked", "wf_001")
    assert began["payload"]["source_digest"] == json.loads(before[4])["digest"]


def test_the_same_command_is_the_same_fork_and_another_is_another(handrail: CommandLine) -> None:
    handrail("run", "--goal", "greet")
    fork = fork_id("wf_001", FIRST, None, "")
    for _ in range(2):
        again = handrail("fork", "wf_001", "--at", str(FIRST), "--yes")
        assert (again.code, again.lines[0]) == (0, f"[workflow] id={fork} started")
    assert names(handrail).count("ForkTaken") == 1
    handrail("fork", "wf_001", "--at", str(FIRST), "--yes", "--another")
    assert len(handrail("show", "wf_001", "--json").document["forks"]) == 2


def test_nobody_is_asked_without_a_terminal_and_nothing_is_begun(handrail: CommandLine) -> None:
    handrail("run", "--goal", "asking", "--approve-as", "ann")
    told = handrail("fork", "wf_001", "--at", str(FIRST), "--by", "olga")
    assert (told.code, told.out) == (2, "")
    assert "put [idempotent]: attempt 1 ok (event 3)" in told.errors
    assert "`handrail fork wf_001 --at 3 --by olga --yes` does it" in told.errors
    listed = handrail("fork", "wf_001", "--at", str(FIRST), "--dry-run", "--json").document
    assert [(one["step"], one["effect"]) for one in listed["repeated"]] == [
        ("put", "idempotent"), ("big", "pure"), ("say", "pure")
    ]  # fmt: skip
    assert handrail("fork", "wf_001", "--at", str(FIRST), "--dry-run").code == 0
    assert "ForkTaken" not in names(handrail)
    assert len(handrail("list", "--json").document) == 1


def test_what_it_says_to_type_has_all_that_was_given(handrail: CommandLine) -> None:
    handrail("run", "--goal", "undo")
    given = ("--by", "olga", "--reason", "don't", "--input", "word=a b", "--another", "--detach")
    told = handrail("fork", "wf_001", "--at", str(FIRST), *given)
    (line,) = [line for line in told.errors.splitlines() if "does it" in line]
    assert handrail(*shlex.split(line.split("`")[1])[1:]).code == 0
    (taken,) = [one["payload"] for one in handrail("history", "wf_001").objects if one["name"] == "ForkTaken"]
    assert (taken["reason"], taken["by"], taken["input"]["word"]) == ("don't", "olga", "a b")
    assert taken["fork"] != fork_id("wf_001", FIRST, None, "")


@pytest.mark.parametrize(("said", "code"), [("n", 2), ("y", 3)])
def test_at_a_terminal_it_is_asked(handrail: CommandLine, said: str, code: int) -> None:
    handrail("run", "--goal", "asking")
    handrail("approve", "wf_001", "--by", "ann")
    typed = pexpect.spawn(
        sys.executable,
        [*PROGRAM[1:], "fork", "wf_001", "--at", str(FIRST)],
        cwd=str(handrail.folder),
        env=dict(handrail.environment()),
        timeout=LIMIT_SECONDS,
        encoding="utf-8",
    )
    typed.expect_exact("would be done a second time")
    typed.expect_exact("fork it? [y/N] ")
    typed.sendline(said)
    if said == "y":
        typed.expect_exact("approve, reject or later?")
        typed.sendline("later")
    typed.expect(pexpect.EOF)
    typed.close()
    assert typed.exitstatus == code
    assert ("ForkTaken" in names(handrail)) == (said == "y")


def test_what_cannot_be_forked_is_refused_in_one_line(handrail: CommandLine) -> None:
    handrail("run", "--goal", "undo")
    refused(handrail("fork", "wf_001", "--at", "4", "--yes"), "in the middle of a decision", "give 3 or 5")
    refused(handrail("fork", "wf_001", "--at", "99", "--yes"), "no event 99")
    last = len(names(handrail))
    refused(handrail("fork", "wf_001", "--at", str(last), "--yes"), "begun to undo", "(first, second)", "give 7")
    refused(handrail("fork", "wf_009", "--at", "3", "--yes"), "there is no workflow 'wf_009'")
    refused(handrail("fork", "wf_001", "--at", "yesterday", "--yes"), "'yesterday' is no instant")
    bare = handrail("fork", "wf_001", "--at", "3", "--yes", HANDRAIL_MODULES="")
    refused(bare, "definition 'undo' version '1' is not loaded here", "--module")
    assert "ForkTaken" not in names(handrail)


def test_a_fork_of_what_waits_for_a_person_asks_anew_and_does_nothing_twice(handrail: CommandLine) -> None:
    handrail("run", "--goal", "council", "--by", "rita")
    first = handrail("show", "wf_001", "--json").document
    cut = len(names(handrail))
    forked = handrail("fork", "wf_001", "--at", str(cut), "--by", "olga")
    assert forked.code == 3
    assert "nothing would be done a second time" in forked.errors
    assert "wf_001 is blocked, and goes on beside the fork" in forked.errors
    fork = fork_of(handrail, cut)
    digest = handrail("show", fork, "--json").document["approvals"]["say"]["digest"]
    assert digest != first["approvals"]["say"]["digest"]
    other = first["approvals"]["say"]["digest"][:8]
    refused(handrail("approve", fork, "--by", "ann", "--digest", other), "look at it again")
    for person in ("bob", "cyd"):
        ended = handrail("approve", fork, "--by", person)
    assert ended.lines[-1] == "[step] say=hello"
    assert handrail("show", "wf_001", "--json").document["status"] == "blocked"


def test_what_is_still_to_run_has_another_input(handrail: CommandLine) -> None:
    handrail("run", "--goal", "spoken", "--input", "word=hello")
    cut = len(names(handrail)) - 2
    forked = handrail("fork", "wf_001", "--at", str(cut), "--input", "word=goodbye", "--yes")
    assert forked.lines[-1] == "[step] again=goodbye"
    assert "another input for what is still to run: word; what has settled had the old one" in forked.errors
    shown = handrail("show", fork_of(handrail, cut), "--json").document
    assert shown["input"] == {"word": "goodbye"}
    assert handrail("show", "wf_001", "--json").document["input"] == {"word": "hello"}
    bad = handrail("fork", "wf_001", "--at", str(cut), "--input", "wrod=x", "--yes")
    refused(bad, "input of definition 'spoken'", "wrod")


def test_a_parent_s_fork_has_a_child_of_its_own(handrail: CommandLine) -> None:
    handrail("run", "--goal", "parent")
    cut = len(names(handrail))
    listed = handrail("fork", "wf_001", "--at", str(cut), "--dry-run")
    assert "child child workflow of asking [child]: began wf_001.child" in listed.out
    assert "wf_001.child put [idempotent]: attempt 1 ok" in listed.out
    forked = handrail("fork", "wf_001", "--at", str(cut), "--yes", "--by", "olga")
    assert forked.code == 3
    fork = fork_of(handrail, cut)
    handrail("approve", f"{fork}.child", "--by", "ann")
    handrail("resume", fork)
    assert handrail("show", fork, "--json").document["status"] == "completed"
    assert handrail("show", "wf_001", "--json").document["status"] == "blocked"
    of_child = handrail("fork", "wf_001.child", "--at", str(FIRST), "--yes")
    assert of_child.code == 3
    alone = handrail("show", fork_of(handrail, FIRST, "wf_001.child"), "--json").document
    assert alone["parent_workflow"] is None


def test_a_saved_fork_is_driven_later(handrail: CommandLine) -> None:
    handrail("run", "--goal", "greet")
    saved = handrail("fork", "wf_001", "--at", str(FIRST), "--yes", "--detach")
    fork = fork_of(handrail, FIRST)
    assert (saved.code, saved.lines) == (0, [f"[workflow] id={fork} started"])
    assert f"`handrail resume {fork}` goes on" in saved.errors
    assert handrail("resume", fork).code == 0
    assert handrail("show", fork, "--json").document["status"] == "completed"


def test_all_that_reads_knows_forks(handrail: CommandLine, tmp_path: Path) -> None:
    handrail("run", "--goal", "greet")
    handrail("fork", "wf_001", "--at", str(FIRST), "--by", "olga", "--yes")
    fork = fork_of(handrail, FIRST)
    assert f"forked from   wf_001 at event {FIRST}" in handrail("show", fork).out
    assert f"forks         {fork} at event {FIRST}" in handrail("show", "wf_001").out
    for workflow in ("wf_001", fork):
        replayed = handrail("replay", workflow, "--json")
        assert (replayed.code, replayed.document["code"]["word"]) == (0, "agrees"), replayed.out
    assert f"forked from wf_001 at event {FIRST}" in handrail("replay", fork).out
    assert f"olga forks it at event {FIRST}: {fork}" in handrail("replay", "wf_001").out
    assert handrail("replay", "--all").code == 0
    compared = handrail("compare", fork, "wf_001", "--json")
    assert (compared.code, compared.document["forked_at"]) == (0, FIRST), compared.out
    assert handrail("stuck").code == 0
    assert {one["workflow_id"]: one["forked_from"] for one in handrail("list", "--json").document} == {
        "wf_001": None, fork: "wf_001"
    }  # fmt: skip
    verified = handrail("projections", "verify", "all")
    assert verified.code == 0, verified
    export = tmp_path / "all.jsonl"
    assert handrail("export", "--all", "--format", "jsonl", "-o", str(export)).code == 0
    assert handrail("verify", str(export)).code == 0
    for name in ("csv", "mermaid"):
        told = handrail("export", "wf_001", "--format", name, "-o", os.fspath(tmp_path / f"x.{name}"))
        assert told.code == 0, told
