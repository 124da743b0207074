"""Which earlier event each event came of: the causal thread of a history, from its end back to the goal.

Told from the record alone. An attempt's end comes of its scheduling; a retry of the end of the attempt before; a step's
first attempt of what made it ready: the last of the steps that it comes after, its grant, or the plan; and so on. Where
several came together, it is the latest: without that one it would not have happened then. A goal comes of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from domain import events as e
from domain.recorded import RecordedEvent
from domain.replay import decisions
from domain.state import UNDO
from projections.replaying.counting import counts_of

FIRST: Final = 1
"""The goal's event: what comes of nothing else comes of it."""


class Thread:
    """For each event of a history the one that it came of. Made in one pass."""

    def __init__(self, events: Sequence[RecordedEvent]) -> None:
        """`events` are all from the first on, without gaps."""
        self.events = events
        self.counts = counts_of(events)
        self.because: dict[int, int] = {}
        self._latest: dict[str, int] = {}
        self._after: dict[str, tuple[str, ...]] = {}
        self._attempt: tuple[str, str, int] | None = None
        for decision in decisions(events):
            self._attempt = attempt_of(decision[0].event)
            for recorded in decision:
                self._take(recorded, decision[0].originator_version)

    def event(self, version: int) -> RecordedEvent:
        """The event of this number."""
        return self.events[version - 1]

    def back(self, version: int) -> list[int]:
        """From an event back to the goal, that event included."""
        way = [version]
        while (earlier := self.because.get(way[-1])) is not None:
            way.append(earlier)
        return way

    # --- one event after the other ----------------------------------------------------------------------------------

    def _take(self, recorded: RecordedEvent, decided_at: int) -> None:
        version = recorded.originator_version
        find = _FINDERS.get(type(recorded.event))
        found = find(self, recorded.event) if find is not None else 0
        if version > FIRST:
            instead = decided_at if decided_at < version else FIRST
            self.because[version] = found if 0 < found < version else instead
        note = _NOTES.get(type(recorded.event))
        for key in note(recorded.event) if note is not None else ():
            self._latest[key] = version
        if isinstance(recorded.event, e.PlanProposed):
            for step in recorded.event.steps:
                self._after[step.id] = step.after or ()
                self._latest[f"planned {step.id}"] = version

    def last(self, *keys: str) -> int:
        """The latest of the events noted under these words, or 0."""
        return max((self._latest.get(key, 0) for key in keys), default=0)

    def ready(self, step: str) -> int:
        """What made a step ready: the last of those that it comes after, or its plan."""
        return self.last(f"planned {step}", *(f"settled {name}" for name in self._after.get(step, ())))

    def own_attempt(self) -> int:
        """The scheduling of the attempt whose outcome this decision is on, or 0."""
        return self.last(_scheduled(*self._attempt)) if self._attempt is not None else 0

    def scheduled(self, event: e.StepScheduled) -> int:
        """What an attempt was scheduled because of."""
        step, kind = event.step, event.kind
        again = self.last(f"retry {_key(step, kind)}", f"acted {step}")
        if kind == "compensate":
            return max(again, self.last(f"undo {step}"))
        if kind == "probe":
            return max(again, self.last(f"unknown {step}"))
        if kind == "plan":
            return max(again, self.last("plan asked"))
        if kind == "artifact":
            return max(again, self.last("settled"))
        return max(again, self.ready(step), self.last(f"gate {step}", f"granted {step}"))

    def succeeded(self, event: e.StepSucceeded) -> int:
        """What a step has its output by."""
        step = event.step
        if event.granted:
            return self.last(f"granted {step}")
        if event.supplied_by is not None:
            return self.last(f"acted {step}")
        if event.attempt == 0:
            return self.last(f"waited {step}", f"child ended {step}")
        return self.last(_scheduled(step, "run", event.attempt), f"reconciled {step}")

    def failed(self, event: e.StepFailed) -> int:
        """What a step failed by."""
        step = event.step
        words = [f"ended {step}", f"rejected {step}", f"expired {step}", f"child ended {step}", f"waited {step}"]
        if event.failure.type == "PolicyDenied":
            words = [f"gate {step}"]
        return max(self.last(*words), self.ready(step) if event.failure.type == "FactFailed" else 0)

    def reconciled(self, event: e.OutcomeReconciled) -> int:
        """What an unknown outcome was settled by."""
        return self.own_attempt() or self.last(f"acted {event.step}", f"late {event.step}", f"ended {event.step}")


def attempt_of(event: e.Event) -> tuple[str, str, int] | None:
    """Step, kind and number of the attempt whose end a decision was made on, as its first event tells."""
    trigger = event.trigger
    if trigger is not None:
        if trigger.get("type") in {"record_outcome", "lapse_attempt", "dead_letter_command"}:
            return str(trigger["step"]), str(trigger["kind"]), int(trigger["attempt"])
        return None
    return (event.step, "run", event.attempt) if isinstance(event, e.StepSucceeded) else None


def _key(step: str, kind: str) -> str:
    """Under which words what becomes of an attempt is noted: undoing a step is told apart from running it."""
    return f"{step} {UNDO}" if kind == "compensate" else step


def _scheduled(step: str, kind: str, attempt: int) -> str:
    return f"scheduled {step}/{kind}/{attempt}"


def _requested(event: e.ApprovalRequested) -> list[str]:
    return [f"asked {event.step}/{event.round}", f"asked {event.approval_id}"]


def _ended(one: Any, *more: str) -> list[str]:
    return [f"ended {_key(one.step, one.kind)}", *(f"{word} {one.step}/{one.kind}/{one.attempt}" for word in more)]


_Notes = Callable[[Any], Sequence[str]]

_NOTES: Final[dict[type[e.Event], _Notes]] = {
    e.PlanRequested: lambda _: ["plan asked"],
    e.PolicyEvaluated: lambda one: [f"gate {one.step}"],
    e.ApprovalRequested: _requested,
    e.ApprovalRecorded: lambda one: [f"voted {one.step}/{one.round}"],
    e.ApprovalGranted: lambda one: [f"granted {one.step}"],
    e.ApprovalRejected: lambda one: [f"rejected {one.step}"],
    e.ApprovalExpired: lambda one: [f"expired {one.step}", f"voted {one.step}/{one.round}"],
    e.StepScheduled: lambda one: [_scheduled(one.step, one.kind, one.attempt), f"begun {_key(one.step, one.kind)}"],
    e.StepSucceeded: lambda one: [f"settled {one.step}", "settled"],
    e.AttemptFailed: lambda one: _ended(one, "lost"),
    e.AttemptLapsed: lambda one: _ended(one, "lost"),
    e.CommandDeadLettered: _ended,
    e.PlanRejected: lambda _: ["ended _plan"],
    e.RetryScheduled: lambda one: [f"retry {_key(one.step, one.kind)}"],
    e.StepFailed: lambda one: [f"failed {one.step}"],
    e.StepTimedOut: lambda one: [f"failed {one.step}", *_ended(one, "lost")],
    e.OutcomeUnknown: lambda one: [f"unknown {one.step}"],
    e.OutcomeReconciled: lambda one: [f"reconciled {one.step}", f"ended {one.step}"],
    e.LateOutcomeRecorded: lambda one: [f"late {one.step}"],
    e.StepSkipped: lambda one: [f"settled {one.step}", "settled"],
    e.ArtifactRecorded: lambda _: ["artifact"],
    e.WaitStarted: lambda one: [f"waits {one.step}/{one.reason}"],
    e.WaitSatisfied: lambda one: [f"waited {one.step}"],
    e.WaitTimedOut: lambda one: [f"waited {one.step}", f"failed {one.step}"],
    e.ChildStarted: lambda one: [f"waits {one.step}/child", f"child {one.child_workflow}"],
    e.ChildEnded: lambda one: [f"child ended {one.step}"],
    e.InterventionRequested: lambda one: [f"person {one.step}"],
    e.InterventionApplied: lambda one: [f"acted {one.step}"],
    e.WorkflowPaused: lambda _: ["paused"],
    e.WorkflowRestored: lambda _: ["restored"],
    e.StoppingBegan: lambda _: ["stopping"],
    e.CompensationStarted: lambda _: ["undoing"],
    e.CompensationScheduled: lambda one: [f"undo {one.step}"],
    e.CompensationFailed: lambda one: [f"undo failed {one.step}"],
    e.StepCompensated: lambda _: ["undone"],
}


def _of_attempt(thread: Thread, one: Any) -> int:
    return thread.last(_scheduled(one.step, one.kind, one.attempt))


_FINDERS: Final[dict[type[e.Event], Callable[[Thread, Any], int]]] = {
    e.PlanRequested: lambda thread, _: thread.last("settled"),
    e.PlanProposed: lambda thread, one: thread.own_attempt() if one.source == "planner" else FIRST,
    e.PlanRejected: lambda thread, _: thread.own_attempt(),
    e.PolicyEvaluated: lambda thread, one: max(thread.ready(one.step), thread.last(f"acted {one.step}")),
    e.ApprovalRequested: lambda thread, one: (
        thread.last(_scheduled(one.step, "run", one.attempt or 0))
        if one.origin == "activity"
        else max(thread.ready(one.step), thread.last(f"gate {one.step}", f"granted {one.step}", f"acted {one.step}"))
    ),
    e.ApprovalRecorded: lambda thread, one: thread.last(f"asked {one.step}/{one.round}"),
    e.ApprovalGranted: lambda thread, one: thread.last(f"voted {one.step}/{one.round}"),
    e.ApprovalRejected: lambda thread, one: thread.last(f"voted {one.step}/{one.round}"),
    e.ApprovalEscalated: lambda thread, one: thread.last(f"asked {one.step}/{one.round}"),
    e.ApprovalExpired: lambda thread, one: thread.last(f"asked {one.step}/{one.round}"),
    e.DecisionRefused: lambda thread, one: thread.last(f"asked {one.approval_id}"),
    e.StepScheduled: Thread.scheduled,
    e.StepSucceeded: Thread.succeeded,
    e.AttemptFailed: _of_attempt,
    e.AttemptLapsed: _of_attempt,
    e.CommandDeadLettered: _of_attempt,
    e.RetryScheduled: lambda thread, one: thread.last(f"ended {_key(one.step, one.kind)}"),
    e.StepFailed: Thread.failed,
    e.StepTimedOut: lambda thread, one: thread.last(f"ended {one.step}", f"begun {one.step}"),
    e.OutcomeUnknown: lambda thread, one: thread.last(
        f"ended {one.step}", f"late {one.step}", f"begun {one.step}", "restored"
    ),
    e.OutcomeReconciled: Thread.reconciled,
    e.LateOutcomeRecorded: lambda thread, one: (
        thread.last(f"lost {one.step}/{one.kind}/{one.attempt}") or _of_attempt(thread, one)
    ),
    e.StepSkipped: lambda thread, one: thread.last(f"acted {one.step}", f"waited {one.step}"),
    e.ArtifactRecorded: lambda thread, one: thread.last(_scheduled(one.step, "artifact", one.attempt)),
    e.WaitStarted: lambda thread, one: thread.ready(one.step) if one.step else 0,
    e.WaitSatisfied: lambda thread, one: thread.last(f"waits {one.step}/{one.reason}"),
    e.WaitTimedOut: lambda thread, one: thread.last(f"waits {one.step}/{one.reason}"),
    e.ChildStarted: lambda thread, one: max(
        thread.ready(one.step), thread.last(f"gate {one.step}", f"granted {one.step}", f"acted {one.step}")
    ),
    e.ChildEnded: lambda thread, one: thread.last(f"child {one.child_workflow}"),
    e.InterventionRequested: lambda thread, one: thread.last(
        f"failed {one.step}", f"undo failed {one.step}", f"late {one.step}", f"expired {one.step}"
    ),
    e.InterventionApplied: lambda thread, one: thread.last(
        f"person {one.step}", f"unknown {one.step}", f"ended {one.step}", f"waits {one.step}/budget"
    ),
    e.WorkflowResumed: lambda thread, _: thread.last("paused"),
    e.StoppingBegan: lambda thread, one: thread.last(f"failed {one.step}") if one.step is not None else FIRST,
    e.CompensationStarted: lambda thread, _: thread.last("stopping"),
    e.CompensationScheduled: lambda thread, _: thread.last("undoing"),
    e.StepCompensated: lambda thread, one: (
        thread.last(f"acted {one.step}")
        if one.accepted_by is not None
        else thread.last(_scheduled(one.step, "compensate", one.attempt))
    ),
    e.CompensationFailed: lambda thread, one: thread.last(f"ended {one.step} {UNDO}", f"undo {one.step}"),
    e.WorkflowCompleted: lambda thread, _: thread.last("settled", "artifact"),
    e.WorkflowFailed: lambda thread, _: thread.last("stopping"),
    e.WorkflowCancelled: lambda thread, _: thread.last("stopping"),
    e.WorkflowCompensated: lambda thread, _: thread.last("undone", "stopping"),
}
