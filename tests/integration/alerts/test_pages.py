"""One cause pages once: real processes, a real Prometheus with the shipped rules, and a real Alertmanager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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


def begun(deployment: Deployment) -> Served:
    """A process of all roles that serves one of the two queues, past its first moments."""
    serving = deployment.serve("all", "--queues", "default")
    until(
        lambda: all(Scrape(serving).of(name) for name in INSTANTS),
        lambda: f"{ {name: Scrape(serving).of(name) for name in INSTANTS} }\n{serving.log.read_text()}",
    )
    return serving


@contextmanager
def watched(serving: Served) -> Iterator[Stage]:
    """The process under watch: healthy, and nothing fires."""
    with Stage([serving.address]) as stage:
        stage.until_scraped()
        stage.until_rounds(10)
        assert stage.prometheus.alerts() == [], "nothing fires, and nothing is about to"
        assert stage.notifications == []
        yield stage


@pytest.mark.timeout(240)
def test_a_queue_without_consumers_pages_once_and_is_over_when_somebody_serves_it(deployment: Deployment) -> None:
    with watched(begun(deployment)) as stage:
        run(deployment, {"one": "greet", "two": "apart", "three": "apart"})
        page = stage.until_told("HandrailStuckNoConsumer", definition="apart")
        assert page.receiver == "pages"
        (alert,) = page.alerts
        assert alert["labels"].items() >= {"job": "handrail", "cause": "no_consumer", "severity": "page"}.items()
        assert alert["annotations"]["summary"] == "apart: nobody consumes the queue of its steps (stuck: 2)"
        assert alert["annotations"]["runbook_url"].endswith("#stuck-no_consumer")

        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {"HandrailStuckNoConsumer": 1}

        mending = deployment.serve("activities", "--queues", "apart")
        stage.watch(mending.address)
        assert stage.until_resolved("HandrailStuckNoConsumer").group == page.group
        stage.until_rounds(SILENT_ROUNDS)
        assert [one.status for one in stage.notifications] == ["firing", "resolved"]
        assert stage.ever_fired() == {"HandrailStuckNoConsumer"}


def test_a_store_that_is_away_pages_once_whatever_follows_from_it(deployment: Deployment) -> None:
    cluster = deployment.database.cluster
    assert isinstance(cluster, OwnCluster)
    with watched(begun(deployment)) as stage:
        cluster.stop("immediate")
        assert stage.until_told("HandrailStoreAway").receiver == "pages"
        stage.until_firing("HandrailNoLeader", role="relay")
        stage.until_firing("HandrailNotReady")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {"HandrailStoreAway": 1}


def test_a_deployment_that_has_died_pages_once(deployment: Deployment) -> None:
    serving = begun(deployment)
    with watched(serving) as stage:
        serving.kill9()
        assert stage.until_told("HandrailAway").receiver == "pages"
        stage.until_firing("HandrailProcessDown")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {"HandrailAway": 1}

        again = begun(deployment)
        stage.forget(serving.address)
        stage.watch(again.address)
        stage.until_resolved("HandrailAway")
        assert stage.counted() == {"HandrailAway": 1}
