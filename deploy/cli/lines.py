"""The printed lines: one event in, the lines that scripts read out.

Pure. `tell` needs nothing of a workflow's past but what the decision under way has already said, so a command that
begins to follow at any version prints the same lines from there on as one that followed from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from domain import events
from domain.events import Event
from domain.failures import Failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP, attempts_made
from domain.recorded import RecordedEvent

LINE_CHARACTERS: Final = 200
"""No printed value is longer: a line is to be read."""

_ENGINE_STEPS: Final = frozenset({PLAN_STEP, ARTIFACT_STEP})


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line: `[kind] text`; `values` is what it says, for `--json`."""

    kind: str
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"[{self.kind}] {self.text}"


@dataclass(slots=True)
class Earlier:
    """What was said before that decides how the next event reads: per step, the decision that ended its wait."""

    answered: dict[str, int] = field(default_factory=dict)


def one_line(text: object, most: int = LINE_CHARACTERS) -> str:
    """The text on one line, without anything that a terminal would act on; cut, with an ellipsis, to `most`."""
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in str(text)).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def seconds(value: float) -> str:
    """A duration as it is printed: `2s`, `1.8s`, `0.25s`; to a tenth, and below a second to a thousandth."""
    digits = 1 if value >= 1 else 3
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") + "s"


def outcome_word(output: Any) -> str:
    """What stands behind `NAME=` for a step that succeeded: its output's own `outcome`, or `ok`."""
    if isinstance(output, Mapping) and isinstance(output.get("outcome"), str):
        return one_line(output["outcome"]) or "ok"
    return "ok"


def failure_words(failure: Failure) -> str:
    """What stands in the brackets of `failed(…)`."""
    return f"{failure.kind.value}: {one_line(failure.message)}"


def tell(recorded: RecordedEvent, earlier: Earlier) -> list[Line]:
    """The lines of one event; `earlier` is kept by the caller from one event to the next."""
    teller = _TELLERS.get(type(recorded.event))
    return [] if teller is None else teller(recorded.event, recorded, earlier)


def ending(workflow_id: str, status: str) -> list[Line]:
    """The last line of a workflow that did not complete; a completed one says nothing more."""
    if status == "completed":
        return []
    return [_workflow(workflow_id, status)]


def _workflow(workflow_id: str, word: str, **values: Any) -> Line:
    return Line("workflow", f"id={workflow_id} {word}", {"id": workflow_id, "status": word, **values})


def _step(name: str, outcome: str, detail: str | None = None, **values: Any) -> Line:
    said = outcome if detail is None else f"{outcome}({detail})"
    given = {"step": name, "outcome": outcome, **({} if detail is None else {"detail": detail}), **values}
    return Line("step", f"{name}={said}", given)


def _resume(word: str, **values: Any) -> Line:
    return Line("resume", word, {"what": word, **values})


def _silent(step: str) -> bool:
    """Whether a step is one of the engine's own, which print nothing unless they fail."""
    return step in _ENGINE_STEPS


# --- one teller for each event that is printed ----------------------------------------------------------------------


def _started(_: Event, recorded: RecordedEvent, __: Earlier) -> list[Line]:
    return [_workflow(recorded.originator_id, "started")]


def _approval_requested(event: events.ApprovalRequested, _: RecordedEvent, __: Earlier) -> list[Line]:
    reason = one_line(event.reason) or "approval"
    return [_step(event.step, "blocked", reason, approval=event.approval_id, digest=event.digest)]


def _approval_granted(event: events.ApprovalGranted, recorded: RecordedEvent, earlier: Earlier) -> list[Line]:
    earlier.answered[event.step] = recorded.decision
    return [_resume("approval_received", step=event.step, by=list(event.decided_by), controls=list(event.controls))]


def _approval_rejected(event: events.ApprovalRejected, recorded: RecordedEvent, earlier: Earlier) -> list[Line]:
    earlier.answered[event.step] = recorded.decision
    return [_resume("approval_rejected", step=event.step, by=list(event.decided_by), reason=event.reason)]


def _approval_expired(event: events.ApprovalExpired, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_resume("approval_expired", step=event.step, then=event.then)]


def _step_succeeded(event: events.StepSucceeded, recorded: RecordedEvent, earlier: Earlier) -> list[Line]:
    written = [_file(artifact) for artifact in event.artifacts]
    # A grant, or a signal, that makes the step ok there and then has been told by its own line.
    if _silent(event.step) or earlier.answered.pop(event.step, None) == recorded.decision:
        return written
    return [_step(event.step, outcome_word(event.output)), *written]


def _step_failed(event: events.StepFailed, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_step(event.step, "failed", failure_words(event.failure), fingerprint=event.failure.fingerprint)]


def _step_timed_out(event: events.StepTimedOut, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_step(event.step, "timed_out", attempt=event.attempt)]


def _step_skipped(event: events.StepSkipped, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_step(event.step, "skipped", reason=event.reason)]


def _plan_rejected(event: events.PlanRejected, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_step(PLAN_STEP, "rejected", one_line(event.reason))]


def _retry(event: events.RetryScheduled, _: RecordedEvent, __: Earlier) -> list[Line]:
    values = {"step": event.step, "attempt": event.attempt, "in_seconds": event.delay_seconds, "kind": event.kind}
    number = attempts_made(event.attempt)
    return [Line("retry", f"{event.step} attempt={number} in={seconds(event.delay_seconds)}", values)]


def _outcome_unknown(event: events.OutcomeUnknown, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_step(event.step, "outcome_unknown", one_line(event.reason) or None, attempt=event.attempt)]


def _outcome_reconciled(event: events.OutcomeReconciled, _: RecordedEvent, __: Earlier) -> list[Line]:
    word = "outcome_applied" if event.applied else "outcome_not_applied"
    return [_resume(word, step=event.step, by=event.settled_by)]


def _artifact(event: events.ArtifactRecorded, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_file(event)]


def _file(written: events.Artifact | events.ArtifactRecorded) -> Line:
    values = {"name": written.name, "digest": written.digest, "size": written.size}
    return Line("artifact", one_line(written.name), values)


def _wait_started(event: events.WaitStarted, recorded: RecordedEvent, _: Earlier) -> list[Line]:
    due = None if event.due_at is None else event.due_at.isoformat()
    if event.reason == "signal":
        detail = f"signal {event.name} {one_line(event.correlation)}"
        return [_step(event.step, "waiting", detail, signal=event.name, correlation=event.correlation, due_at=due)]
    if event.reason == "time":
        return [_step(event.step, "waiting", f"until {due}", due_at=due)]
    if event.reason in _BLOCKING:
        return [_blocked(recorded, event.step, one_line(event.detail) or event.reason, event.reason)]
    return []


def _blocked(recorded: RecordedEvent, step: str, reason: str, waits_for: str) -> Line:
    if step:
        return _step(step, "blocked", reason, waits_for=waits_for)
    return _workflow(recorded.originator_id, f"blocked({reason})", waits_for=waits_for)


def _intervention_requested(event: events.InterventionRequested, recorded: RecordedEvent, _: Earlier) -> list[Line]:
    return [_blocked(recorded, event.step, one_line(event.reason) or "intervention", "intervention")]


_BLOCKING: Final = frozenset({"budget", "definition"})
"""Waits that have no event of their own to tell them; approvals, children, interventions and unknown outcomes have."""


def _wait_satisfied(event: events.WaitSatisfied, recorded: RecordedEvent, earlier: Earlier) -> list[Line]:
    word = _SATISFIED.get(event.reason)
    if word is None:
        return []
    earlier.answered[event.step] = recorded.decision
    return [_resume(word, step=event.step)]


_SATISFIED: Final = {"signal": "signal_received", "time": "time_reached", "definition": "definition_loaded"}


def _wait_timed_out(event: events.WaitTimedOut, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_resume("wait_timed_out", step=event.step, then=event.then)]


def _child_started(event: events.ChildStarted, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_step(event.step, "waiting", f"child {event.child_workflow}", child=event.child_workflow)]


def _child_ended(event: events.ChildEnded, _: RecordedEvent, __: Earlier) -> list[Line]:
    return [_resume(f"child_{event.status}", step=event.step, child=event.child_workflow)]


def _intervention(event: events.InterventionApplied, _: RecordedEvent, __: Earlier) -> list[Line]:
    word = _ACTS.get(event.act)
    return [] if word is None else [_resume(word, step=event.step, by=event.by, reason=event.reason)]


_ACTS: Final = {
    "retry": "retry_requested",
    "skip": "skip_requested",
    "supply": "output_supplied",
    "extend": "budget_extended",
}
"""What an operator's act is called; settling is told by the outcome that it reconciles."""


def _paused(event: events.WorkflowPaused, recorded: RecordedEvent, _: Earlier) -> list[Line]:
    return [_workflow(recorded.originator_id, "paused", by=event.by, reason=event.reason)]


def _unpaused(event: events.WorkflowResumed, recorded: RecordedEvent, _: Earlier) -> list[Line]:
    return [_workflow(recorded.originator_id, "unpaused", by=event.by, reason=event.reason)]


def _restored(event: events.WorkflowRestored, recorded: RecordedEvent, _: Earlier) -> list[Line]:
    return [_workflow(recorded.originator_id, "restored", by=event.by, reason=event.reason)]


def _fork_taken(event: events.ForkTaken, recorded: RecordedEvent, _: Earlier) -> list[Line]:
    facts = {"fork": event.fork, "version": event.version, "by": event.by, "reason": event.reason}
    told = _workflow(recorded.originator_id, "forked", **facts)
    return [Line(told.kind, f"{told.text} {event.fork}", told.values)]


def _compensated(event: events.StepCompensated, _: RecordedEvent, __: Earlier) -> list[Line]:
    word = "ok" if event.accepted_by is None else "accepted"
    return [Line("compensation", f"{event.step}={word}", {"step": event.step, "outcome": word})]


def _compensation_failed(event: events.CompensationFailed, _: RecordedEvent, __: Earlier) -> list[Line]:
    words = failure_words(event.failure)
    values = {"step": event.step, "outcome": "failed", "detail": words}
    return [Line("compensation", f"{event.step}=failed({words})", values)]


def _ended(status: str) -> Callable[[Event, RecordedEvent, Earlier], list[Line]]:
    return lambda _, recorded, __: ending(recorded.originator_id, status)


_TELLERS: Final[dict[type[Event], Callable[[Any, RecordedEvent, Earlier], list[Line]]]] = {
    events.WorkflowStarted: _started,
    events.WorkflowForked: _started,
    events.PlanRejected: _plan_rejected,
    events.ApprovalRequested: _approval_requested,
    events.ApprovalGranted: _approval_granted,
    events.ApprovalRejected: _approval_rejected,
    events.ApprovalExpired: _approval_expired,
    events.StepSucceeded: _step_succeeded,
    events.StepFailed: _step_failed,
    events.StepTimedOut: _step_timed_out,
    events.StepSkipped: _step_skipped,
    events.RetryScheduled: _retry,
    events.OutcomeUnknown: _outcome_unknown,
    events.OutcomeReconciled: _outcome_reconciled,
    events.ArtifactRecorded: _artifact,
    events.WaitStarted: _wait_started,
    events.WaitSatisfied: _wait_satisfied,
    events.WaitTimedOut: _wait_timed_out,
    events.ChildStarted: _child_started,
    events.ChildEnded: _child_ended,
    events.InterventionRequested: _intervention_requested,
    events.InterventionApplied: _intervention,
    events.WorkflowPaused: _paused,
    events.WorkflowResumed: _unpaused,
    events.ForkTaken: _fork_taken,
    events.WorkflowRestored: _restored,
    events.StepCompensated: _compensated,
    events.CompensationFailed: _compensation_failed,
    events.WorkflowFailed: _ended("failed"),
    events.WorkflowCancelled: _ended("cancelled"),
    events.WorkflowCompensated: _ended("compensated"),
}
