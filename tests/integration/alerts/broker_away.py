"""RabbitMQ goes, and comes again: one page, which is over then, on real processes with the shipped rules.

It takes a minute and a half, so `make test` does not collect it; `make stuck-matrix` names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.alerts.recipes import NAP
from tests.integration.alerts.stage import SHIPPED
from tests.integration.alerts.test_pages import RECIPES, SETTINGS, SILENT_ROUNDS, watched
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_metrics import run
from tests.servers.postgres import Database
from tests.servers.rabbitmq import OwnBroker, Vhost

HASTY = "tests.integration.alerts.hasty"
MINUTES_ARE_TWO_SECONDS = 1 / 30
AWAY = "HandrailBrokerFactsOld"
SECTION = "alert-handrailbrokerfactsold"


@pytest.fixture
def deployment(own_vhost: Vhost, database: Database, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(own_vhost, database, tmp_path, modules=RECIPES, settings=SETTINGS)
    yield made
    own_vhost.broker.ensure()
    made.end()


@pytest.mark.timeout(300)
def test_a_broker_that_is_away_pages_once_until_it_is_back(deployment: Deployment) -> None:
    broker = deployment.vhost.broker
    assert isinstance(broker, OwnBroker)
    serving = deployment.serve("all", "--queues", "default", HANDRAIL_MODULES=HASTY)
    with watched(serving, factor=MINUTES_ARE_TWO_SECONDS, shorter=[AWAY]) as stage:
        (parent,) = run(deployment, {"napping": "later"}).values()
        store = deployment.store
        until(lambda: store.exists(parent) and store.load(parent).waits, "it does not wait")
        broker.stop()
        page = stage.until_told(AWAY)
        assert page.receiver == "pages"
        (alert,) = page.alerts
        assert alert["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{SECTION}"
        headings = (SHIPPED.parent / "RUNBOOK.md").read_text(encoding="utf-8").lower().splitlines()
        assert [line for line in headings if line.lstrip("#").strip().replace(": ", "-") == SECTION]
        # The nap is over meanwhile: its workflow has begun another one, whose command has nowhere to go.
        child = "SELECT 1 FROM stored_events WHERE originator_id LIKE ?"
        until(lambda: store.query(child, (f"{parent}.%",)), f"nothing was begun after {NAP}")
        stage.until_firing("HandrailNotReady")
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.counted() == {AWAY: 1}
        assert stage.ever_fired() == {AWAY, "HandrailNotReady"}
        assert deployment.statuses([parent]) == {parent: "blocked"}

        broker.start()
        until(
            lambda: deployment.statuses([parent]) == {parent: "completed"},
            lambda: f"{deployment.statuses([parent])}\n{serving.log.read_text()[-3_000:]}",
        )
        over = stage.until_resolved(AWAY)
        assert (over.receiver, over.group) == ("pages", page.group)
        stage.until_rounds(SILENT_ROUNDS)
        assert stage.firing() == []
        assert stage.counted() == {AWAY: 1}
        assert stage.ever_fired() == {AWAY, "HandrailNotReady"}
