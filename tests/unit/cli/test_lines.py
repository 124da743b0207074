"""The printed lines, event by event: a pure function that scripts rely on."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.cli.lines import LINE_CHARACTERS, Earlier, ending, one_line, outcome_word, seconds, tell
from domain import events as e
from domain.chain import GENESIS
from domain.events import TERMINAL_EVENTS, Event
from domain.failures import FailureClass, make_failure
from domain.recorded import RecordedEvent, record, stamp

AT = datetime(2030, 1, 1, tzinfo=UTC)
FAILURE = make_failure("score", FailureClass.TRANSIENT, "no\nroute \x1b[31mto host")
DIGEST = "d" * 64


def recorded(event: Event, version: int = 1, decision: int | None = None) -> RecordedEvent:
    return record(event, stamp("wf_001", AT, "cause", "actor", decision or version), version, GENESIS)


def said(*events: Event, decision: int | None = None) -> list[str]:
    """The lines of these events, all of one decision where one is given."""
    earlier = Earlier()
    return [
        str(line)
        for version, event in enumerate(events, start=1)
        for line in tell(recorded(event, version, decision), earlier)
    ]


def asked(step: str = "screen", **changes: Any) -> e.ApprovalRequested:
    given: dict[str, Any] = {
        "step": step, "approval_id": f"{step}.1", "round": 1, "origin": "activity", "digest": DIGEST,
        "policy": "default", "policy_version": "1", "required": 1, "rejections": 1, "approvers": ("*",),
        "four_eyes": False, "action": {}, "reason": "manual approval",
    }  # fmt: skip
    return e.ApprovalRequested(**given | changes)


STARTED = e.WorkflowStarted(goal="g", definition="d", definition_version="1", input={}, requested_by="ada")
GRANTED = e.ApprovalGranted(step="screen", round=1, decided_by=("ann",))
ARTIFACT = e.Artifact(name="note.txt", digest=DIGEST, size=3)
WAIT: dict[str, Any] = {"step": "letter"}

EACH: Sequence[tuple[Event, str | None]] = (
    (STARTED, "[workflow] id=wf_001 started"),
    (
        e.WorkflowForked(source="wf_000", source_version=3, source_digest=DIGEST, state={}, requested_by="ada"),
        "[workflow] id=wf_001 started",
    ),
    (e.PlanRequested(round=1), None),
    (e.PlanProposed(round=1, steps=(), final=True), None),
    (e.PlanRejected(round=1, reason="a\ncycle"), "[step] _plan=rejected(a cycle)"),
    (e.PolicyEvaluated(step="screen", policy="p", policy_version="1", verdict="allow"), None),
    (asked(), "[step] screen=blocked(manual approval)"),
    (asked(reason=" \n"), "[step] screen=blocked(approval)"),
    (e.ApprovalRecorded(step="screen", round=1, decision="approve", decided_by="ann"), None),
    (GRANTED, "[resume] approval_received"),
    (e.ApprovalRejected(step="screen", round=1, decided_by=("ann",)), "[resume] approval_rejected"),
    (e.ApprovalEscalated(step="screen", round=1, escalate_to=("boss",), due_at=AT), None),
    (e.ApprovalExpired(step="screen", round=1, due_at=AT, then="reject"), "[resume] approval_expired"),
    (e.DecisionRefused(approval_id="screen.1", decided_by="ann", decision="approve", reason="twice"), None),
    (
        e.StepScheduled(
            step="score",
            kind="run",
            attempt=1,
            message_id="m",
            activity="score",
            queue="q",
            input={},
            expires_at=AT,
            key="k",
        ),
        None,
    ),
    (e.StepSucceeded(step="score", attempt=1), "[step] score=ok"),
    (
        e.StepSucceeded(step="score", attempt=1, output={"outcome": "approved_with_controls"}),
        "[step] score=approved_with_controls",
    ),
    (e.StepSucceeded(step="_plan", attempt=1), None),
    (e.AttemptFailed(step="score", kind="run", attempt=1, failure=FAILURE), None),
    (e.AttemptLapsed(step="score", kind="run", attempt=1), None),
    (
        e.RetryScheduled(step="score", kind="run", attempt=2, due_at=AT, delay_seconds=2.0),
        "[retry] score attempt=2 in=2s",
    ),
    (
        e.RetryScheduled(step="_plan", kind="plan", attempt=2, due_at=AT, delay_seconds=0.25),
        "[retry] _plan attempt=2 in=0.25s",
    ),
    (e.StepFailed(step="score", failure=FAILURE), "[step] score=failed(transient: no route [31mto host)"),
    (e.StepFailed(step="_artifact", failure=FAILURE), "[step] _artifact=failed(transient: no route [31mto host)"),
    (e.StepTimedOut(step="score", kind="run", attempt=1, due_at=AT), "[step] score=timed_out"),
    (e.OutcomeUnknown(step="pay", attempt=1, reason="lease\nended"), "[step] pay=outcome_unknown(lease ended)"),
    (
        e.OutcomeReconciled(step="pay", attempt=1, applied=True, settled_by="olga"),
        "[resume] outcome_applied",
    ),
    (
        e.OutcomeReconciled(step="pay", attempt=1, applied=False, settled_by="probe"),
        "[resume] outcome_not_applied",
    ),
    (e.LateOutcomeRecorded(step="pay", kind="run", attempt=1, status="ok"), None),
    (e.CommandDeadLettered(step="pay", kind="run", attempt=1, reason="no route"), None),
    (e.StepSkipped(step="score", reason="by hand"), "[step] score=skipped"),
    (e.ArtifactRecorded(step="_artifact", attempt=1, name="a.json", digest=DIGEST, size=2), "[artifact] a.json"),
    (
        e.WaitStarted(**WAIT, reason="signal", name="letter", correlation="box 1"),
        "[step] letter=waiting(signal letter box 1)",
    ),
    (
        e.WaitStarted(**WAIT, reason="time", due_at=AT),
        "[step] letter=waiting(until 2030-01-01T00:00:00+00:00)",
    ),
    (e.WaitStarted(step="", reason="budget", detail="all 2 used"), "[workflow] id=wf_001 blocked(all 2 used)"),
    (e.WaitStarted(step="", reason="definition"), "[workflow] id=wf_001 blocked(definition)"),
    (e.WaitSatisfied(**WAIT, reason="signal"), "[resume] signal_received"),
    (e.WaitSatisfied(**WAIT, reason="time"), "[resume] time_reached"),
    (e.WaitSatisfied(step="", reason="definition"), "[resume] definition_loaded"),
    (e.WaitSatisfied(step="", reason="budget"), None),
    (e.WaitTimedOut(**WAIT, reason="signal", due_at=AT, then="skip"), "[resume] wait_timed_out"),
    (
        e.ChildStarted(step="part", child_workflow="wf_001.part", definition="d", goal="g", input={}),
        "[step] part=waiting(child wf_001.part)",
    ),
    (e.ChildEnded(step="part", child_workflow="wf_001.part", status="failed"), "[resume] child_failed"),
    (e.InterventionRequested(step="score", reason="a bug"), "[step] score=blocked(a bug)"),
    (e.InterventionRequested(step="", reason="late effect"), "[workflow] id=wf_001 blocked(late effect)"),
    (e.InterventionApplied(act="retry", step="score", by="o", reason="r"), "[resume] retry_requested"),
    (e.InterventionApplied(act="skip", step="score", by="o", reason="r"), "[resume] skip_requested"),
    (e.InterventionApplied(act="supply", step="score", by="o", reason="r"), "[resume] output_supplied"),
    (e.InterventionApplied(act="extend", by="o", reason="r", attempts=2), "[resume] budget_extended"),
    (e.InterventionApplied(act="settle", step="pay", by="o", reason="r"), None),
    (e.WorkflowPaused(by="o", reason="r"), "[workflow] id=wf_001 paused"),
    (e.WorkflowRestored(epoch=2, by="o", reason="r"), "[workflow] id=wf_001 restored"),
    (e.WorkflowResumed(by="o", reason="r"), "[workflow] id=wf_001 unpaused"),
    (
        e.ForkTaken(fork="wf_002", version=4, digest=DIGEST, by="o", reason="r"),
        "[workflow] id=wf_001 forked wf_002",
    ),
    (e.StoppingBegan(why="failed", reason="r"), None),
    (e.CompensationStarted(steps=("put",)), None),
    (e.CompensationScheduled(step="put", generation=1, activity="undo", input={}, key="k"), None),
    (e.StepCompensated(step="put", generation=1, attempt=1), "[compensation] put=ok"),
    (e.StepCompensated(step="put", generation=1, attempt=1, accepted_by="o"), "[compensation] put=accepted"),
    (
        e.CompensationFailed(step="put", generation=1, failure=FAILURE),
        "[compensation] put=failed(transient: no route [31mto host)",
    ),
    (e.WorkflowCompleted(), None),
    (e.WorkflowFailed(reason="r"), "[workflow] id=wf_001 failed"),
    (e.WorkflowCancelled(reason="r"), "[workflow] id=wf_001 cancelled"),
    (e.WorkflowCompensated(reason="r", compensated=("put",)), "[workflow] id=wf_001 compensated"),
)


@pytest.mark.parametrize(
    ("event", "line"), EACH, ids=lambda value: type(value).__name__ if isinstance(value, Event) else ""
)
def test_each_event_has_its_line_or_none(event: Event, line: str | None) -> None:
    assert said(event) == ([] if line is None else [line])


def test_no_event_is_forgotten() -> None:
    assert {type(event) for event, _ in EACH} == set(e.STORED.values())


def test_a_grant_speaks_for_the_step_that_it_makes_ok() -> None:
    done = e.StepSucceeded(step="screen", attempt=1, granted=True)
    assert said(GRANTED, done, decision=7) == ["[resume] approval_received"]
    assert said(GRANTED, e.StepSucceeded(step="other", attempt=1), decision=7)[-1] == "[step] other=ok"


def test_a_step_that_ran_after_its_grant_speaks_for_itself() -> None:
    assert said(GRANTED, e.StepSucceeded(step="screen", attempt=1, granted=True)) == [
        "[resume] approval_received",
        "[step] screen=ok",
    ]


def test_a_signal_speaks_for_the_wait_that_it_ends() -> None:
    ended = e.WaitSatisfied(step="letter", reason="signal", payload={"outcome": "x"})
    assert said(ended, e.StepSucceeded(step="letter", attempt=0), decision=3) == ["[resume] signal_received"]


def test_files_of_a_step_are_told_with_it() -> None:
    done = e.StepSucceeded(step="score", attempt=1, artifacts=(ARTIFACT,))
    assert said(done) == ["[step] score=ok", "[artifact] note.txt"]
    granted = e.StepSucceeded(step="screen", attempt=1, artifacts=(ARTIFACT,))
    assert said(GRANTED, granted, decision=2) == ["[resume] approval_received", "[artifact] note.txt"]


def test_what_a_line_says_is_there_for_machines() -> None:
    (line,) = tell(recorded(asked()), Earlier())
    assert line.values == {
        "step": "screen", "outcome": "blocked", "detail": "manual approval", "approval": "screen.1", "digest": DIGEST,
    }  # fmt: skip


def test_the_ending_is_told_by_all_but_completed() -> None:
    for kind in TERMINAL_EVENTS:
        status = kind.__name__.removeprefix("Workflow").lower()
        assert [str(line) for line in ending("wf_001", status)] == (
            [] if status == "completed" else [f"[workflow] id=wf_001 {status}"]
        )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n", "two lines"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\u202eb\u2028c\x00", "a b c"),
        ("x" * 500, "x" * (LINE_CHARACTERS - 1) + "…"),
        ("naïve ✓ 名", "naïve ✓ 名"),
    ],
)
def test_one_line_is_one_line_that_no_terminal_acts_on(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("output", "word"),
    [
        (None, "ok"),
        ({}, "ok"),
        ({"outcome": "fine"}, "fine"),
        ({"outcome": 5}, "ok"),
        ({"outcome": "\n"}, "ok"),
        ({"outcome": "two\nlines"}, "two lines"),
        (["outcome"], "ok"),
    ],
)
def test_the_outcome_word(output: Any, word: str) -> None:
    assert outcome_word(output) == word


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0s"), (0.25, "0.25s"), (0.0204, "0.02s"), (2.0, "2s"), (1.837, "1.8s"), (60, "60s"), (3_600.04, "3600s")],
)
def test_seconds_are_short(value: float, text: str) -> None:
    assert seconds(value) == text
    assert seconds(timedelta(seconds=value).total_seconds()) == text
