"""`/metrics` of a served stack: whole from the start, moved by what a run does, and the same after a restart."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.topology import GOALS_QUEUE, activity_queue, dead_queue
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.postgres import Database, OwnCluster
from tests.servers.rabbitmq import Vhost
from tests.unit.deploy.test_metrics_catalogue import CATALOGUE, ROW

GAUGES = (
    "handrail_workflows",
    "handrail_workflows_stuck",
    "handrail_oldest_progress_timestamp_seconds",
    "handrail_approvals_pending",
    "handrail_approval_oldest_timestamp_seconds",
    "handrail_parked_views",
)


class Scrape:
    """What one scrape said."""

    def __init__(self, served: Served) -> None:
        with urllib.request.urlopen(f"{served.address}/metrics", timeout=10) as answer:  # noqa: S310 - our own address
            self.text: str = answer.read().decode()
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float | None:
        """The value of one series; None where it is not there."""
        return self.samples.get((name, frozenset(labels.items())))

    @property
    def names(self) -> set[str]:
        """The metrics that have a series."""
        return {name.removesuffix("_bucket") for name, _ in self.samples if not name.endswith(("_sum", "_count"))}

    @property
    def views(self) -> dict[object, float]:
        """What the projector shows."""
        return {key: value for key, value in self.samples.items() if key[0] in GAUGES}


def catalogued() -> set[str]:
    """The names of all metrics that there are."""
    return {name for name, *_ in ROW.findall(CATALOGUE.read_text(encoding="utf-8"))}


def whole(served: Served) -> Scrape:
    """The first scrape that has everything: the projector leads, and the broker has said how its queues are."""
    lacking: Callable[[], set[str]] = lambda: catalogued() - Scrape(served).names  # noqa: E731 - asked twice
    until(lambda: not lacking(), lambda: f"these are missing: {lacking()}\n{served.log.read_text()}")
    return Scrape(served)


def until_told(served: Served, expected: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> Scrape:
    """The first scrape that says all of this."""

    def differing() -> list[str]:
        scrape = Scrape(served)
        found = {key: scrape.of(key[0], **dict(key[1])) for key in expected}
        return [f"{key}: {found[key]}, not {value}" for key, value in expected.items() if found[key] != value]

    until(lambda: not differing(), lambda: "\n".join(differing()))
    return Scrape(served)


def series(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(labels.items())


def run(deployment: Deployment, goals: dict[str, str]) -> dict[str, str]:
    """Goals by message id, published: the ids of their workflows."""
    asyncio.run(published(deployment, {name: bodies.Goal(goal=goal) for name, goal in goals.items()}))
    return {name: workflow_id_from_message(deployment.goal_service.name, name) for name in goals}


def test_every_series_is_there_from_the_start_and_moves_with_a_run(deploy: Deploy, tmp_path: Path) -> None:
    deployment = deploy()
    sealing = json.dumps({"every": "1d", "folder": str(tmp_path)})
    serving = deployment.serve("all", HANDRAIL_EAGER="false", HANDRAIL_SEAL=sealing)
    start = whole(serving)
    assert start.of("handrail_ready") == 1
    assert {start.of("handrail_leader", role=role) for role in ("relay", "timer", "projector")} == {1}
    for key in (
        series("handrail_workflows", definition="greet", status="completed"),
        series("handrail_workflows_stuck", definition="greet", cause="backlog"),
        series("handrail_workflows_started_total", definition="greet"),
        series("handrail_activity_attempts_total", activity="stutter", outcome="transient"),
        series("handrail_step_execution_seconds_count", activity="stutter"),
        series("handrail_messages_received_total", queue=GOALS_QUEUE, outcome="repeated"),
        series("handrail_decisions_refused_total", reason="four_eyes"),
        series("handrail_compensations_total", outcome="failed"),
    ):
        assert start.of(key[0], **dict(key[1])) == 0, key

    began = time.time()
    ids = run(
        deployment,
        {
            **{f"greet-{number}": "greet" for number in range(3)},
            **{name: name for name in ("stutter", "undo", "denied", "asking", "council")},
            "nonsense": "nobody has a definition for this",
        },
    )
    run(deployment, {"greet-0": "greet"})
    for name in ("asking", "council"):
        until(lambda name=name: deployment.store.exists(ids[name]) and deployment.store.load(ids[name]).ballots, name)
    assert deployment.run("approve", ids["asking"], "--by", "alice").returncode == 0
    assert deployment.run("approve", ids["council"], "--by", "mallory").returncode == 2

    told = until_told(
        serving,
        {
            series("handrail_workflows_started_total", definition="greet"): 3,
            series("handrail_workflows_ended_total", definition="greet", status="completed"): 3,
            series("handrail_workflows_ended_total", definition="undo", status="compensated"): 1,
            series("handrail_workflows", definition="greet", status="completed"): 3,
            series("handrail_workflows", definition="stutter", status="completed"): 1,
            series("handrail_workflows", definition="undo", status="compensated"): 1,
            series("handrail_workflows", definition="denied", status="failed"): 1,
            series("handrail_workflows", definition="asking", status="completed"): 1,
            series("handrail_workflows", definition="council", status="blocked"): 1,
            series("handrail_approvals_pending", definition="council"): 1,
            series("handrail_approvals_pending", definition="asking"): 0,
            series("handrail_approvals_decided_total", decision="granted"): 1,
            series("handrail_approval_wait_seconds_count"): 1,
            series("handrail_decisions_refused_total", reason="not_allowed"): 1,
            series("handrail_retries_total"): 2,
            series("handrail_compensations_total", outcome="ok"): 2,
            series("handrail_activity_attempts_total", activity="stutter", outcome="transient"): 2,
            series("handrail_activity_attempts_total", activity="stutter", outcome="ok"): 1,
            series("handrail_activity_attempts_total", activity="refuse", outcome="permanent"): 1,
            series("handrail_activity_attempts_total", activity="deny", outcome="denied"): 1,
            series("handrail_activity_attempts_total", activity="ask", outcome="needs_approval"): 1,
            series("handrail_step_schedule_to_start_seconds_count", activity="stutter"): 3,
            series("handrail_step_execution_seconds_count", activity="stutter"): 3,
            series("handrail_messages_received_total", queue=GOALS_QUEUE, outcome="recorded"): 8,
            series("handrail_messages_received_total", queue=GOALS_QUEUE, outcome="repeated"): 1,
            series("handrail_message_faults_total", queue=GOALS_QUEUE, fault="definition_unknown"): 1,
            series("handrail_queue_messages", queue=dead_queue(GOALS_QUEUE)): 1,
            series("handrail_queue_consumers", queue=activity_queue("default")): 1,
            series("handrail_queue_consumers", queue=GOALS_QUEUE): 1,
            series("handrail_queue_messages", queue=GOALS_QUEUE): 0,
            series("handrail_follower_lag_events", follower="views"): 0,
            series("handrail_follower_lag_events", follower="relay"): 0,
            series("handrail_attempts_running"): 0,
            series("handrail_parked_views"): 0,
        },
    )
    moved = {name for (name, _), value in told.samples.items() if value}
    assert moved >= {
        "handrail_events_total",
        "handrail_log_position",
        "handrail_follower_position",
        "handrail_turns_total",
        "handrail_turn_decisions_sum",
        "handrail_turn_seconds_sum",
        "handrail_steps_ended_total",
        "handrail_deliveries_settled_total",
        "handrail_views_judged_timestamp_seconds",
        "handrail_broker_facts_timestamp_seconds",
        "process_cpu_seconds_total",
    }
    since = told.of("handrail_approval_oldest_timestamp_seconds", definition="council") or 0
    held = told.of("handrail_oldest_progress_timestamp_seconds", definition="council") or 0
    assert began <= since <= time.time()
    assert began - 60 <= held <= since
    assert told.of("handrail_oldest_progress_timestamp_seconds", definition="greet") == 0
    assert not [name for name in (*ids.values(), "alice", "mallory") if name in told.text]

    assert serving.terminate() == 0
    again = whole(deployment.serve("all", HANDRAIL_SEAL=sealing))
    assert again.views == told.views, "another process tells of the same views"
    assert again.of("handrail_events_total") == 0, "what the first one counted is not counted again"


def test_a_process_that_stands_by_leaves_the_gauges_to_the_one_that_leads(deploy: Deploy) -> None:
    deployment = deploy()
    first = deployment.serve("projector", "relay")
    until(lambda: Scrape(first).views, "it shows no views")
    second = deployment.serve("projector", "timer")
    standing_by = Scrape(second)
    assert standing_by.of("handrail_leader", role="projector") == 0
    assert standing_by.views == {}
    assert standing_by.of("handrail_follower_lag_events", follower="relay") is not None
    assert standing_by.of("handrail_leader", role="relay") is None, "it does not play that role"
    first.kill9()
    until(lambda: Scrape(second).views, lambda: f"it never shows the views:\n{second.log.read_text()}")
    assert Scrape(second).of("handrail_leader", role="projector") == 1


@pytest.fixture
def on_own_database(vhost: Vhost, own_database: Database, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(vhost, own_database, tmp_path)
    yield made
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    cluster.ensure()
    made.end()


def test_a_store_that_is_away_does_not_silence_the_process(on_own_database: Deployment) -> None:
    deployment = on_own_database
    cluster = deployment.database.cluster
    assert isinstance(cluster, OwnCluster)
    serving = deployment.serve("goals", "relay")
    run(deployment, {"one": "greet"})
    until(lambda: (Scrape(serving).of("handrail_log_position") or 0) > 0, "the log stays empty")
    position = Scrape(serving).of("handrail_log_position")
    cluster.stop("immediate")
    until(
        lambda: (
            Scrape(serving).of("handrail_ready") == 0
            and (Scrape(serving).of("handrail_store_errors_total", kind="away") or 0) > 0
        ),
        "it never noticed",
    )
    assert Scrape(serving).of("handrail_log_position") == position
    late = deployment.serve("relay", ready=False)
    waiting = Scrape(late)
    assert (waiting.of("handrail_ready"), waiting.of("handrail_turns_total")) == (0, 0)
    assert waiting.of("handrail_log_position") is None, "it has not heard of the store yet"
    cluster.start()
    until(lambda: Scrape(late).of("handrail_ready") == 1, lambda: f"not ready: {late.ask('/readyz')}")
    assert Scrape(late).of("handrail_log_position") is not None
