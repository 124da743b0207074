"""Which node decided each event: the file under `domain/nodes` (or `progress`) where to look for why it is as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from domain import events as e
from domain.decision import MAY_HAVE_RUN
from domain.recorded import RecordedEvent

PLANNER: Final = "planner"
POLICY_GATE: Final = "policy_gate"
APPROVAL_WAIT: Final = "approval_wait"
EXECUTOR: Final = "executor"
OBSERVER: Final = "observer"
JUDGEMENT: Final = "judgement"
INTERVENTION: Final = "intervention"
COMPENSATOR: Final = "compensator"
FINALIZER: Final = "finalizer"
PROGRESS: Final = "progress"


def nodes_of(decision: Sequence[RecordedEvent]) -> list[str]:
    """The node of each event of one decision, in their order."""
    found: list[str] = []
    earlier: e.Event | None = None
    for recorded in decision:
        found.append(_node(recorded.event, earlier, found[-1] if found else ""))
        earlier = recorded.event
    return found


def _node(event: e.Event, earlier: e.Event | None, before: str) -> str:
    choose = _CHOICES.get(type(event))
    return _ALWAYS[type(event)] if choose is None else choose(event, earlier, before)


_ALWAYS: Final[dict[type[e.Event], str]] = {
    e.WorkflowStarted: PLANNER,
    e.WorkflowForked: PLANNER,
    e.PlanRequested: PLANNER,
    e.PlanProposed: PLANNER,
    e.PlanRejected: PLANNER,
    e.PolicyEvaluated: POLICY_GATE,
    e.ApprovalRequested: APPROVAL_WAIT,
    e.ApprovalRecorded: APPROVAL_WAIT,
    e.ApprovalGranted: APPROVAL_WAIT,
    e.ApprovalRejected: APPROVAL_WAIT,
    e.ApprovalEscalated: APPROVAL_WAIT,
    e.ApprovalExpired: APPROVAL_WAIT,
    e.AttemptFailed: OBSERVER,
    e.AttemptLapsed: OBSERVER,
    e.LateOutcomeRecorded: OBSERVER,
    e.CommandDeadLettered: OBSERVER,
    e.ArtifactRecorded: OBSERVER,
    e.StepTimedOut: EXECUTOR,
    e.WaitTimedOut: PROGRESS,
    e.ChildStarted: EXECUTOR,
    e.ChildEnded: OBSERVER,
    e.InterventionApplied: INTERVENTION,
    e.WorkflowPaused: INTERVENTION,
    e.WorkflowResumed: INTERVENTION,
    e.ForkTaken: INTERVENTION,
    e.WorkflowRestored: INTERVENTION,
    e.CompensationStarted: COMPENSATOR,
    e.CompensationScheduled: COMPENSATOR,
    e.CompensationFailed: COMPENSATOR,
    e.WorkflowCompleted: FINALIZER,
    e.WorkflowFailed: COMPENSATOR,
    e.WorkflowCancelled: COMPENSATOR,
    e.WorkflowCompensated: COMPENSATOR,
}


def _refused(event: e.DecisionRefused, _: e.Event | None, __: str) -> str:
    trigger = event.trigger or {}
    return APPROVAL_WAIT if trigger.get("type") == "record_decision" else INTERVENTION


def _scheduled(event: e.StepScheduled, _: e.Event | None, __: str) -> str:
    return {"compensate": COMPENSATOR, "plan": PLANNER, "artifact": FINALIZER, "probe": PROGRESS}.get(
        event.kind, EXECUTOR
    )


def _succeeded(event: e.StepSucceeded, earlier: e.Event | None, before: str) -> str:
    if event.granted:
        return APPROVAL_WAIT
    if event.supplied_by is not None:
        return INTERVENTION
    return before if isinstance(earlier, e.WaitSatisfied | e.WaitTimedOut | e.OutcomeReconciled) else OBSERVER


def _failed(_: e.StepFailed, earlier: e.Event | None, before: str) -> str:
    if isinstance(earlier, e.ApprovalExpired | e.WaitTimedOut):
        return before
    if isinstance(earlier, e.PolicyEvaluated | e.PlanProposed | e.StepSucceeded | e.ApprovalGranted):
        return EXECUTOR
    return JUDGEMENT


def _unknown(event: e.OutcomeUnknown, earlier: e.Event | None, before: str) -> str:
    if isinstance(earlier, e.LateOutcomeRecorded):
        return before
    if event.reason.startswith(MAY_HAVE_RUN):
        return EXECUTOR if isinstance(earlier, e.StepScheduled) else INTERVENTION
    return JUDGEMENT


def _reconciled(event: e.OutcomeReconciled, earlier: e.Event | None, before: str) -> str:
    if isinstance(earlier, e.InterventionApplied):
        return before
    return OBSERVER if event.applied or isinstance(earlier, e.LateOutcomeRecorded) else JUDGEMENT


def _consequence(_: e.Event, earlier: e.Event | None, before: str) -> str:
    """What follows from a failure is decided where the failure is."""
    return before if earlier is not None else JUDGEMENT


def _stopping(event: e.StoppingBegan, earlier: e.Event | None, before: str) -> str:
    if event.why == "cancelled":
        return INTERVENTION
    return PROGRESS if event.why == "deadline" else _consequence(event, earlier, before)


def _satisfied(event: e.WaitSatisfied, _: e.Event | None, __: str) -> str:
    return {"signal": OBSERVER, "budget": INTERVENTION}.get(event.reason, PROGRESS)


def _waits(event: e.WaitStarted, _: e.Event | None, __: str) -> str:
    return PROGRESS if event.reason == "definition" else EXECUTOR


def _skipped(_: e.StepSkipped, earlier: e.Event | None, __: str) -> str:
    return INTERVENTION if isinstance(earlier, e.InterventionApplied) else PROGRESS


def _compensated(event: e.StepCompensated, _: e.Event | None, __: str) -> str:
    return INTERVENTION if event.accepted_by is not None else OBSERVER


_CHOICES: Final[dict[type[e.Event], Callable[[Any, e.Event | None, str], str]]] = {
    e.DecisionRefused: _refused,
    e.StepScheduled: _scheduled,
    e.StepSucceeded: _succeeded,
    e.RetryScheduled: lambda event, _, __: COMPENSATOR if event.kind == "compensate" else JUDGEMENT,
    e.StepFailed: _failed,
    e.OutcomeUnknown: _unknown,
    e.OutcomeReconciled: _reconciled,
    e.StepSkipped: _skipped,
    e.WaitStarted: _waits,
    e.WaitSatisfied: _satisfied,
    e.InterventionRequested: _consequence,
    e.StoppingBegan: _stopping,
    e.StepCompensated: _compensated,
}
