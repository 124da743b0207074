"""On a home: failures by their make, a retry of all that wait because of one, and a cancellation of many."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_line import CommandLine, Ended
from tests.integration.many.recipes import MENDED

BY = ("--by", "olga", "--reason", "the register is back")


@pytest.fixture
def handrail(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, "tests.integration.many.recipes")


def run(handrail: CommandLine, goal: str, *more: str, code: int = 3) -> None:
    ended = handrail("run", "--goal", goal, *more)
    assert ended.code == code, ended.errors


def failures(handrail: CommandLine, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = handrail("failures", "--json", *options).document
    return found


def fingerprint(handrail: CommandLine, activity: str = "fall") -> str:
    (found,) = [one for one in failures(handrail) if one["activity"] == activity]
    return str(found["fingerprint"])


def results(ended: Ended) -> list[tuple[str, str]]:
    return [(one["workflow"], one["result"]) for one in ended.objects if one["kind"] == "act"]


def test_nothing_has_failed_where_nothing_has(handrail: CommandLine) -> None:
    (handrail.folder / MENDED).touch()
    run(handrail, "fall", code=0)
    assert handrail("failures").out == "nothing has failed\n"
    assert failures(handrail) == []


def test_failures_of_one_make_are_one_row_with_what_is_left_of_them(handrail: CommandLine) -> None:
    run(handrail, "fall", "--input", "word=blue")
    run(handrail, "also fall", "--input", "word=green")
    (found,) = failures(handrail)
    assert (found["activity"], found["kind"]) == ("fall", "bug")
    assert (found["count"], found["failed"], found["waiting"]) == (4, 2, 2)
    assert found["first_seen"] < found["last_seen"]
    (of_one,) = failures(handrail, "--definition", "also fall")
    assert (of_one["fingerprint"], of_one["count"], of_one["waiting"]) == (found["fingerprint"], 2, 1)
    assert failures(handrail, "--definition", "give") == []
    assert failures(handrail, "--since", "1h") == [found]
    assert failures(handrail, "--since", "1h", "--definition", "also fall") == [of_one]
    said = handrail("failures")
    assert said.lines[0].split()[:6] == ["FINGERPRINT", "ACTIVITY", "CLASS", "COUNT", "FAILED", "WAITING"]
    assert said.lines[1].split()[:6] == [found["fingerprint"], "fall", "bug", "4", "2", "2"]
    assert f"retry --fingerprint {found['fingerprint']}" in said.errors


def test_failures_that_were_seen_long_ago_are_left_out_where_only_late_ones_are_asked_for(
    handrail: CommandLine,
) -> None:
    run(handrail, "fall")
    assert len(failures(handrail, "--since", "1d")) == 1
    assert len(failures(handrail, "--since", "2026-01-01T00:00:00+14:00")) == 1
    assert failures(handrail, "--since", "2999-01-01") == []
    refused = handrail("failures", "--since", "yesterday")
    assert (refused.code, "--since" in refused.errors) == (2, True)


def test_every_step_that_waits_with_a_failure_is_retried_once(handrail: CommandLine) -> None:
    for _ in range(3):
        run(handrail, "fall")
    make = fingerprint(handrail)
    shown = handrail("retry", "--fingerprint", make, "--dry-run", "--json")
    assert (shown.code, len(results(shown))) == (0, 3)
    assert {result for _, result in results(shown)} == {"would retry"}
    assert failures(handrail)[0]["waiting"] == 3, "nothing was done"
    (handrail.folder / MENDED).touch()
    done = handrail("retry", "--fingerprint", make, *BY, "--rate", "1000/s", "--json")
    assert done.code == 0, done.errors
    assert sorted(results(done)) == [("wf_001", "done"), ("wf_002", "done"), ("wf_003", "done")]
    assert done.objects[-1] == {
        "kind": "summary", "done": 3, "already_done": 0, "refused": 0, "left": 0, "exit_code": 0,
    }  # fmt: skip
    assert handrail("resume").code == 0
    assert {one["status"] for one in handrail("list", "--json").document} == {"completed"}
    again = handrail("retry", "--fingerprint", make, *BY)
    assert (again.code, again.out, "nothing to retry" in again.errors) == (0, "", True)


def test_a_step_that_failed_without_an_attempt_is_found_by_its_failure_too(handrail: CommandLine) -> None:
    """An input that cannot be made is no attempt; tried again it fails again, and waits anew."""
    run(handrail, "misfit")
    (make,) = failures(handrail)
    assert (make["kind"], make["count"], make["failed"], make["waiting"]) == ("invalid", 1, 1, 1)
    (of_one,) = failures(handrail, "--definition", "misfit")
    assert of_one == make
    for _ in range(2):
        done = handrail("retry", "--fingerprint", make["fingerprint"], *BY, "--json")
        assert (done.code, results(done)) == (0, [("wf_001", "done")])
        assert handrail("resume").code == 3
    assert failures(handrail)[0]["waiting"] == 1


def test_an_undoing_that_failed_is_tried_again_by_its_failure_too(handrail: CommandLine) -> None:
    run(handrail, "give")
    (make,) = [one for one in failures(handrail) if one["activity"] == "take_back"]
    assert (make["failed"], make["waiting"]) == (0, 1)
    (handrail.folder / MENDED).touch()
    assert results(handrail("retry", "--fingerprint", make["fingerprint"], *BY, "--json")) == [("wf_001", "done")]
    assert handrail("resume").code == 1
    assert [one["status"] for one in handrail("list", "--json").document] == ["compensated"]


def test_workflows_of_a_status_and_definition_and_tag_are_cancelled_and_no_others(handrail: CommandLine) -> None:
    run(handrail, "fall", "--tag", "team=blue")
    run(handrail, "fall", "--tag", "team=red")
    run(handrail, "also fall", "--tag", "team=blue")
    chosen = ("--status", "blocked", "--definition", "fall", "--tag", "team=blue")
    assert results(handrail("cancel", *chosen, "--dry-run", "--json")) == [("wf_001", "would cancel")]
    done = handrail("cancel", *chosen, *BY, "--json")
    assert (done.code, results(done)) == (0, [("wf_001", "done")])
    statuses = {one["workflow_id"]: one["status"] for one in handrail("list", "--json").document}
    assert statuses == {"wf_001": "cancelled", "wf_002": "blocked", "wf_003": "blocked"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("retry", "--fingerprint", "0000", *BY), "there was no failure"),
        (("retry", "wf_001", "--fingerprint", "0000", *BY), "ID is for one"),
        (("retry", "--step", "fall", "--fingerprint", "0000", *BY), "--step is for one"),
        (("retry", "wf_001", *BY), "--step STEP"),
        (("retry", *BY), "give the ID of a workflow"),
        (("retry", "wf_001", "--step", "fall", "--dry-run"), "are for many"),
        (("retry", "--fingerprint", "0000", "--by", "olga"), "--reason is empty"),
        (("retry", "--fingerprint", "0000", *BY, "--rate", "often"), "--rate"),
        (("cancel", *BY), "give the ID of a workflow"),
        (("cancel", "--status", "blocked", *BY), "go together"),
        (("cancel", "wf_001", "--tag", "a=b", *BY), "are for many"),
        (("cancel", "wf_001", "--status", "blocked", "--definition", "fall", *BY), "ID is for one"),
        (("cancel", "--status", "completed", "--definition", "fall", *BY), "have ended"),
        (("cancel", "--status", "odd", "--definition", "fall", *BY), "--status"),
        (
            ("cancel", "--status", "blocked", "--definition", "fal", *BY),
            "no workflows of a definition 'fal': is 'fall'",
        ),
        (("cancel", "--status", "blocked", "--definition", "xyz", *BY), "no workflows of a definition 'xyz'"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    handrail: CommandLine, command: tuple[str, ...], words: str
) -> None:
    (handrail.folder / MENDED).touch()
    run(handrail, "fall", code=0)
    refused = handrail(*command)
    assert (refused.code, refused.out) == (2, "")
    assert words in refused.errors
    assert len(refused.errors.strip().splitlines()) == 1


def test_a_definition_that_is_loaded_is_no_slip_though_nothing_of_it_was_begun(handrail: CommandLine) -> None:
    (handrail.folder / MENDED).touch()
    run(handrail, "fall", code=0)
    chosen = ("cancel", "--status", "blocked", *BY)
    done = handrail(*chosen, "--definition", "give")
    assert (done.code, done.out, "nothing to cancel" in done.errors) == (0, "", True)
    slip = handrail(*chosen, "--definition", "giv")
    assert (slip.code, "is 'give' meant?" in slip.errors) == (2, True)


def test_where_definitions_cannot_be_loaded_a_name_is_held_against_those_of_workflows(handrail: CommandLine) -> None:
    (handrail.folder / MENDED).touch()
    run(handrail, "fall", code=0)
    chosen = ("cancel", "--status", "blocked", *BY, "--module", "tests.integration.many.gone")
    assert handrail(*chosen, "--definition", "fall", "--dry-run").code == 0
    slip = handrail(*chosen, "--definition", "fal")
    assert (slip.code, "is 'fall' meant?" in slip.errors) == (2, True)


def test_a_fingerprint_with_a_slip_is_told_with_the_nearest_one(handrail: CommandLine) -> None:
    run(handrail, "fall")
    known = fingerprint(handrail)
    refused = handrail("retry", "--fingerprint", f"{known[:-1]}-", *BY)
    assert refused.code == 2
    assert f"there was no failure '{known[:-1]}-': is '{known}' meant?" in refused.errors
