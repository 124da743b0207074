"""The metrics of one process, in a registry of its own, and what every process tells of itself.

What leads the projector, or runs activities, adds its own (`projections/metrics.py`, `consumers/metrics.py`). Counted
where it happens, by a few nanoseconds of arithmetic; what the store has to be asked is asked when it is told.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumers.intake import IntakeCounts
from consumers.settlement import Delivered, Received
from deploy.progress import KnownProgress, Progress
from deploy.version import version_of
from domain.errors import FenceMissed, StoreError, StoreUnavailable, VersionConflict
from domain.messages.names import Fault
from domain.transport import Published
from projections.thresholds import LAG

TURN_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
TURN_DECISIONS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

STORE_ERRORS: Final[tuple[tuple[type[StoreError], str], ...]] = (
    (StoreUnavailable, "away"),
    (VersionConflict, "conflict"),
    (FenceMissed, "fence"),
    (StoreError, "other"),
)
"""What a store's error is counted as; the first that fits."""
BROKER_AWAY: Final = "away"
BROKER_ERRORS: Final = (BROKER_AWAY, *(one.name.lower() for one in Published if one is not Published.CONFIRMED))

_OF_STORE: Final[tuple[tuple[str, Callable[[Progress], float], str], ...]] = (
    ("handrail_log_position", lambda known: known.newest, "Position of the newest event in the log."),
    (
        "handrail_timer_due_timestamp_seconds",
        lambda known: known.timer_due,
        "When the earliest timer falls, or fell, due; 0: there is none.",
    ),
    (
        "handrail_relay_parked",
        lambda known: known.relay_parked,
        "Events that the relay could not carry on and tries again.",
    ),
    (
        "handrail_messages_held",
        lambda known: known.messages_held,
        "Messages held in the store for a process with their workflow's definition.",
    ),
    (
        "handrail_goals_held",
        lambda known: known.goals_held,
        "Goals held in the store until their workflow has begun.",
    ),
    (
        "handrail_heartbeat_last_completed_timestamp_seconds",
        lambda known: known.heartbeat_completed,
        "When a heartbeat completed last; 0: never.",
    ),
)

Families = Callable[[], Iterable[Metric]]


class ProcessMetrics:
    """What every process tells. Whoever makes the process says what it has; what it has not is not told."""

    def __init__(self, *, lag_threshold: timedelta | None = None) -> None:
        """Register all that needs no more than the process; without `lag_threshold` it is the one shipped."""
        self.registry = CollectorRegistry()
        self.progress: KnownProgress | None = None
        """What the store says of the log and of those who follow it."""
        registry = self.registry
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        build = Gauge(
            "handrail_build_info",
            "Versions of Handrail and of Python; always 1.",
            ["version", "python"],
            registry=registry,
        )
        build.labels(version_of(), platform.python_version()).set(1)
        self._ready = Gauge(
            "handrail_ready", "Whether the process is ready, as /readyz says: 1 or 0.", registry=registry
        )
        lag = Gauge(
            "handrail_projection_lag_threshold_seconds",
            "How far the views may be behind the log: `lag` of `[stuck]`, which the alert compares with.",
            registry=registry,
        )
        lag.set((lag_threshold or LAG).total_seconds())
        self._turns = Counter("handrail_turns", "Turns in the store: transactions with decisions.", registry=registry)
        self._decisions = Histogram(
            "handrail_turn_decisions", "Decisions in a turn.", buckets=TURN_DECISIONS, registry=registry
        )
        self._seconds = Histogram(
            "handrail_turn_seconds",
            "How long deciding and saving a turn took.",
            buckets=TURN_SECONDS,
            registry=registry,
        )
        store = Counter(
            "handrail_store_errors",
            "Errors that a transaction or a statement ended in. Conflict and fence: another process was first.",
            ["kind"],
            registry=registry,
        )
        self._store_errors = {kind: store.labels(kind) for _, kind in STORE_ERRORS}
        broker = Counter(
            "handrail_broker_errors",
            "Messages that the broker did not confirm, by what it said; away: it was not there.",
            ["kind"],
            registry=registry,
        )
        self._broker_errors = {kind: broker.labels(kind) for kind in BROKER_ERRORS}
        self._roles: Collection[str] = ()
        self._led: Callable[[], Collection[str]] = tuple
        self._counts: IntakeCounts | None = None
        self._queues: Collection[str] = ()
        self._settled: Callable[[Delivered], int] | None = None
        for families in (self._of_progress, self._of_leading, self._of_messages, self._of_deliveries):
            registry.register(_Told(families))

    # --- what others tell -------------------------------------------------------------------------------------------

    def turned(self, decisions: int, seconds: float) -> None:
        """A turn with so many decisions is in the store."""
        self._turns.inc()
        self._decisions.observe(decisions)
        self._seconds.observe(seconds)

    def store_troubled(self, error: StoreError) -> None:
        """A transaction or a statement ended in this; called in any thread."""
        self._store_errors[next(kind for one, kind in STORE_ERRORS if isinstance(error, one))].inc()

    def broker_troubled(self, said: Published | None, messages: int) -> None:
        """The broker did not confirm so many messages; what it said, None where it was not there."""
        self._broker_errors[BROKER_AWAY if said is None else said.name.lower()].inc(messages)

    def leads(self, roles: Collection[str], led: Callable[[], Collection[str]]) -> None:
        """The process plays these roles; `led` says which of them it leads now."""
        self._roles, self._led = sorted(roles), led

    def takes_in(self, counts: IntakeCounts, queues: Collection[str]) -> None:
        """The process takes messages in from these queues."""
        self._counts, self._queues = counts, sorted(queues)

    def settles(self, settled: Callable[[Delivered], int]) -> None:
        """The process takes step commands in; `settled` counts what became of them."""
        self._settled = settled

    # --- telling ----------------------------------------------------------------------------------------------------

    async def exposed(self, *, ready: bool) -> tuple[bytes, str]:
        """All of it in Prometheus's text format, and its content type; with what is known, where the store is away."""
        if self.progress is not None:
            await self.progress.refresh()
        self._ready.set(ready)
        return generate_latest(_WithoutCreated(self.registry)), CONTENT_TYPE_PLAIN_0_0_4

    def _of_progress(self) -> Iterator[Metric]:
        source = self.progress
        known = source.known if source is not None else None
        for name, value_of, about in _OF_STORE:
            yield GaugeMetricFamily(name, about, value=None if known is None else value_of(known))
        yield CounterMetricFamily(
            "handrail_announcements_let_go",
            "Announcements that a listener's full queue refused for an hour, since the store began.",
            value=None if known is None else known.announcements_let_go,
        )
        position = GaugeMetricFamily(
            "handrail_follower_position", "Position up to which a follower has the log.", labels=["follower"]
        )
        events = GaugeMetricFamily(
            "handrail_follower_lag_events", "Events of the log that a follower has not had yet.", labels=["follower"]
        )
        seconds = GaugeMetricFamily(
            "handrail_follower_lag_seconds",
            "How long the first event that a follower has not had yet has been in the log.",
            labels=["follower"],
        )
        if source is not None and known is not None:
            for name, one in known.followers.items():
                position.add_metric([name], one.position)
                events.add_metric([name], one.behind)
                seconds.add_metric([name], one.seconds(source.now))
        yield from (position, events, seconds)

    def _of_leading(self) -> Iterator[Metric]:
        leader = GaugeMetricFamily(
            "handrail_leader",
            "Whether the process leads a role that it plays: 1, or 0 where it stands by.",
            labels=["role"],
        )
        led = self._led()
        for role in self._roles:
            leader.add_metric([role], role in led)
        yield leader

    def _of_messages(self) -> Iterator[Metric]:
        received = CounterMetricFamily(
            "handrail_messages_received",
            "Messages taken in, by queue and by what became of them; repeated: received before.",
            labels=["queue", "outcome"],
        )
        faults = CounterMetricFamily(
            "handrail_message_faults",
            "Messages moved to the dead queue, by queue and fault.",
            labels=["queue", "fault"],
        )
        if self._counts is not None:
            for queue in self._queues:
                for one in Received:
                    outcome = one.name.lower()
                    received.add_metric([queue, outcome], self._counts.received[queue, outcome])
                for fault in Fault:
                    faults.add_metric([queue, fault.value], self._counts.faults[queue, fault.value])
        yield from (received, faults)

    def _of_deliveries(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "handrail_deliveries_settled", "Deliveries of step commands, by what became of them.", labels=["outcome"]
        )
        if self._settled is not None:
            for one in Delivered:
                family.add_metric([one.name.lower()], self._settled(one))
        yield family


class _Told(Collector):
    """Families that are made when they are asked for."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Make them."""
        return self._families()


class _WithoutCreated(Collector):
    """A registry without the instants at which each counter began: a third of all series, and nobody's question."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """What the registry has."""
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
