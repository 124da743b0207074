"""Prometheus metrics of a process that runs activities: how long steps waited, how long attempts took, how they ended.

45 series an activity type, made as the process begins: two histograms of 17, and an outcome each of 11. Attempts of
Handrail's own workflows are in no count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain.builtin import is_hidden
from domain.failures import FailureClass
from domain.ports import Command

BUCKETS_SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600, 1_800, 7_200, 21_600, 86_400)
"""From what a lookup takes to what a person's errand does."""
OUTCOMES: Final = ("ok", "needs_approval", "denied", *(kind.value for kind in FailureClass))


class _Of:
    """The series of one activity type."""

    __slots__ = ("execution", "outcomes", "waited")

    def __init__(self, waited: Histogram, execution: Histogram, attempts: Counter, activity: str) -> None:
        """All of them, so that what never happened shows as zero."""
        self.waited = waited.labels(activity)
        self.execution = execution.labels(activity)
        self.outcomes = {outcome: attempts.labels(activity, outcome) for outcome in OUTCOMES}


class ActivityMetrics:
    """The port `AttemptMeter`. `running` and `waiting` say how many attempts and commands there are now."""

    def __init__(self, registry: CollectorRegistry, activities: Iterable[str]) -> None:
        """Register them, with a series for each of these activity types; one that comes later gets its own then."""
        self.running: Callable[[], int] = _none
        self.waiting: Callable[[], int] = _none
        self._waited = Histogram(
            "handrail_step_schedule_to_start_seconds",
            "How long a command waited from being scheduled until its attempt began.",
            ["activity"],
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self._execution = Histogram(
            "handrail_step_execution_seconds",
            "How long the activity's code ran.",
            ["activity"],
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self._attempts = Counter(
            "handrail_activity_attempts",
            "Attempts that ended here, by their outcome: ok, needs_approval, denied, or the class of the failure.",
            ["activity", "outcome"],
            registry=registry,
        )
        Gauge("handrail_attempts_running", "Attempts under way in this process.", registry=registry).set_function(
            self._running_now
        )
        Gauge(
            "handrail_commands_waiting", "Commands that wait in this process for room.", registry=registry
        ).set_function(self._waiting_now)
        self._of: dict[str, _Of] = {}
        for activity in sorted(set(activities)):
            self._add(activity)

    def began(self, command: Command, at: datetime) -> None:
        """The activity's code is called now."""
        if command.scheduled_at is not None and not is_hidden(command.definition):
            # Two machines' clocks may differ by more than the wait.
            waited = max(0.0, (at - command.scheduled_at).total_seconds())
            (self._of.get(command.activity) or self._add(command.activity)).waited.observe(waited)

    def ended(self, command: Command, outcome: str, seconds: float | None) -> None:
        """An attempt ended; `seconds` is how long its code ran, None where it was not called."""
        if is_hidden(command.definition):
            return
        of = self._of.get(command.activity) or self._add(command.activity)
        of.outcomes[outcome].inc()
        if seconds is not None:
            of.execution.observe(max(0.0, seconds))

    def _running_now(self) -> int:
        return self.running()

    def _waiting_now(self) -> int:
        return self.waiting()

    def _add(self, activity: str) -> _Of:
        of = self._of[activity] = _Of(self._waited, self._execution, self._attempts, activity)
        return of


def _none() -> int:
    """Nothing runs here yet."""
    return 0
