"""Prometheus metrics of a process that runs activities: how long steps waited, how long attempts took, how they ended.

45 series an activity type, made as the process begins: two histograms of 17, and an outcome each of 11. Attempts of
Handrail's own workflows are in no count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from domain.builtin import is_hidden
from domain.failures import FailureClass
from domain.ports import Command

BUCKETS_SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600, 1_800, 7_200, 21_600, 86_400)
"""From what a lookup takes to what a person's errand does."""
_BOUNDS: Final = (*(str(float(bound)) for bound in BUCKETS_SECONDS), "+Inf")
OUTCOMES: Final = ("ok", "needs_approval", "denied", *(kind.value for kind in FailureClass))


class _Seconds:
    """One histogram: plain numbers, since all that is counted here is counted on the event loop."""

    __slots__ = ("numbers", "total")

    def __init__(self) -> None:
        self.numbers = [0] * (len(BUCKETS_SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.numbers[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: how many took at most so long."""
        return list(zip(_BOUNDS, accumulate(self.numbers), strict=True))


class _Of:
    """What is counted of one activity type."""

    __slots__ = ("execution", "outcomes", "waited")

    def __init__(self) -> None:
        self.waited = _Seconds()
        self.execution = _Seconds()
        self.outcomes = dict.fromkeys(OUTCOMES, 0)


class ActivityMetrics(Collector):
    """The port `AttemptMeter`. `running` and `waiting` say how many attempts and commands there are now."""

    def __init__(self, registry: CollectorRegistry, activities: Iterable[str]) -> None:
        """Register them, with series for each of these activity types; one that comes later gets its own then."""
        self.running: Callable[[], int] = _none
        self.waiting: Callable[[], int] = _none
        self._of = {activity: _Of() for activity in sorted(set(activities))}
        registry.register(self)

    def began(self, command: Command, at: datetime) -> None:
        """The activity's code is called now."""
        of = self._counted(command)
        if of is not None and command.scheduled_at is not None:
            # Two machines' clocks may differ by more than the wait.
            of.waited.add(max(0.0, (at - command.scheduled_at).total_seconds()))

    def ended(self, command: Command, outcome: str, seconds: float | None) -> None:
        """An attempt ended; `seconds` is how long its code ran, None where it was not called."""
        of = self._counted(command)
        if of is None:
            return
        of.outcomes[outcome] += 1
        if seconds is not None:
            of.execution.add(max(0.0, seconds))

    def _counted(self, command: Command) -> _Of | None:
        of = self._of.get(command.activity)
        if of is None and not is_hidden(command.definition):
            of = self._of[command.activity] = _Of()
        return of

    def collect(self) -> Iterator[Metric]:
        """What was counted, and what is under way."""
        waited = HistogramMetricFamily(
            "handrail_step_schedule_to_start_seconds",
            "How long a command waited from being scheduled until its attempt began.",
            labels=["activity"],
        )
        execution = HistogramMetricFamily(
            "handrail_step_execution_seconds", "How long the activity's code ran.", labels=["activity"]
        )
        attempts = CounterMetricFamily(
            "handrail_activity_attempts",
            "Attempts that ended here, by their outcome: ok, needs_approval, denied, or the class of the failure.",
            labels=["activity", "outcome"],
        )
        for activity, of in self._of.items():
            waited.add_metric([activity], of.waited.buckets(), of.waited.total)
            execution.add_metric([activity], of.execution.buckets(), of.execution.total)
            for outcome, number in of.outcomes.items():
                attempts.add_metric([activity, outcome], number)
        yield from (waited, execution, attempts)
        yield GaugeMetricFamily(
            "handrail_attempts_running", "Attempts under way in this process.", value=self.running()
        )
        yield GaugeMetricFamily(
            "handrail_commands_waiting", "Commands that wait in this process for room.", value=self.waiting()
        )


def _none() -> int:
    """Nothing runs here yet."""
    return 0
