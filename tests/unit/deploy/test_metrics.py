"""What every process tells of itself: from the start, with what is known, and without a store."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers.intake import IntakeCounts
from consumers.settlement import Delivered, Received
from deploy.metrics import BROKER_ERRORS, STORE_ERRORS, ProcessMetrics
from deploy.progress import ANSWER_SECONDS, HOLDS_SECONDS, Follower, KnownProgress, Progress
from domain.errors import FenceMissed, StoreAway, StoreError, StoreUnavailable, VersionConflict
from domain.messages.names import Fault
from domain.transport import Published

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = Progress(
    newest=100,
    followers={"relay": Follower(100), "views": Follower(90, 10, NOW - timedelta(seconds=7))},
    timer_due=5.0,
    relay_parked=1,
    messages_held=2,
    goals_held=3,
    announcements_let_go=4,
    heartbeat_completed=6.0,
)

Result = TypeVar("Result")
Samples = dict[tuple[str, tuple[str, ...]], float]


async def told(metrics: ProcessMetrics, *, ready: bool = True) -> Samples:
    """Every sample, by its name and the values of its labels, which are sorted by their names."""
    body, _ = await metrics.exposed(ready=ready)
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def test_the_process_itself_is_told_of_from_the_start() -> None:
    samples = await told(ProcessMetrics(), ready=False)
    assert samples["handrail_ready", ()] == 0
    assert samples["handrail_turns_total", ()] == 0
    assert {kind: samples["handrail_store_errors_total", (kind,)] for _, kind in STORE_ERRORS} == dict.fromkeys(
        ("away", "conflict", "fence", "other"), 0
    )
    assert {kind: samples["handrail_broker_errors_total", (kind,)] for kind in BROKER_ERRORS} == dict.fromkeys(
        BROKER_ERRORS, 0
    )
    assert [value for (name, _), value in samples.items() if name == "handrail_build_info"] == [1]
    assert {"process_resident_memory_bytes", "python_gc_collections_total"} <= {name for name, _ in samples}
    assert not [name for name, _ in samples if name.endswith("_created")]


async def test_readiness_is_what_health_says() -> None:
    metrics = ProcessMetrics()
    assert [(await told(metrics, ready=ready))["handrail_ready", ()] for ready in (True, False)] == [1, 0]


@pytest.mark.parametrize(("set_to", "shown"), [(None, 30.0), (timedelta(minutes=5), 300.0)])
async def test_how_far_the_views_may_be_behind_is_what_is_set(set_to: timedelta | None, shown: float) -> None:
    samples = await told(ProcessMetrics(lag_threshold=set_to))
    assert samples["handrail_projection_lag_threshold_seconds", ()] == shown


async def test_turns_are_counted_with_their_size_and_their_time() -> None:
    metrics = ProcessMetrics()
    metrics.turned(3, 0.02)
    metrics.turned(1, 0.002)
    samples = await told(metrics)
    assert samples["handrail_turns_total", ()] == 2
    assert (samples["handrail_turn_decisions_sum", ()], samples["handrail_turn_seconds_count", ()]) == (4, 2)
    assert samples["handrail_turn_seconds_bucket", ("0.003",)] == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreAway("gone"), "away"),
        (StoreUnavailable("gone"), "away"),
        (VersionConflict("first"), "conflict"),
        (FenceMissed("first"), "fence"),
        (StoreError("what"), "other"),
    ],
)
async def test_trouble_with_the_store_has_a_kind(error: StoreError, kind: str) -> None:
    metrics = ProcessMetrics()
    metrics.store_troubled(error)
    samples = await told(metrics)
    counted = {one: samples["handrail_store_errors_total", (one,)] for _, one in STORE_ERRORS}
    assert counted == {one: float(one == kind) for _, one in STORE_ERRORS}


async def test_what_the_broker_did_not_confirm_is_counted() -> None:
    metrics = ProcessMetrics()
    metrics.broker_troubled(Published.REFUSED, 2)
    metrics.broker_troubled(Published.RETURNED, 1)
    metrics.broker_troubled(None, 3)
    samples = await told(metrics)
    counted = {kind: samples["handrail_broker_errors_total", (kind,)] for kind in BROKER_ERRORS}
    assert counted == {**dict.fromkeys(BROKER_ERRORS, 0), "refused": 2, "returned": 1, "away": 3}


async def test_who_leads_and_who_stands_by() -> None:
    metrics = ProcessMetrics()
    led = {"timer"}
    metrics.leads(["relay", "timer"], lambda: led)
    leading = [((await told(metrics))["handrail_leader", (role,)]) for role in ("relay", "timer")]
    assert leading == [0, 1]
    led.clear()
    assert (await told(metrics))["handrail_leader", ("timer",)] == 0
    assert ("handrail_leader", ("projector",)) not in await told(metrics)


async def test_messages_and_deliveries_are_told_as_they_were_counted() -> None:
    metrics, counts = ProcessMetrics(), IntakeCounts()
    settled: Counter[Delivered] = Counter()
    metrics.takes_in(counts, ["handrail.goals"])
    metrics.settles(settled.__getitem__)
    empty = await told(metrics)
    received = {names[0] for (name, names) in empty if name == "handrail_messages_received_total"}
    assert received == {one.name.lower() for one in Received}
    assert {names[0] for (name, names) in empty if name == "handrail_message_faults_total"} == {*Fault}
    counts.received["handrail.goals", "repeated"] += 2
    counts.faults["handrail.goals", "schema"] += 1
    counts.received["handrail.elsewhere", "repeated"] += 1
    settled[Delivered.OUTCOME_RECORDED] += 3
    samples = await told(metrics)
    moved = {key: value for key, value in samples.items() if value != empty.get(key) and key[0].startswith("handrail")}
    assert moved == {
        ("handrail_messages_received_total", ("repeated", "handrail.goals")): 2,
        ("handrail_message_faults_total", ("schema", "handrail.goals")): 1,
        ("handrail_deliveries_settled_total", ("outcome_recorded",)): 3,
    }


class Store:
    """Answers as it is told, now or when `gate` opens; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Progress | StoreError = Progress()
        self.gate = asyncio.Event()
        self.gate.set()
        self.time = 100.0

    async def aside(self, work: Callable[[], Result], /) -> Result:
        await self.gate.wait()
        return work()

    def read(self) -> Progress:
        self.asked += 1
        if isinstance(self.answer, StoreError):
            raise self.answer
        return self.answer

    def known(self) -> KnownProgress:
        return KnownProgress(self.read, lambda: NOW, aside=self.aside, time=lambda: self.time)


async def test_how_far_the_log_is_and_who_is_behind() -> None:
    metrics, store = ProcessMetrics(), Store()
    metrics.progress = store.known()
    store.answer = LATER
    samples = await told(metrics)
    assert samples["handrail_log_position", ()] == 100
    assert [samples["handrail_follower_position", (name,)] for name in ("relay", "views")] == [100, 90]
    assert [samples["handrail_follower_lag_events", (name,)] for name in ("relay", "views")] == [0, 10]
    assert [samples["handrail_follower_lag_seconds", (name,)] for name in ("relay", "views")] == [0, 7]
    assert samples["handrail_timer_due_timestamp_seconds", ()] == 5
    held = [samples[f"handrail_{name}", ()] for name in ("relay_parked", "messages_held", "goals_held")]
    assert held == [1, 2, 3]
    assert samples["handrail_announcements_let_go_total", ()] == 4
    assert samples["handrail_heartbeat_last_completed_timestamp_seconds", ()] == 6


async def test_an_answer_holds_for_a_second() -> None:
    metrics, store = ProcessMetrics(), Store()
    metrics.progress = store.known()
    for _ in range(3):
        await told(metrics)
    assert store.asked == 1
    store.time += HOLDS_SECONDS
    await told(metrics)
    assert store.asked == 2


async def test_a_store_that_is_away_leaves_what_was_known() -> None:
    metrics, store = ProcessMetrics(), Store()
    metrics.progress = store.known()
    store.answer = StoreUnavailable("gone")
    assert ("handrail_log_position", ()) not in await told(metrics)
    store.answer, store.time = LATER, store.time + HOLDS_SECONDS
    await told(metrics)
    store.answer, store.time = StoreUnavailable("gone"), store.time + HOLDS_SECONDS
    assert (await told(metrics))["handrail_log_position", ()] == 100
    assert store.asked == 3


async def test_a_store_that_hangs_is_asked_by_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ANSWER_SECONDS > 0
    monkeypatch.setattr("deploy.progress.ANSWER_SECONDS", 0.001)
    metrics, store = ProcessMetrics(), Store()
    metrics.progress = store.known()
    store.gate.clear()
    for _ in range(3):
        store.time += HOLDS_SECONDS
        assert ("handrail_log_position", ()) not in await told(metrics)
    store.answer = LATER
    store.gate.set()
    async with asyncio.timeout(10):
        while ("handrail_log_position", ()) not in await told(metrics):
            pass
    assert store.asked == 1
