"""What each event says, in words: what became of the workflow, and why. Made for one line each; pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain import events as e
from domain.failures import Failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP, attempts_made
from domain.recorded import RecordedEvent
from projections.replaying.counting import AS_NUMBERED, Counts, count_of

CHARACTERS: Final = 300
"""No text of a report is longer: all of it is in the history."""

_ENGINE_STEPS: Final = {PLAN_STEP: "the planner", ARTIFACT_STEP: "the artifact"}


class Said(NamedTuple):
    """What an event says: what became so, and why, where that is recorded."""

    what: str
    why: str = ""


def plain(text: object, most: int = CHARACTERS) -> str:
    """The text on one line, without anything that a terminal would act on; cut, with an ellipsis, to `most`."""
    shown = str(text)
    if not shown.isprintable():
        shown = "".join(mark if mark.isprintable() else " " for mark in shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def said(recorded: RecordedEvent, counts: Counts = AS_NUMBERED) -> Said:
    """What an event says; `counts` are those of its history, where attempts are to be counted by kind."""
    event: Any = recorded.event
    if counts and getattr(event, "attempt", None) is not None:
        count = count_of(counts, event.step, getattr(event, "kind", "run"), event.attempt)
        event = event.model_copy(update={"attempt": count})
    what, why = _TELLERS[type(event)](event)
    return Said(plain(what), plain(why))


def instant(moment: datetime | None) -> str:
    """An instant to the second, as people read it."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """A duration as people read it: `0.25s`, `12s`, `3m 20s`, `2h 5m`, `3d 4h`."""
    if seconds < 1:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    if seconds < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    whole = round(seconds)
    for unit, size, below, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f" {rest}{below}" if rest else "")
    return f"{whole}s"


def named(step: str) -> str:
    """A step as it is spoken of."""
    return _ENGINE_STEPS.get(step, step) or "the workflow"


def failure_words(failure: Failure) -> str:
    """A failure as `class: message`."""
    return f"{failure.kind.value}: {failure.message}"


def _of(one: Any) -> str:
    """Which attempt: `attempt 2 of tell`, `attempt 1 at undoing reserve`, `probe 3 of pay`."""
    number, step = attempts_made(one.attempt), named(one.step)
    if one.kind == "compensate":
        return f"attempt {number} at undoing {step}"
    return f"{'probe' if one.kind == 'probe' else 'attempt'} {number} of {step}"


def _names(names: Any, most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _started(one: e.WorkflowStarted) -> Said:
    parent = f", for step {one.parent_step} of {one.parent_workflow}" if one.parent_workflow is not None else ""
    return Said(f"goal accepted: {one.goal}", f"asked for by {one.requested_by}{parent}")


def _forked(one: e.WorkflowForked) -> Said:
    return Said(f"forked from {one.source} at event {one.source_version}", f"{one.requested_by}: {one.reason}")


def _proposed(one: e.PlanProposed) -> Said:
    steps = _names([step.id for step in one.steps])
    more = "" if one.final else "; the planner will be asked again"
    return Said(f"plan {one.round}: {steps or 'no further steps'}{more}", one.reason)


def _evaluated(one: e.PolicyEvaluated) -> Said:
    verdict = {"allow": "allowed", "deny": "denied", "require_approval": "needs an approval"}[one.verdict]
    return Said(f"{one.step}: {verdict}", f"policy {one.policy} version {one.policy_version}: {one.reason}".strip(": "))


def _asked(one: e.ApprovalRequested) -> Said:
    who = "anyone" if "*" in one.approvers else _names(one.approvers)
    until = f", until {instant(one.deadline_at)}" if one.deadline_at is not None else ""
    return Said(f"{one.step}: {one.required} of {who} must approve{until}", one.reason)


def _voted(one: e.ApprovalRecorded) -> Said:
    word = "approves" if one.decision == "approve" else "rejects"
    controls = f", with: {'; '.join(one.controls)}" if one.controls else ""
    return Said(f"{one.decided_by} {word} {one.step}{controls}", one.reason)


def _granted(one: e.ApprovalGranted) -> Said:
    return Said(f"{one.step}: approved by {_names(one.decided_by)}", one.reason)


def _rejected(one: e.ApprovalRejected) -> Said:
    return Said(f"{one.step}: rejected by {_names(one.decided_by)}", one.reason)


def _escalated(one: e.ApprovalEscalated) -> Said:
    return Said(f"{one.step}: {_names(one.escalate_to)} may approve now", f"nobody decided until {instant(one.due_at)}")


def _expired(one: e.ApprovalExpired) -> Said:
    then = {"reject": "which rejects it", "intervene": "an operator is asked", "grant": "which grants it"}[one.then]
    return Said(f"{one.step}: the approval expired, {then}", f"nobody decided until {instant(one.due_at)}")


def _refused(one: e.DecisionRefused) -> Said:
    return Said(f"{one.decided_by}: {one.decision} {one.approval_id or 'the workflow'}: refused", one.reason)


def _scheduled(one: e.StepScheduled) -> Said:
    return Said(f"{_of(one)} scheduled: {one.activity} on queue {one.queue}")


def _succeeded(one: e.StepSucceeded) -> Said:
    outcome = one.output.get("outcome") if isinstance(one.output, dict) else None
    word = f": {outcome}" if isinstance(outcome, str) else ""
    by = f", supplied by {one.supplied_by}" if one.supplied_by is not None else ""
    files = f"; wrote {_names([artifact.name for artifact in one.artifacts])}" if one.artifacts else ""
    return Said(f"{one.step} ok{word}{by}{files}")


def _attempt_failed(one: e.AttemptFailed) -> Said:
    by = f", told by {one.worker}" if one.worker else ""
    return Said(f"{_of(one)} failed: {failure_words(one.failure)}", f"{one.failure.type}{by}")


def _lapsed(one: e.AttemptLapsed) -> Said:
    owner = f", claimed by {one.owner}," if one.owner else ""
    return Said(f"{_of(one)}{owner} ended without an outcome", one.reason)


def _retry(one: e.RetryScheduled) -> Said:
    return Said(f"{_of(one)} in {duration(one.delay_seconds)}, at {instant(one.due_at)}")


def _unknown(one: e.OutcomeUnknown) -> Said:
    then = f"its probe is asked at {instant(one.probe_due_at)}" if one.probe_due_at is not None else "a person must say"
    return Said(f"{one.step}: nobody knows whether attempt {attempts_made(one.attempt)} happened; {then}", one.reason)


def _reconciled(one: e.OutcomeReconciled) -> Said:
    return Said(f"{one.step}: it {'did happen' if one.applied else 'did not happen'}", f"settled by {one.settled_by}")


def _late(one: e.LateOutcomeRecorded) -> Said:
    words = f": {failure_words(one.failure)}" if one.failure is not None else ""
    return Said(f"{_of(one)}, given up before, reported {one.status} after all{words}")


def _waits(one: e.WaitStarted) -> Said:
    until = f", until {instant(one.due_at)}" if one.due_at is not None else ""
    words = {"time": "a time", "budget": "further attempts", "definition": "its definition"}
    what = f"signal {one.name} for {one.correlation}" if one.reason == "signal" else words.get(one.reason, one.reason)
    return Said(f"{named(one.step)} waits for {what}{until}", one.detail)


def _child_started(one: e.ChildStarted) -> Said:
    return Said(f"{one.step}: child workflow {one.child_workflow} of {one.definition} begins")


def _child_ended(one: e.ChildEnded) -> Said:
    return Said(f"{one.step}: child workflow {one.child_workflow} {one.status}", one.reason)


def _applied(one: e.InterventionApplied) -> Said:
    words = {"retry": "retries", "skip": "skips", "supply": "supplies the output of", "settle": "settles"}
    what = f"allows {one.attempts} more attempts" if one.act == "extend" else f"{words[one.act]} {one.step}"
    return Said(f"{one.by} {what}", one.reason)


def _stopping(one: e.StoppingBegan) -> Said:
    then = "and undoes what was done" if one.compensate else "and leaves what was done"
    return Said(f"the workflow stops {then}", one.reason)


def _undoing(one: e.CompensationStarted) -> Said:
    pivots = f"; cannot be undone: {_names(one.pivots)}" if one.pivots else ""
    return Said(f"undoing begins: {_names(one.steps)}{pivots}")


def _undone(one: e.StepCompensated) -> Said:
    if one.accepted_by is not None:
        return Said(f"{one.step}: {one.accepted_by} accepts its effect as it is")
    return Said(f"{one.step} undone")


_TELLERS: Final[dict[type[e.Event], Callable[[Any], Said]]] = {
    e.WorkflowStarted: _started,
    e.WorkflowForked: _forked,
    e.PlanRequested: lambda one: Said(f"the planner is asked for plan {one.round}"),
    e.PlanProposed: _proposed,
    e.PlanRejected: lambda one: Said(f"plan {one.round} breaks a rule", one.reason),
    e.PolicyEvaluated: _evaluated,
    e.ApprovalRequested: _asked,
    e.ApprovalRecorded: _voted,
    e.ApprovalGranted: _granted,
    e.ApprovalRejected: _rejected,
    e.ApprovalEscalated: _escalated,
    e.ApprovalExpired: _expired,
    e.DecisionRefused: _refused,
    e.StepScheduled: _scheduled,
    e.StepSucceeded: _succeeded,
    e.AttemptFailed: _attempt_failed,
    e.AttemptLapsed: _lapsed,
    e.RetryScheduled: _retry,
    e.StepFailed: lambda one: Said(f"{named(one.step)} failed: {failure_words(one.failure)}"),
    e.StepTimedOut: lambda one: Said(f"{_of(one)} ran out of time", f"due until {instant(one.due_at)}"),
    e.OutcomeUnknown: _unknown,
    e.OutcomeReconciled: _reconciled,
    e.LateOutcomeRecorded: _late,
    e.CommandDeadLettered: lambda one: Said(f"{_of(one)}: the transport gave its command up", one.reason),
    e.StepSkipped: lambda one: Said(f"{named(one.step)} skipped", one.reason),
    e.ArtifactRecorded: lambda one: Said(f"artifact {one.name} written: {one.size} bytes", f"sha256 {one.digest}"),
    e.WaitStarted: _waits,
    e.WaitSatisfied: lambda one: Said(f"{named(one.step)}: the {one.reason} it waited for is there"),
    e.WaitTimedOut: lambda one: Said(
        f"{one.step}: the {one.reason} did not come in time", f"awaited until {instant(one.due_at)}; then: {one.then}"
    ),
    e.ChildStarted: _child_started,
    e.ChildEnded: _child_ended,
    e.InterventionRequested: lambda one: Said(f"{named(one.step)}: a person must say how it goes on", one.reason),
    e.InterventionApplied: _applied,
    e.WorkflowPaused: lambda one: Said(f"{one.by} pauses the workflow", one.reason),
    e.WorkflowResumed: lambda one: Said(f"{one.by} lets the workflow go on", one.reason),
    e.ForkTaken: lambda one: Said(f"{one.by} forks it at event {one.version}: {one.fork}", one.reason),
    e.WorkflowRestored: lambda one: Said(f"{one.by} put the store back from a backup: epoch {one.epoch}", one.reason),
    e.StoppingBegan: _stopping,
    e.CompensationStarted: _undoing,
    e.CompensationScheduled: lambda one: Said(f"next to undo: {one.step}, by {one.activity}"),
    e.StepCompensated: _undone,
    e.CompensationFailed: lambda one: Said(f"undoing {one.step} failed: {failure_words(one.failure)}"),
    e.WorkflowCompleted: lambda one: Said("completed", f"controls: {'; '.join(one.controls)}" if one.controls else ""),
    e.WorkflowFailed: lambda one: Said("failed", one.reason),
    e.WorkflowCancelled: lambda one: Said("cancelled", one.reason),
    e.WorkflowCompensated: lambda one: Said(f"failed, and undone: {_names(one.compensated)}", one.reason),
}


def trigger_words(recorded: RecordedEvent, counts: Counts = AS_NUMBERED) -> str:
    """What a decision was made on, as its first event tells; `counts` as in `said`."""
    event, trigger = recorded.event, recorded.event.trigger
    if trigger is None:
        if isinstance(event, e.StepSucceeded):
            return f"outcome of {_of_parts(event.step, 'run', event.attempt, counts)}"
        return "a goal" if isinstance(event, e.WorkflowStarted) else "a fork"
    kind = str(trigger.get("type", ""))
    if kind in {"record_outcome", "lapse_attempt", "dead_letter_command"}:
        what = {"record_outcome": "outcome", "lapse_attempt": "end of the lease", "dead_letter_command": "dead letter"}
        return f"{what[kind]} of {_of_parts(trigger['step'], trigger['kind'], trigger['attempt'], counts)}"
    step = trigger.get("step")
    about = f" of {step}" if step else ""
    return plain(_TRIGGERS.get(kind, kind.replace("_", " ")) + about, 80)


_TRIGGERS: Final = {
    "wake": "the clock",
    "record_decision": "a decision",
    "deliver_signal": "a signal",
    "end_child": "end of the child",
    "start_workflow": "a goal",
    "restore_workflow": "a restored store",
    "retry_step": "an operator: retry",
    "skip_step": "an operator: skip",
    "supply_output": "an operator: supply the output",
    "settle_outcome": "an operator: settle the outcome",
    "extend_budget": "an operator: extend the budget",
    "pause_workflow": "an operator: pause",
    "resume_workflow": "an operator: resume",
    "cancel_workflow": "an operator: cancel",
    "fork_here": "an operator: fork",
}


def _of_parts(step: Any, kind: Any, attempt: Any, counts: Counts) -> str:
    number = count_of(counts, step, kind, int(attempt))
    if kind == "compensate":
        return f"attempt {number} at undoing {step}"
    return f"{'probe' if kind == 'probe' else 'attempt'} {number} of {named(str(step))}"
