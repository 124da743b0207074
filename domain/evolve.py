"""How each event changes the state. Evolving never refuses, and never decides: it assigns what the event says.

One function an event, in `domain.evolution`; `EVOLVE` lists them all, and a test holds it against the list of events.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from domain import events as e
from domain.events import Event
from domain.evolution import approvals, attempts, beginnings, ends, people, waits
from domain.recorded import RecordedEvent
from domain.state import State


def evolve(state: State, recorded: RecordedEvent) -> None:
    """Apply one recorded event."""
    EVOLVE[type(recorded.event)](state, recorded.event, recorded.timestamp)
    state.version = recorded.originator_version
    state.head = recorded.digest
    state.changed_at = recorded.timestamp


def _nothing(_state: State, _event: Event, _at: datetime) -> None:
    """Change nothing: the fact itself is the record."""


EVOLVE: Final[dict[type[Event], Callable[[State, Any, datetime], None]]] = {
    e.WorkflowStarted: beginnings.workflow_started,
    e.WorkflowForked: beginnings.workflow_forked,
    e.PlanRequested: beginnings.plan_requested,
    e.PlanProposed: beginnings.plan_proposed,
    e.PlanRejected: beginnings.plan_rejected,
    e.PolicyEvaluated: approvals.policy_evaluated,
    e.ApprovalRequested: approvals.approval_requested,
    e.ApprovalRecorded: approvals.approval_recorded,
    e.ApprovalGranted: approvals.approval_granted,
    e.ApprovalRejected: approvals.approval_rejected,
    e.ApprovalEscalated: approvals.approval_escalated,
    e.ApprovalExpired: approvals.approval_expired,
    e.DecisionRefused: _nothing,
    e.StepScheduled: attempts.step_scheduled,
    e.StepSucceeded: attempts.step_succeeded,
    e.AttemptFailed: attempts.attempt_failed,
    e.AttemptLapsed: attempts.attempt_lapsed,
    e.RetryScheduled: attempts.retry_scheduled,
    e.StepFailed: attempts.step_failed,
    e.StepTimedOut: attempts.step_timed_out,
    e.OutcomeUnknown: attempts.outcome_unknown,
    e.OutcomeReconciled: attempts.outcome_reconciled,
    e.LateOutcomeRecorded: attempts.late_outcome,
    e.CommandDeadLettered: attempts.command_dead_lettered,
    e.StepSkipped: attempts.step_skipped,
    e.ArtifactRecorded: attempts.artifact_recorded,
    e.WaitStarted: waits.wait_started,
    e.WaitSatisfied: waits.wait_ended,
    e.WaitTimedOut: waits.wait_ended,
    e.ChildStarted: waits.child_started,
    e.ChildEnded: waits.child_ended,
    e.InterventionRequested: people.intervention_requested,
    e.InterventionApplied: people.intervention_applied,
    e.WorkflowPaused: people.workflow_paused,
    e.WorkflowResumed: people.workflow_resumed,
    e.ForkTaken: beginnings.fork_taken,
    e.WorkflowRestored: people.workflow_restored,
    e.StoppingBegan: ends.stopping_began,
    e.CompensationStarted: ends.compensation_started,
    e.CompensationScheduled: ends.compensation_scheduled,
    e.StepCompensated: ends.step_compensated,
    e.CompensationFailed: ends.compensation_failed,
    e.WorkflowCompleted: ends.workflow_completed,
    e.WorkflowFailed: ends.workflow_failed,
    e.WorkflowCancelled: ends.workflow_cancelled,
    e.WorkflowCompensated: ends.workflow_compensated,
}
