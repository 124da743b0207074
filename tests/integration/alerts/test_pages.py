"""One cause pages once: real processes, a real Prometheus with the shipped rules, and a real Alertmanager."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.messages import Signal, outgoing_signal
from domain.topology import SIGNALS_QUEUE
from domain.transport import Published
from producers.publisher import AmqpPublisher
from tests.integration.alerts.stage import Stage
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_metrics import Scrape, run
from tests.servers.postgres import Database, OwnCluster
from tests.servers.rabbitmq import Vhost

RECIPES = "tests.integration.alerts.recipes"
SETTINGS = {"HANDRAIL_HEARTBEAT_SECONDS": "1", "HANDRAIL_STUCK": '{"consumer": 1}'}
INSTANTS = (
    "handrail_heartbeat_last_completed_timestamp_seconds",
    "handrail_views_judged_timestamp_seconds",
    "handrail_broker_facts_timestamp_seconds",
)
ALL_BUT_THE_VIEWS = (
    *("goals", "approvals", "signals", "control", "activities", "outcomes", "relay", "timer"),
    *("--queues", "default"),
)
STUCK, NO_LEADER = "HandrailStuckNoConsumer", "HandrailNoLeader"
SILENT_ROUNDS = 20
"""For so long nothing more may come: 10 s, in which any message that waits would have been sent."""


@pytest.fixture
def deployment(vhost: Vhost, own_database: Database, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(vhost, own_database, tmp_path, modules=RECIPES, settings=SETTINGS)
    yield made
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    cluster.ensure()
    made.end()


async def signalled(deployment: Deployment) -> None:
    """Publish a signal that no workflow waits for."""
    publisher = AmqpPublisher(deployment.vhost.url_of(deployment.runtime), name="a service")
    await publisher.start()
    try:
        signal = outgoing_signal(Signal(name="letter", correlation="box-1"), message_id="letter-1")
        assert await publisher.publish([signal]) == [Published.CONFIRMED]
    finally:
        await publisher.close()


@contextmanager
def watched(*serving: Served, **options: Any) -> Iterator[Stage]:
    """Processes under watch, past their first moments: healthy, and nothing fires. The last one has the projector.

    Options are the stage's.
    """
    views = serving[-1]
    until(
        lambda: all(Scrape(views).of(name) for name in INSTANTS),
        lambda: f"{[(name, Scrape(views).of(name)) for name in INSTANTS]}\n{views.log.read_text()}",
    )
    with Stage([one.address for one in serving], **options) as stage:
        stage.until_rounds(10)
        assert stage.prometheus.alerts() == [], "nothing fires, and nothing is about to"
        assert stage.notifications == []
        yield stage


@pytest.mark.timeout(240)
def test_a_queue_without_consumers_pages_once_and_is_over_when_somebody_serves_it(deployment: Deployment) -> None:
    views = deployment.serve("projector", ready=False)
    with watched(deployment.serve(*ALL_BUT_THE_VIEWS), views) as stage:
        run(deployment, {"one": "greet", "two": "apart", "three": "apart"})
        page = stage.until_told(STUCK, definition="apart")
        assert page.receiver == "pages"
        (alert,) = page.alerts
        assert alert["labels"].items() >= {"job": "handrail", "cause": "no_consumer", "severity": "page"}.items()
        assert alert["annotations"]["summary"] == "apart: nobody consumes the queue of its steps (stuck: 2)"
        assert alert["annotations"]["runbook_url"].endswith("#stuck-no_consumer")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {STUCK: 1}

        # Whoever told it has died: that is another cause, and the first one is not over because of it.
        views.kill9()
        assert stage.until_told(NO_LEADER, role="projector").receiver == "pages"
        stage.until_firing("HandrailProcessDown")
        stage.until_rounds(SILENT_ROUNDS)
        stage.until_firing(STUCK, definition="apart")
        again = deployment.serve("projector")
        stage.forget(views.address)
        stage.watch(again.address)
        stage.until_resolved(NO_LEADER)
        assert stage.counted() == {STUCK: 1, NO_LEADER: 1}

        stage.watch(deployment.serve("activities", "--queues", "apart").address)
        assert stage.until_resolved(STUCK).group == page.group
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {STUCK: 1, NO_LEADER: 1}
        assert stage.ever_fired() == {STUCK, NO_LEADER, "HandrailProcessDown"}


def test_messages_that_nobody_takes_in_page_once_and_are_over_when_somebody_does(deployment: Deployment) -> None:
    """Nobody serves outcomes either: nothing is sent there, and nothing told."""
    with watched(
        deployment.serve("goals", "approvals", "control", "activities", "relay", "timer", "projector")
    ) as stage:
        asyncio.run(signalled(deployment))
        page = stage.until_told("HandrailQueueUnserved", queue=SIGNALS_QUEUE)
        assert page.receiver == "pages"
        (alert,) = page.alerts
        assert alert["annotations"]["summary"] == "Nobody consumes handrail.signals of handrail (messages: 1)"
        stage.until_rounds(SILENT_ROUNDS)
        stage.watch(deployment.serve("signals").address)
        stage.until_resolved("HandrailQueueUnserved")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {"HandrailQueueUnserved": 1}


def test_a_store_that_is_away_pages_once_and_so_does_a_deployment_that_dies(deployment: Deployment) -> None:
    """Whatever follows from either: it fires, and nobody is told."""
    cluster = deployment.database.cluster
    assert isinstance(cluster, OwnCluster)
    serving = deployment.serve("all", "--queues", "default")
    with watched(serving) as stage:
        cluster.stop("immediate")
        assert stage.until_told("HandrailStoreAway").receiver == "pages"
        stage.until_firing(NO_LEADER, role="relay")
        stage.until_firing("HandrailNotReady")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {"HandrailStoreAway": 1}

        serving.kill9()
        assert stage.until_told("HandrailAway").receiver == "pages"
        stage.until_firing("HandrailProcessDown")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {"HandrailStoreAway": 1, "HandrailAway": 1}
