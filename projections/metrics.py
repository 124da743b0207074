"""Prometheus counters and gauges of what the log says. Counted by the batch: a fraction of a microsecond an event."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain import events as e
from domain.events import Event
from projections.keeper import Entry, Unreadable

_STEP_OUTCOMES: Final[dict[type[Event], str]] = {
    e.StepSucceeded: "ok",
    e.StepFailed: "failed",
    e.StepTimedOut: "timed_out",
    e.StepSkipped: "skipped",
    e.StepCompensated: "compensated",
    e.CompensationFailed: "compensation_failed",
    e.OutcomeUnknown: "outcome_unknown",
    e.ApprovalRequested: "awaiting_approval",
}
_ATTEMPT_OUTCOMES: Final[dict[type[Event], str]] = {
    e.AttemptFailed: "failed",
    e.AttemptLapsed: "lapsed",
    e.RetryScheduled: "retried",
    e.LateOutcomeRecorded: "late",
    e.CommandDeadLettered: "dead_lettered",
}
_ENDS: Final[dict[type[Event], str]] = {
    e.WorkflowStarted: "started",
    e.WorkflowForked: "forked",
    e.WorkflowCompleted: "completed",
    e.WorkflowFailed: "failed",
    e.WorkflowCancelled: "cancelled",
    e.WorkflowCompensated: "compensated",
}


class Metrics:
    """The metrics of one runtime, in a registry of their own so that several may live in one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register all of them, each with its labels' values, so that what never happened shows as zero."""
        registry = registry if registry is not None else CollectorRegistry()
        self.registry = registry
        self._turns = Counter("handrail_turns", "Turns committed: transactions with decisions.", registry=registry)
        self._turn_size = Histogram(
            "handrail_turn_decisions",
            "Decisions in a turn.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self._events = Counter("handrail_events", "Events that the views have seen.", registry=registry)
        workflows = Counter("handrail_workflows", "Workflows, by what became of them.", ["outcome"], registry=registry)
        steps = Counter("handrail_steps", "Steps, by what became of them.", ["outcome"], registry=registry)
        attempts = Counter("handrail_attempts", "Attempts that did not just succeed.", ["outcome"], registry=registry)
        self._counters = {
            **{kind: workflows.labels(outcome) for kind, outcome in _ENDS.items()},
            **{kind: steps.labels(outcome) for kind, outcome in _STEP_OUTCOMES.items()},
            **{kind: attempts.labels(outcome) for kind, outcome in _ATTEMPT_OUTCOMES.items()},
        }
        self._lag = Gauge(
            "handrail_projection_lag_seconds",
            "How long the oldest event of the last batch waited for its row.",
            registry=registry,
        )
        self._position = Gauge(
            "handrail_projection_position", "Position of the last event in the views.", registry=registry
        )
        self._parked = Gauge(
            "handrail_parked_views", "Workflows whose history the views cannot fold.", registry=registry
        )

    def turn(self, decisions: int) -> None:
        """A turn with so many decisions was committed."""
        self._turns.inc()
        self._turn_size.observe(decisions)

    def passed(self, entries: Sequence[Entry]) -> None:
        """Count these events."""
        tally = Tally([type(entry.event.event) for entry in entries if not isinstance(entry, Unreadable)])
        for kind, count in tally.items():
            counter = self._counters.get(kind)
            if counter is not None:
                counter.inc(count)
        if entries:
            self._events.inc(len(entries))
            self._position.set(entries[-1].position)

    def written(self, *, lag_seconds: float, parked: int) -> None:
        """The views were written."""
        self._lag.set(lag_seconds)
        self._parked.set(parked)
