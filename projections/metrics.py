"""Prometheus metrics of what the log says, of the process that leads the projector; elsewhere they stay as they are.

Events are counted by the batch, a fraction of a microsecond each. Gauges are what the projector shows of the views
every few seconds (`projections/showing.py`), so that a scrape asks nobody and costs the same for a million workflows;
where no projector is led they are absent, for then nobody here knows. Handrail's own workflows are in no count.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from domain import events as e
from domain.builtin import is_hidden
from domain.events import Event
from domain.nodes.approval_wait import EXPIRY
from domain.ports import Notification
from domain.recorded import RecordedEvent
from domain.state import Status
from projections.causes import Cause
from projections.keeper import Entry
from projections.refusals import REASONS, reason_of
from projections.rows import WorkflowRow
from projections.stuck import QueueFacts
from projections.totals import ViewsNow

STATUSES: Final = tuple(status.value for status in Status if status is not Status.NEW)
CAUSES: Final = tuple(cause.value for cause in Cause if cause is not Cause.PROJECTION_LAG)
WAIT_SECONDS: Final = (1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000)
"""From a decision by a service to a month."""
MOST_DEFINITIONS: Final = 500
"""Definitions that have series of their own; further ones share those of OTHERS."""
OTHERS: Final = "other"
MOST_ASKED: Final = 20_000
"""Approvals remembered that are not decided; of the others the row says since when they are awaited."""
MOST_HIDDEN: Final = 1_000

_ENDS: Final[dict[type[Event], str]] = {
    e.WorkflowCompleted: Status.COMPLETED.value,
    e.WorkflowFailed: Status.FAILED.value,
    e.WorkflowCancelled: Status.CANCELLED.value,
    e.WorkflowCompensated: Status.COMPENSATED.value,
}
_STEPS: Final[dict[type[Event], str]] = {
    e.StepSucceeded: "ok",
    e.StepFailed: "failed",
    e.StepTimedOut: "timed_out",
    e.StepSkipped: "skipped",
}
_DECISIONS: Final[dict[type[Event], str]] = {
    e.ApprovalGranted: "granted",
    e.ApprovalRejected: "rejected",
    e.ApprovalExpired: "expired",
}
_BEGINNINGS: Final = (e.WorkflowStarted, e.WorkflowForked)
_LOOKED_AT: Final = frozenset(
    {*_BEGINNINGS, *_ENDS, *_DECISIONS, e.ApprovalRequested, e.DecisionRefused, e.StepCompensated}
)

Queues = Callable[[], tuple[float, Mapping[str, QueueFacts]]]
"""When the broker last said how its queues are, in seconds since 1970 (0: never), and what it said, by their names."""


class ViewsMetrics:
    """The port `Meter` of the projector, and the gauges of what it shows. One a process."""

    def __init__(self, registry: CollectorRegistry, definitions: Iterable[str]) -> None:
        """Register them, with series for these definitions, so that what never happened shows as zero."""
        self.at_hand: Callable[[str], WorkflowRow | None] = _nothing
        """The row of a workflow, as far as the keeper has it."""
        self.now: ViewsNow | None = None
        """What the projector shows; nothing where none is led here."""
        self.judged_at: Callable[[], datetime | None] = _never
        self.queues: Queues = _unknown
        self.sealed: Callable[[], tuple[float, float] | None] = _unsealed
        """When the last seal was written (0: never) and the next is due, in seconds since 1970; None: none are."""
        self._definitions = sorted({name for name in definitions if not is_hidden(name)})[:MOST_DEFINITIONS]
        self._known = dict.fromkeys(self._definitions)
        self._passed = 0
        self._hidden: set[str] = set()
        self._asked: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._events = Counter("handrail_events", "Events of the log that the views have passed.", registry=registry)
        self._started = Counter(
            "handrail_workflows_started", "Workflows that began.", ["definition"], registry=registry
        )
        self._ended = Counter(
            "handrail_workflows_ended", "Workflows that ended, by how.", ["definition", "status"], registry=registry
        )
        for name in self._definitions:
            self._series_of(name)
        steps = Counter(
            "handrail_steps_ended",
            "Steps that ended: ok, failed, timed_out or skipped.",
            ["outcome"],
            registry=registry,
        )
        self._compensations = Counter(
            "handrail_compensations",
            "Effects undone (ok), accepted as they are by a person, or failed to be undone.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("ok", "accepted", "failed"):
            self._compensations.labels(outcome)
        retries = Counter("handrail_retries", "Further attempts that were decided on.", registry=registry)
        dead = Counter("handrail_commands_dead_lettered", "Step commands that the broker gave up.", registry=registry)
        self._counters: dict[type[Event], Counter] = {
            **{kind: steps.labels(outcome) for kind, outcome in _STEPS.items()},
            e.CompensationFailed: self._compensations.labels("failed"),
            e.RetryScheduled: retries,
            e.CommandDeadLettered: dead,
        }
        decided = Counter(
            "handrail_approvals_decided", "Approvals that are awaited no more, by why.", ["decision"], registry=registry
        )
        self._decided = {kind: decided.labels(decision) for kind, decision in _DECISIONS.items()}
        self._waited = Histogram(
            "handrail_approval_wait_seconds",
            "How long an approval was awaited until it was decided.",
            buckets=WAIT_SECONDS,
            registry=registry,
        )
        refused = Counter(
            "handrail_decisions_refused",
            "Decisions of people that did not count, by why.",
            ["reason"],
            registry=registry,
        )
        self._refused = {reason: refused.labels(reason) for reason in REASONS}
        registry.register(_Shown(self))

    # --- what the projector tells -----------------------------------------------------------------------------------

    def passed(self, entries: Sequence[Entry]) -> None:
        """Count these events, unless they have been: a keeper that begins again reads some of them once more."""
        if not entries or entries[-1].position <= self._passed:
            return
        if entries[0].position <= self._passed:
            entries = [one for one in entries if one.position > self._passed]
        self._passed = entries[-1].position
        events = [one.event for one in entries if type(one) is Notification]
        unreadable = len(entries) - len(events)
        looked_at = [one for one in events if type(one.event) in _LOOKED_AT]
        for one in looked_at:
            if one.originator_version == 1 and is_hidden(_definition_named(one.event)):
                self._hide(one.originator_id)
        if self._hidden:
            events, looked_at = self._not_hidden(events), self._not_hidden(looked_at)
        self._events.inc(len(events) + unreadable)
        for kind, count in Tally([type(one.event) for one in events]).items():
            counter = self._counters.get(kind)
            if counter is not None:
                counter.inc(count)
        for one in looked_at:
            self._look(one)

    def show(self, now: ViewsNow) -> None:
        """This is what the views come to."""
        self.now = now

    def leave(self) -> None:
        """The projector is not led here any more: what it showed another one may know better."""
        self.now = None
        self.at_hand, self.judged_at, self.sealed = _nothing, _never, _unsealed

    # --- counting ---------------------------------------------------------------------------------------------------

    def _hide(self, workflow_id: str) -> None:
        if len(self._hidden) >= MOST_HIDDEN:
            self._hidden.clear()
        self._hidden.add(workflow_id)

    def _not_hidden(self, events: Iterable[RecordedEvent]) -> list[RecordedEvent]:
        return [one for one in events if one.originator_id not in self._hidden]

    def _look(self, recorded: RecordedEvent) -> None:
        event: Any = recorded.event
        kind = type(event)
        if kind in _BEGINNINGS:
            self._started.labels(self._shown(_definition_named(event))).inc()
        elif kind in _ENDS:
            self._end(recorded.originator_id, _ENDS[kind])
        elif kind is e.ApprovalRequested:
            self._ask((recorded.originator_id, event.step), recorded.timestamp)
        elif kind in _DECISIONS:
            if kind is not e.ApprovalGranted or event.decided_by != (EXPIRY,):  # that one has been counted as expired
                self._decide(kind, (recorded.originator_id, event.step), recorded.timestamp)
        elif kind is e.DecisionRefused:
            self._refused[reason_of(event)].inc()
        else:
            self._compensations.labels("ok" if event.accepted_by is None else "accepted").inc()

    def _end(self, workflow_id: str, status: str) -> None:
        row = self.at_hand(workflow_id)
        # Without a row the views could not be kept for it: it is among the parked ones.
        if row is not None and not is_hidden(row.definition):
            self._ended.labels(self._shown(row.definition), status).inc()

    def _ask(self, key: tuple[str, str], at: datetime) -> None:
        self._asked[key] = at
        if len(self._asked) > MOST_ASKED:
            self._asked.popitem(last=False)

    def _decide(self, kind: type[Event], key: tuple[str, str], at: datetime) -> None:
        self._decided[kind].inc()
        since = self._asked.pop(key, None)
        if since is None:
            workflow_id, step = key
            row = self.at_hand(workflow_id)
            hold = row.noted.get(f"{step}:approval") if row is not None else None
            since = hold.since if hold is not None else None
        if since is not None:
            self._waited.observe(max(0.0, (at - since).total_seconds()))

    def _shown(self, definition: str) -> str:
        """The label of a definition: its name, as long as there are not too many."""
        if definition in self._known:
            return definition
        if len(self._known) >= MOST_DEFINITIONS:
            return OTHERS
        self._known[definition] = None
        self._series_of(definition)
        return definition

    def _series_of(self, definition: str) -> None:
        self._started.labels(definition)
        for status in _ENDS.values():
            self._ended.labels(definition, status)

    # --- telling ----------------------------------------------------------------------------------------------------

    def families(self) -> Iterator[Metric]:
        """The gauges, as they are shown now; without samples where no projector is led."""
        yield from self._of_workflows()
        yield from self._of_broker()
        yield from self._of_seals()

    def _of_workflows(self) -> Iterator[Metric]:
        workflows = GaugeMetricFamily(
            "handrail_workflows", "Workflows by definition and status.", labels=["definition", "status"]
        )
        stuck = GaugeMetricFamily(
            "handrail_workflows_stuck", "Workflows that are stuck, by cause.", labels=["definition", "cause"]
        )
        oldest = GaugeMetricFamily(
            "handrail_oldest_progress_timestamp_seconds",
            "Since when the open workflow is held that is held the longest, to the minute; 0: there is none.",
            labels=["definition"],
        )
        pending = GaugeMetricFamily("handrail_approvals_pending", "Approvals that are awaited.", labels=["definition"])
        asked = GaugeMetricFamily(
            "handrail_approval_oldest_timestamp_seconds",
            "Since when the approval is awaited that is awaited the longest; 0: there is none.",
            labels=["definition"],
        )
        parked = GaugeMetricFamily("handrail_parked_views", "Workflows whose history the views cannot fold.")
        judged = GaugeMetricFamily(
            "handrail_views_judged_timestamp_seconds",
            "When it was last looked which workflows are stuck; 0: not yet.",
        )
        now = self.now
        if now is not None:
            self._add_tallies(now, workflows, stuck)
            approvals = self._summed(now.approvals)
            since, approval_since = self._earliest(now.oldest), self._earliest(now.oldest_approvals)
            for name in dict.fromkeys((*self._known, *since, *approvals, *approval_since)):
                oldest.add_metric([name], since.get(name, 0.0))
                pending.add_metric([name], approvals.get(name, 0))
                asked.add_metric([name], approval_since.get(name, 0.0))
            parked.add_metric([], now.parked)
            judged_at = self.judged_at()
            judged.add_metric([], judged_at.timestamp() if judged_at is not None else 0.0)
        yield from (workflows, stuck, oldest, pending, asked, parked, judged)

    def _add_tallies(self, now: ViewsNow, workflows: GaugeMetricFamily, stuck: GaugeMetricFamily) -> None:
        by_status: Tally[tuple[str, str]] = Tally()
        by_cause: Tally[tuple[str, str]] = Tally()
        for (definition, status, cause), number in now.tallies.items():
            if is_hidden(definition):
                continue
            name = self._shown(definition)
            by_status[name, status] += number
            if cause:
                by_cause[name, cause] += number
        for name in self._shown_names(by_status):
            for status in STATUSES:
                workflows.add_metric([name, status], by_status[name, status])
            for cause in CAUSES:
                stuck.add_metric([name, cause], by_cause[name, cause])

    def _shown_names(self, counted: Iterable[tuple[str, str]]) -> list[str]:
        """The known definitions, and OTHERS where it counts anything."""
        return [*self._known, *([OTHERS] if any(name == OTHERS for name, _ in counted) else [])]

    def _summed(self, numbers: Mapping[str, int]) -> Mapping[str, int]:
        summed: Tally[str] = Tally()
        for definition, number in numbers.items():
            if not is_hidden(definition):
                summed[self._shown(definition)] += number
        return summed

    def _earliest(self, instants: Mapping[str, float]) -> Mapping[str, float]:
        earliest: defaultdict[str, float] = defaultdict(lambda: float("inf"))
        for definition, instant in instants.items():
            if not is_hidden(definition):
                name = self._shown(definition)
                earliest[name] = min(earliest[name], instant)
        return earliest

    def _of_broker(self) -> Iterator[Metric]:
        facts_at = GaugeMetricFamily(
            "handrail_broker_facts_timestamp_seconds", "When the broker last said how its queues are; 0: never."
        )
        messages = GaugeMetricFamily(
            "handrail_queue_messages", "Messages in a queue that nobody holds.", labels=["queue"]
        )
        consumers = GaugeMetricFamily("handrail_queue_consumers", "Consumers of a queue.", labels=["queue"])
        if self.now is not None:
            at, queues = self.queues()
            facts_at.add_metric([], at)
            for queue, facts in sorted(queues.items()):
                messages.add_metric([queue], facts.messages)
                consumers.add_metric([queue], facts.consumers)
        yield from (facts_at, messages, consumers)

    def _of_seals(self) -> Iterator[Metric]:
        last = GaugeMetricFamily("handrail_seal_last_timestamp_seconds", "When the last seal was written; 0: never.")
        due = GaugeMetricFamily("handrail_seal_due_timestamp_seconds", "When the next seal is due.")
        sealed = self.sealed()
        if sealed is not None:
            last.add_metric([], sealed[0])
            due.add_metric([], sealed[1])
        yield from (last, due)


class _Shown(Collector):
    """The gauges in the registry."""

    def __init__(self, metrics: ViewsMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """As they are now."""
        return self._metrics.families()


def _definition_named(event: Any) -> str:
    """The definition that a workflow's first event names."""
    if isinstance(event, e.WorkflowForked):
        return str(event.state.get("definition", ""))
    return str(getattr(event, "definition", ""))


def _nothing(_: str) -> WorkflowRow | None:
    """Nobody keeps views here."""
    return None


def _never() -> datetime | None:
    """Nobody judges here."""
    return None


def _unsealed() -> tuple[float, float] | None:
    """No seals are written here."""
    return None


def _unknown() -> tuple[float, Mapping[str, QueueFacts]]:
    """There is no broker that says anything."""
    return 0.0, {}
