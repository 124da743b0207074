"""What passes the projector, counted; what the views come to, told; a bounded number of series, and nothing hidden."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from domain import events as e
from domain.nodes.approval_wait import EXPIRY
from domain.recorded import RecordedEvent, record, stamp
from projections.keeper import Keeper
from projections.metrics import CAUSES, MOST_DEFINITIONS, OTHERS, STATUSES, ViewsMetrics
from projections.refusals import OTHER, REASONS, reason_of
from projections.stuck import QueueFacts
from projections.totals import Totals, ViewsNow, with_oldest
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import START
from tests.unit.projections.test_keeper import histories

Samples = dict[tuple[str, tuple[str, ...]], float]


class Bench:
    """A keeper, its metrics, and what these tell."""

    def __init__(self, place: Place, *definitions: str) -> None:
        self.place = place
        self.registry = CollectorRegistry()
        self.metrics = ViewsMetrics(self.registry, definitions)
        self.totals = Totals()
        self.keeper = Keeper(place.recorder, totals=self.totals)
        self.metrics.at_hand = self.keeper.at_hand
        self.keeper.begin()

    def pass_on(self, limit: int = 10_000, *, write: bool = True) -> None:
        """One batch, as the projector has it."""
        entries = self.place.log.read(self.keeper.position, limit)
        self.keeper.take(entries)
        self.metrics.passed(entries)
        if write:
            assert self.keeper.write()

    def put(self, workflow_id: str, *events: e.Event, seconds: float = 0.0) -> None:
        """A history made by hand; each event so many seconds after the one before."""
        made: list[RecordedEvent] = []
        for version, event in enumerate(events, start=1):
            at = START + timedelta(seconds=seconds * version)
            previous = made[-1].digest if made else "0" * 64
            made.append(record(event, stamp(workflow_id, at, "test", "ann", version), version, previous))
        self.place.put(made)

    def show(self) -> None:
        self.metrics.show(with_oldest(self.totals.now(), self.place.recorder.query))

    def told(self) -> Samples:
        return {
            (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    def moved(self) -> Samples:
        return {key: value for key, value in self.told().items() if value}


@pytest.fixture
def bench(place: Place) -> Bench:
    return Bench(place, "demo")


def named(log: Sequence[RecordedEvent], name: str) -> int:
    return sum(event.name == name for event in log)


def started(definition: str) -> e.WorkflowStarted:
    return e.WorkflowStarted(goal="x", definition=definition, definition_version="1", input={}, requested_by="ann")


@pytest.mark.parametrize("batch", [7, 10_000])
def test_every_event_is_counted_as_what_it_is(bench: Bench, batch: int) -> None:
    log = histories(40, 30)
    bench.place.put(log)
    while bench.keeper.position < len(log):
        bench.pass_on(batch)
    told = bench.told()
    assert told["handrail_events_total", ()] == len(log)
    for outcome, name in {
        "ok": "StepSucceeded", "failed": "StepFailed", "timed_out": "StepTimedOut", "skipped": "StepSkipped",
    }.items():  # fmt: skip
        assert told["handrail_steps_ended_total", (outcome,)] == named(log, name)
    assert told["handrail_retries_total", ()] == named(log, "RetryScheduled") > 0
    assert told["handrail_commands_dead_lettered_total", ()] == named(log, "CommandDeadLettered")
    began = Counter(one.event.definition for one in log if isinstance(one.event, e.WorkflowStarted))
    for definition, number in began.items():
        assert told["handrail_workflows_started_total", (definition,)] == number
    ends = Counter(one.name.removeprefix("Workflow").lower() for one in log if isinstance(one.event, e.TERMINAL_EVENTS))
    counted: Counter[str] = Counter()
    for (name, labels), value in told.items():
        if name == "handrail_workflows_ended_total":
            counted[labels[1]] += int(value)
    assert +counted == ends
    refused = [one.event for one in log if isinstance(one.event, e.DecisionRefused)]
    assert sum(value for (name, _), value in told.items() if name == "handrail_decisions_refused_total") == len(refused)
    assert OTHER not in {reason_of(one) for one in refused}


def test_what_is_read_once_more_is_not_counted_again(bench: Bench) -> None:
    log = histories(41)
    bench.place.put(log)
    bench.pass_on(20, write=False)
    for as_far in (20, 10, 30):
        bench.keeper.begin()
        bench.pass_on(as_far, write=as_far == 30)
    bench.pass_on()
    told = bench.told()
    assert told["handrail_events_total", ()] == len(log)
    assert told["handrail_steps_ended_total", ("ok",)] == named(log, "StepSucceeded")


ASKED = e.ApprovalRequested(
    step="pay", approval_id="pay.1", round=1, origin="gate", digest="d", policy="p", policy_version="1", required=1,
    rejections=1, approvers=("bea",), four_eyes=False, action={}, reason="large",
)  # fmt: skip


@pytest.mark.parametrize(
    ("event", "decision"),
    [
        (e.ApprovalGranted(step="pay", round=1, decided_by=("bea",)), "granted"),
        (e.ApprovalRejected(step="pay", round=1, decided_by=("bea",)), "rejected"),
        (e.ApprovalExpired(step="pay", round=1, due_at=START, then="reject"), "expired"),
    ],
)
def test_an_approval_is_counted_with_what_it_waited(bench: Bench, event: e.Event, decision: str) -> None:
    bench.put("wf_1", started("demo"), ASKED, event, seconds=30)
    bench.pass_on()
    told = bench.told()
    counted = {each: told["handrail_approvals_decided_total", (each,)] for each in ("granted", "rejected", "expired")}
    assert counted == {each: float(each == decision) for each in counted}
    assert told["handrail_approval_wait_seconds_sum", ()] == 30
    assert told["handrail_approval_wait_seconds_bucket", ("60.0",)] == 1
    assert told["handrail_approval_wait_seconds_bucket", ("10.0",)] == 0


def test_a_process_that_begins_later_knows_since_when_an_approval_is_awaited(place: Place) -> None:
    log = histories(43, 30)
    place.put(log)
    asked: dict[tuple[str, str], RecordedEvent] = {}
    waited, over_a_restart = 0.0, 0
    for position, one in enumerate(log, start=1):
        event: Any = one.event
        if isinstance(event, e.ApprovalRequested):
            asked[one.originator_id, event.step] = one
        elif isinstance(event, e.ApprovalGranted | e.ApprovalRejected | e.ApprovalExpired):
            since = asked.pop((one.originator_id, event.step), None)
            if since is not None:
                waited += (one.timestamp - since.timestamp).total_seconds()
                over_a_restart += log.index(since) < len(log) // 2 < position
    first = Bench(place)
    first.pass_on(len(log) // 2)
    second = Bench(place)
    second.pass_on()
    assert over_a_restart > 0
    assert sum(one.told()["handrail_approval_wait_seconds_sum", ()] for one in (first, second)) == waited


def test_a_grant_that_its_deadline_brought_is_counted_as_expired(bench: Bench) -> None:
    expired = e.ApprovalExpired(step="pay", round=1, due_at=START, then="grant")
    bench.put(
        "wf_1",
        started("demo"),
        ASKED,
        expired,
        e.ApprovalGranted(step="pay", round=1, decided_by=(EXPIRY,)),
        seconds=30,
    )
    bench.pass_on()
    told = bench.told()
    assert told["handrail_approvals_decided_total", ("expired",)] == 1
    assert told["handrail_approvals_decided_total", ("granted",)] == 0
    assert told["handrail_approval_wait_seconds_count", ()] == 1


@pytest.mark.parametrize(
    ("decision", "reason", "word"),
    [
        ("approve", "it quotes round 1; round 2 is open", "out_of_date"),
        ("approve", "it quotes digest 0123456789ab; the action's is ba9876543210: look at it again", "out_of_date"),
        ("reject", "round 1 is closed", "out_of_date"),
        ("approve", "it comes after the deadline (2030-01-01 00:00:00+0000)", "late"),
        ("approve", "mallory may not decide this", "not_allowed"),
        ("approve", "alice asked for it or intervened on it; four eyes are needed", "four_eyes"),
        ("approve", "bea has already decided in this round", "decided_twice"),
        ("reject", "it was already granted", "decided_before"),
        ("approve", "the workflow is cancelled", "ended"),
        ("approve", "the workflow is stopping", "ended"),
        ("approve", "there is no such approval", "unknown"),
        ("retry", "there is no step x", "act"),
        ("approve", "a reason of a later version", OTHER),
    ],
)
def test_a_refusal_is_a_word_of_a_closed_list(decision: str, reason: str, word: str) -> None:
    refused = e.DecisionRefused(approval_id="a", decided_by="bea", decision=decision, reason=reason)
    assert reason_of(refused) == word
    assert word in REASONS


def test_gauges_are_absent_until_something_is_known_and_again_when_the_projector_has_gone(bench: Bench) -> None:
    names = {"handrail_workflows", "handrail_workflows_stuck", "handrail_approvals_pending", "handrail_parked_views"}
    assert names.isdisjoint(name for name, _ in bench.told())
    bench.place.put(histories(42))
    bench.pass_on()
    bench.show()
    assert names <= {name for name, _ in bench.told()}
    bench.metrics.leave()
    assert names.isdisjoint(name for name, _ in bench.told())


def test_gauges_are_what_the_views_come_to(bench: Bench) -> None:
    tallies = {("demo", "blocked", ""): 2, ("demo", "blocked", "backlog"): 3, ("demo", "completed", ""): 4}
    bench.metrics.show(
        ViewsNow(tallies, approvals={"demo": 5}, parked=6, oldest={"demo": 60.0}, oldest_approvals={"demo": 7.0})
    )
    bench.metrics.judged_at = lambda: START
    bench.metrics.queues = lambda: (8.0, {"handrail.activity.default": QueueFacts(consumers=9, messages=10)})
    assert bench.moved() == {
        ("handrail_workflows", ("demo", "blocked")): 5,
        ("handrail_workflows", ("demo", "completed")): 4,
        ("handrail_workflows_stuck", ("backlog", "demo")): 3,
        ("handrail_approvals_pending", ("demo",)): 5,
        ("handrail_parked_views", ()): 6,
        ("handrail_oldest_progress_timestamp_seconds", ("demo",)): 60,
        ("handrail_approval_oldest_timestamp_seconds", ("demo",)): 7,
        ("handrail_views_judged_timestamp_seconds", ()): START.timestamp(),
        ("handrail_broker_facts_timestamp_seconds", ()): 8,
        ("handrail_queue_consumers", ("handrail.activity.default",)): 9,
        ("handrail_queue_messages", ("handrail.activity.default",)): 10,
    }


def test_known_definitions_have_every_series_at_zero(bench: Bench) -> None:
    bench.show()
    told = bench.told()
    assert {labels[1] for name, labels in told if name == "handrail_workflows"} == {*STATUSES}
    assert {labels[0] for name, labels in told if name == "handrail_workflows_stuck"} == {*CAUSES}
    assert told["handrail_workflows_started_total", ("demo",)] == 0
    assert told["handrail_workflows_ended_total", ("demo", "failed")] == 0
    assert told["handrail_oldest_progress_timestamp_seconds", ("demo",)] == 0
    assert bench.moved() == {}


def test_handrails_own_workflows_are_in_no_count(place: Place) -> None:
    bench = Bench(place, "handrail-heartbeat")
    bench.put("wf_1", started("handrail-heartbeat"), e.StepSkipped(step="_s", reason=""), e.WorkflowCompleted())
    bench.pass_on(2)
    bench.pass_on()
    bench.show()
    assert bench.moved() == {}
    assert not [labels for _, labels in bench.told() if "handrail-heartbeat" in labels]


def test_one_that_began_before_this_process_ends_uncounted_too(place: Place) -> None:
    first = Bench(place)
    first.put("wf_1", started("handrail-heartbeat"), e.WorkflowCompleted())
    first.pass_on(1)
    second = Bench(place)
    second.pass_on()
    assert not [labels for name, labels in second.told() if name == "handrail_workflows_ended_total"]


def test_a_workflow_that_the_views_cannot_keep_is_told_of_as_parked_only(bench: Bench) -> None:
    bench.put("wf_1", started("demo"), e.WorkflowCompleted())
    with bench.place.recorder.transaction() as cursor:
        cursor.execute("UPDATE stored_events SET topic = 'Nonsense' WHERE id = 1")
    bench.pass_on()
    bench.show()
    assert bench.moved() == {("handrail_events_total", ()): 2, ("handrail_parked_views", ()): 1}


def test_definitions_beyond_a_bound_share_their_series(bench: Bench) -> None:
    many = {(f"d{number}", "blocked", "backlog"): 1 for number in range(MOST_DEFINITIONS + 10)}
    bench.metrics.show(ViewsNow(many, approvals={"d0": 1, "d505": 2}, oldest={"d505": 120.0, "d506": 60.0}))
    told = bench.told()
    definitions = {labels[0] for name, labels in told if name == "handrail_workflows"}
    assert len(definitions) == MOST_DEFINITIONS + 1
    assert told["handrail_workflows", (OTHERS, "blocked")] == 11
    assert told["handrail_workflows_stuck", ("backlog", OTHERS)] == 11
    assert told["handrail_approvals_pending", (OTHERS,)] == 2
    assert told["handrail_oldest_progress_timestamp_seconds", (OTHERS,)] == 60


def series(registry: Any) -> int:
    return sum(not one.name.endswith("_created") for family in registry.collect() for one in family.samples)
