"""What people do on the command line: approve, reject, operate, signal, answer at the terminal."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest

from tests.integration.command_line import LIMIT_SECONDS, PROGRAM, CommandLine, Ended

VENDOR = "vendor onboarding review"


def names(handrail: CommandLine, workflow_id: str = "wf_001") -> list[str]:
    return [event["name"] for event in handrail("history", workflow_id).objects]


def refused(ended: Ended, *words: str) -> None:
    """One line on stderr that names the thing, and exit code 2."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.errors.count("\n") == 1, ended.errors
    assert ended.errors.startswith("handrail: ")
    for word in words:
        assert word in ended.errors


# --- approve, reject ------------------------------------------------------------------------------------------------


def test_a_rejection_undoes_and_fails(handrail: CommandLine) -> None:
    handrail("run", "--goal", "asking")
    ended = handrail("reject", "wf_001", "--by", "ann", "--reason", "too large")
    assert ended.code == 1
    assert ended.lines == [
        "[resume] approval_rejected",
        "[step] big=failed(rejected: rejected by ann: too large)",
        "[compensation] put=ok",
        "[workflow] id=wf_001 compensated",
    ]


def test_a_second_approval_is_refused_and_recorded(handrail: CommandLine) -> None:
    handrail("run", "--goal", "asking", "--approve-as", "ann")
    refused(handrail("approve", "wf_001", "--by", "bob"), "approve of big.1 by bob", "completed", "wf_001")
    assert names(handrail)[-1] == "DecisionRefused"


def test_the_requester_may_not_approve_under_four_eyes(handrail: CommandLine) -> None:
    handrail("run", "--goal", "council", "--by", "ann")
    refused(handrail("approve", "wf_001", "--by", "ann"), "ann", "four eyes")
    refused(handrail("approve", "wf_001", "--by", "zoe"), "zoe may not decide")
    counted = handrail("approve", "wf_001", "--by", "bob")
    assert counted.code == 3
    assert "1 of 2" in counted.errors
    refused(handrail("approve", "wf_001", "--by", "bob"), "already decided")
    assert handrail("approve", "wf_001", "--by", "cyd").lines == ["[resume] approval_received", "[step] say=hello"]


def test_a_digest_is_quoted_by_its_beginning_and_another_one_is_refused(handrail: CommandLine) -> None:
    handrail("run", "--goal", "asking")
    digest = handrail("show", "wf_001", "--json").document["approvals"]["big"]["digest"]
    other = ("0" if digest[0] != "0" else "1") + digest[1:8]
    refused(handrail("approve", "wf_001", "--by", "ann", "--digest", other), other, digest[:12], "look at it again")
    assert names(handrail)[-1] == "DecisionRefused"
    refused(handrail("approve", "wf_001", "--by", "ann", "--digest", digest[:3]), "at least 6")
    assert handrail("approve", "wf_001", "--by", "ann", "--digest", digest[:8]).code == 0


def test_a_step_is_named_where_several_wait(handrail: CommandLine) -> None:
    blocked = handrail("run", "--goal", "twice")
    assert "handrail approve wf_001 --by WHO --step right" in blocked.errors
    refused(handrail("approve", "wf_001", "--by", "ann"), "--step", "left, right")
    refused(
        handrail("approve", "wf_001", "--by", "ann", "--step", "middle"), "no step 'middle'", "handrail show wf_001"
    )
    assert handrail("approve", "wf_001", "--by", "ann", "--step", "left").code == 3
    assert handrail("approve", "wf_001", "--by", "ann").code == 0


def test_who_decides_where_nothing_is_to_be_decided(handrail: CommandLine) -> None:
    handrail("run", "--goal", "greet")
    refused(handrail("approve", "wf_001", "--by", "ann"), "waits for no approval", "completed", "handrail show wf_001")
    refused(handrail("approve", "wf_999", "--by", "ann"), "wf_999", "handrail list")


def test_a_grant_may_bring_its_own_controls_or_those_proposed(handrail: CommandLine) -> None:
    handrail("run", "--goal", "asking")
    handrail("approve", "wf_001", "--by", "ann", "--control", "one", "--control", "two", "--reason", "checked")
    shown = handrail("show", "wf_001", "--json").document
    assert shown["controls"] == ["one", "two"]
    assert shown["approvals"]["big"]["reason"] == "checked"
    handrail("run", "--goal", "asking", "--approve-as", "ann")
    assert handrail("show", "wf_002", "--json").document["controls"] == ["call first"]


def test_an_act_without_the_definition_leaves_the_workflow_as_it_was(handrail: CommandLine) -> None:
    """Claimed here, its steps would lack the definition, and wait for it."""
    handrail("run", "--goal", "greet", "--detach")
    before = handrail("history", "wf_001").out
    for act in (("cancel",), ("pause",), ("approve", "--by", "ann"), ("skip", "--step", "say", "--by", "ann")):
        told = handrail(act[0], "wf_001", *act[1:], "--reason", "no", HANDRAIL_MODULES="")
        refused(told, "definition 'greet' version '1' is not loaded here", "--module")
        assert handrail("history", "wf_001").out == before


def test_a_saved_decision_is_carried_out_later(handrail: CommandLine) -> None:
    handrail("run", "--goal", "asking")
    saved = handrail("approve", "wf_001", "--by", "ann", "--detach")
    assert (saved.code, saved.lines) == (0, ["[resume] approval_received"])
    assert handrail("resume").lines == ["[workflow] id=wf_001 resumed", "[step] say=hello"]


# --- operators ------------------------------------------------------------------------------------------------------


def test_a_bug_waits_for_an_operator_who_skips(handrail: CommandLine) -> None:
    blocked = handrail("run", "--goal", "stumble")
    assert blocked.code == 3
    assert blocked.lines[-2] == "[step] fall=failed(bug: nobody expected this)"
    assert blocked.lines[-1].startswith("[step] fall=blocked(")
    for verb in ("retry", "skip", "supply", "cancel"):
        assert f"handrail {verb} wf_001" in blocked.errors
    skipped = handrail("skip", "wf_001", "--step", "fall", "--by", "olga", "--reason", "not needed")
    assert skipped.code == 0
    assert skipped.lines == ["[resume] skip_requested", "[step] fall=skipped", "[step] say=hello"]
    applied = next(one for one in handrail("history", "wf_001").objects if one["name"] == "InterventionApplied")
    assert (applied["payload"]["by"], applied["payload"]["reason"]) == ("olga", "not needed")


def test_an_operator_supplies_the_output(handrail: CommandLine) -> None:
    handrail("run", "--goal", "stumble")
    supplied = handrail("supply", "wf_001", "--step", "fall", "--output", '{"outcome": "by hand"}', "--by", "olga")
    assert supplied.lines == ["[resume] output_supplied", "[step] fall=by hand", "[step] say=hello"]


def test_an_operator_tries_again_with_another_input(handrail: CommandLine) -> None:
    handrail("run", "--goal", "stumble")
    (handrail.folder / "other.json").write_text('{"word": "again"}')
    again = handrail("retry", "wf_001", "--step", "fall", "--input", "@other.json", "--by", "olga")
    assert again.code == 3
    assert again.lines[0] == "[resume] retry_requested"
    scheduled = [one["payload"] for one in handrail("history", "wf_001").objects if one["name"] == "StepScheduled"]
    assert (scheduled[-1]["generation"], scheduled[-1]["input"]) == (2, {"word": "again"})
    assert scheduled[-1]["key"] != scheduled[0]["key"]


@pytest.mark.parametrize(("said", "code"), [("applied", 0), ("not-applied", 3)])
def test_an_unknown_outcome_is_settled(handrail: CommandLine, said: str, code: int) -> None:
    blocked = handrail("run", "--goal", "unknown")
    assert blocked.code == 3
    assert "[step] pay=outcome_unknown(" in blocked.lines[-1]
    assert "handrail settle wf_001 --step pay --as applied" in blocked.errors
    assert "idempotency key  wf_001/pay/run" in handrail("show", "wf_001").out
    settled = handrail("settle", "wf_001", "--step", "pay", "--as", said, "--by", "olga", "--reason", "seen")
    assert settled.code == code
    assert settled.lines[0] == f"[resume] outcome_{said.replace('-', '_')}"


def test_a_budget_is_extended(handrail: CommandLine) -> None:
    blocked = handrail("run", "--goal", "budget")
    assert blocked.code == 3
    assert blocked.lines[-1].startswith("[workflow] id=wf_001 blocked(all 2 attempts")
    assert "handrail extend wf_001 --attempts" in blocked.errors
    extended = handrail("extend", "wf_001", "--attempts", "5", "--by", "olga")
    assert extended.code == 0
    assert extended.lines[0] == "[resume] budget_extended"


def test_pause_holds_and_unpause_goes_on(handrail: CommandLine) -> None:
    handrail("run", "--goal", "greet", "--detach")
    paused = handrail("pause", "wf_001", "--by", "olga", "--reason", "maintenance")
    assert (paused.code, paused.lines) == (0, ["[workflow] id=wf_001 paused"])
    assert handrail("pause", "wf_001", "--by", "olga").code == 0
    held = handrail("resume", "wf_001")
    assert (held.code, held.out) == (3, "")
    assert "handrail unpause wf_001" in held.errors
    on = handrail("unpause", "wf_001", "--by", "olga")
    assert on.lines == ["[workflow] id=wf_001 unpaused", "[step] say=hello", "[artifact] result.json"]
    assert on.code == 0


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ((), ["[compensation] put=ok", "[workflow] id=wf_001 cancelled"]),
        (("--no-compensation",), ["[workflow] id=wf_001 cancelled"]),
    ],
)
def test_cancel_with_and_without_undoing(handrail: CommandLine, options: tuple[str, ...], lines: list[str]) -> None:
    handrail("run", "--goal", "asking")
    shown = handrail("show", "wf_001").lines
    assert shown[shown.index("compensation plan") + 1] == "  put  by put_back"
    ended = handrail("cancel", "wf_001", "--by", "olga", "--reason", "no longer wanted", *options)
    assert (ended.code, ended.lines) == (1, lines)


def test_operators_are_refused_where_it_does_not_fit(handrail: CommandLine) -> None:
    handrail("run", "--goal", "greet")
    refused(handrail("retry", "wf_001", "--step", "say", "--by", "olga"), "retry of say by olga")
    refused(handrail("settle", "wf_001", "--step", "say", "--as", "not-applied", "--output", "1"), "--output")
    refused(handrail("cancel", "wf_001", "--by", "olga"), "cancel")


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_signal_drives_on_who_waits_for_it(handrail: CommandLine) -> None:
    waiting = handrail.start("run", "--goal", "signal")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "[workflow] id=wf_001 started\n"
    assert waiting.stdout.readline() == "[step] letter=waiting(signal letter box-1)\n"
    sent = handrail("signal", "letter", "box-1", "--payload", '{"word": "signalled"}', "--by", "post")
    assert sent.lines == ["[resume] signal_received", "[step] say=hello"]
    out, errors = waiting.communicate(timeout=LIMIT_SECONDS)
    assert waiting.returncode == 0, errors
    assert out.splitlines() == ["[resume] signal_received", "[step] say=hello"]


def test_a_signal_that_nobody_waits_for_is_kept(handrail: CommandLine) -> None:
    kept = handrail("signal", "letter", "box-1")
    assert (kept.code, kept.out) == (0, "")
    assert "kept" in kept.errors
    ended = handrail("run", "--goal", "signal")
    assert ended.code == 0
    assert ended.lines[-2:] == ["[resume] signal_received", "[step] say=hello"]


def test_resume_of_everything_waits_for_people_only(handrail: CommandLine) -> None:
    for goal in ("asking", "greet", "undo", "nap"):
        handrail("run", "--goal", goal, "--detach")
    ended = handrail("resume")
    assert ended.code == 1
    for line in (
        "[step] big=blocked(a large sum)",
        "[artifact] result.json",
        "[workflow] id=wf_003 compensated",
        "[resume] time_reached",
    ):
        assert line in ended.lines
    assert "handrail approve wf_001 --by WHO" in ended.errors
    statuses = {row["workflow_id"]: row["status"] for row in handrail("list", "--json").document}
    assert statuses == {"wf_001": "blocked", "wf_002": "completed", "wf_003": "compensated", "wf_004": "completed"}
    again = handrail("resume", "--json")
    assert (again.code, again.objects) == (3, [{"kind": "summary", "waiting": 1, "exit_code": 3}])


# --- at a terminal --------------------------------------------------------------------------------------------------


@contextmanager
def terminal(handrail: CommandLine, *arguments: str) -> Iterator["pexpect.spawn[str]"]:
    program, *rest = PROGRAM
    child = pexpect.spawn(
        program,
        [*rest, *arguments],
        cwd=str(handrail.folder),
        env={**handrail.environment(), "TERM": "dumb"},
        encoding="utf-8",
        dimensions=(200, 120),
        timeout=LIMIT_SECONDS,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def answer(child: "pexpect.spawn[str]", *pairs: tuple[str, str]) -> None:
    for question, word in pairs:
        child.expect_exact(question)
        child.sendline(word)


def end(child: "pexpect.spawn[str]") -> tuple[str, int | None]:
    child.expect(pexpect.EOF)
    rest = child.before or ""
    child.close()
    return rest, child.exitstatus


def test_at_a_terminal_the_block_asks_there_and_then(handrail: CommandLine) -> None:
    with terminal(handrail, "run", "--goal", VENDOR, "--by", "ada") as child:
        child.expect_exact("[step] policy_screen=blocked(manual approval)")
        child.expect_exact("insurance_short")
        child.expect(r"digest\s+[0-9a-f]{64}")
        answer(
            child,
            ("approve, reject or later?", "what"),
            ("approve, reject or later?", "a"),
            ("who decides (your name)?", ""),
            ("who decides (your name)?", "ada"),
            ("controls", ""),
        )
        child.expect_exact("refused: ada asked for it")
        answer(
            child, ("approve, reject or later?", "approve"), ("who decides", "grace"), ("controls", "look twice; think")
        )
        rest, code = end(child)
    assert code == 0
    assert rest.split("\r\n")[1:] == [
        "[resume] approval_received",
        "[step] final_decision=approved_with_controls",
        "[artifact] onboarding_decision.json",
        "",
    ]
    assert handrail("show", "wf_001", "--json").document["controls"] == ["look twice", "think"]


def test_at_a_terminal_one_may_reject_or_put_it_off(handrail: CommandLine) -> None:
    with terminal(handrail, "run", "--goal", "asking") as child:
        answer(child, ("later?", "l"))
        rest, code = end(child)
    assert code == 3
    assert "handrail approve wf_001 --by WHO" in rest
    with terminal(handrail, "resume", "wf_001") as child:
        answer(child, ("later?", "r"), ("who decides", "ann"), ("why?", "too large"))
        rest, code = end(child)
    assert code == 1
    assert "[workflow] id=wf_001 compensated" in rest


def test_an_interrupt_at_the_question_leaves_it_waiting(handrail: CommandLine) -> None:
    with terminal(handrail, "run", "--goal", "asking") as child:
        child.expect_exact("later?")
        child.kill(signal.SIGINT)
        rest, code = end(child)
    assert code == 3
    assert "Traceback" not in rest
    assert "handrail approve wf_001 --by WHO" in rest


def test_the_end_of_input_puts_it_off(handrail: CommandLine) -> None:
    with terminal(handrail, "run", "--goal", "asking") as child:
        child.expect_exact("later?")
        child.sendeof()
        _, code = end(child)
    assert code == 3


def test_a_question_answered_elsewhere_is_withdrawn(handrail: CommandLine) -> None:
    with terminal(handrail, "run", "--goal", "asking") as child:
        child.expect_exact("later?")
        elsewhere = handrail("approve", "wf_001", "--by", "ann")
        assert elsewhere.lines == ["[resume] approval_received", "[step] say=hello"]
        rest, code = end(child)
    assert code == 0
    assert "decided elsewhere" in rest
    assert "[step] say=hello" in rest


def test_json_at_a_terminal_asks_nobody(handrail: CommandLine) -> None:
    with terminal(handrail, "run", "--goal", "asking", "--json") as child:
        rest, code = end(child)
    assert code == 3
    summary = next(json.loads(line) for line in rest.split("\r\n") if '"summary"' in line)
    assert summary["status"] == "blocked"
