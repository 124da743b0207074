"""Every alert fires when it must and not otherwise, reads metrics that there are, and leads to the runbook."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.metrics import BROKER_ERRORS, STORE_ERRORS
from deploy.progress import FOLLOWERS
from deploy.serving.queues import watched_queues
from deploy.serving.roles import MESSAGES
from domain.topology import (
    APPROVALS_QUEUE,
    DEAD_COMMANDS_QUEUE,
    GOALS_QUEUE,
    INTAKES,
    PREFIX,
    UNROUTED_QUEUE,
    activity_queue,
    dead_queue,
)
from projections.causes import Cause
from projections.thresholds import LAG
from tests.alerts.shipped import CASES, FOLDER, RUNBOOK, alerts, anchors, read, recorded, rules, seconds
from tests.servers.prometheus import promtool
from tests.unit.deploy.test_metrics_catalogue import CATALOGUE, ROW

SEVERITIES: Final = {"page", "ticket"}
DEPLOY_SECONDS: Final = 120.0
"""What a role may be gone for while every process is replaced: 30 s of grace, and the start of the next one."""
SUFFIXES: Final = ("", "_bucket", "_count", "_sum")
NAME: Final = re.compile(r"[a-z]+:[a-z_:]+|\bhandrail_\w+")
SELECTED: Final = re.compile(r"\b(handrail_\w+)(?:\{([^}]*)\})?")
LABEL: Final = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')

each_alert = pytest.mark.parametrize("name", sorted(alerts()))
each_rule = pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False, timeout=60)


@cache
def catalogued() -> dict[str, set[str]]:
    """The labels of every metric that there is."""
    rows = ROW.findall(CATALOGUE.read_text(encoding="utf-8"))
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels, *_ in rows}


def metric_of(name: str) -> str:
    """The metric that a series of this name belongs to; empty where there is none."""
    known = catalogued()
    return next((name.removesuffix(one) for one in SUFFIXES if name.removesuffix(one) in known), "")


# ------------------------------------------------------------------------------------------------- that they work


@pytest.mark.parametrize("file", ["recording.yml", "alerts-stuck.yml", "alerts-system.yml"])
def test_prometheus_takes_the_rules(file: str) -> None:
    checked = tool("check", "rules", str(FOLDER / file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_takes_the_configuration_and_finds_its_rules() -> None:
    checked = tool("check", "config", str(FOLDER / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    named = {path.name for path in FOLDER.glob("*.yml")} - {"prometheus.yml", "alertmanager.yml"}
    assert set(read(FOLDER / "prometheus.yml")["rule_files"]) == named


@pytest.mark.parametrize("file", CASES, ids=lambda path: path.name)
def test_they_fire_when_they_must_and_not_otherwise(file: Path) -> None:
    tested = tool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@each_alert
def test_each_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    looks = [
        look
        for file in CASES
        for case in read(file)["tests"]
        for look in case["alert_rule_test"]
        if look["alertname"] == name
    ]
    assert {bool(look["exp_alerts"]) for look in looks} == {True, False}


# -------------------------------------------------------------------------------------------------- what they read


def unknown(rule: dict[str, Any]) -> list[str]:
    """What a rule reads that is neither a metric of the catalogue nor recorded, and labels that its metrics lack."""
    names = [name for name in NAME.findall(rule["expr"]) if name not in recorded() and not metric_of(name)]
    known = catalogued()
    labels = [
        f"{name}{{{label}}}"
        for name, selectors in SELECTED.findall(rule["expr"])
        for label, _ in LABEL.findall(selectors)
        if label not in known.get(metric_of(name), set())
    ]
    return names + labels


@each_rule
def test_it_reads_metrics_that_there_are(rule: dict[str, Any]) -> None:
    assert unknown(rule) == []


def test_a_renamed_metric_or_label_is_found() -> None:
    assert unknown({"expr": "max by (job) (handrail_relay_stalled) > 0"}) == ["handrail_relay_stalled"]
    assert unknown({"expr": "job:handrail_leader:count == 0"}) == ["job:handrail_leader:count"]
    assert unknown({"expr": 'handrail_leader{part="relay"} == 0'}) == ["handrail_leader{part}"]
    assert unknown({"expr": 'job:handrail_leader:sum{role="relay"} == 0 or handrail_turn_seconds_count > 0'}) == []


def test_the_values_that_they_look_for_are_told() -> None:
    told = {
        "cause": {cause.value for cause in Cause},
        "follower": set(FOLLOWERS),
        "kind": {kind for _, kind in STORE_ERRORS} | set(BROKER_ERRORS),
        "role": {"relay", "timer", "projector"},
    }
    asked = [
        (label, value)
        for rule in rules()
        for label, values in LABEL.findall(rule["expr"])
        if label in told
        for value in values.split("|")
    ]
    assert {label for label, _ in asked} == set(told)
    assert [(label, value) for label, value in asked if value not in told[label]] == []


def test_dead_queues_are_those_that_are_looked_at() -> None:
    (pattern,) = re.findall(r'queue=~"([^"]+)"', alerts()["HandrailDeadLetters"]["expr"])
    dead = [dead_queue(GOALS_QUEUE), dead_queue(activity_queue("default")), DEAD_COMMANDS_QUEUE, UNROUTED_QUEUE]
    assert [queue for queue in dead if not re.fullmatch(pattern, queue)] == []
    assert not re.fullmatch(pattern, activity_queue("dead"))
    # The other half of it names the dead queue of a queue by replacing the beginning, as the topology does.
    assert dead_queue(APPROVALS_QUEUE) == re.sub(r"handrail[.](.+)", r"handrail.dead.\1", APPROVALS_QUEUE)


def test_queues_that_must_be_consumed_are_those_that_our_own_roles_take_in() -> None:
    (pattern,) = re.findall(r'queue=~"([^"]+)"', alerts()["HandrailQueueUnserved"]["expr"])
    queues = [*watched_queues([]), activity_queue("goals"), *(f"{intake.queue}.more" for intake in INTAKES)]
    matched = {queue for queue in queues if re.fullmatch(pattern, queue)}
    assert matched == {intake.queue for intake in INTAKES}
    # The alert names the role by its queue.
    assert {queue.removeprefix(PREFIX) for queue in matched} <= set(MESSAGES)


# ----------------------------------------------------------------------------------------------------- what they say


def test_every_cause_has_one_alert_and_one_section() -> None:
    causes = [
        found
        for rule in rules()
        if "alert" in rule
        for found in [*re.findall(r'cause="(\w+)"', rule["expr"]), rule["labels"].get("cause")]
        if found
    ]
    assert sorted(causes) == sorted(cause.value for cause in Cause)
    known = Counter(anchors(RUNBOOK.read_text(encoding="utf-8")))
    assert {cause: known[f"stuck-{cause}"] for cause in causes} == dict.fromkeys(causes, 1)
    links = {name: rule["annotations"]["runbook_url"] for name, rule in alerts().items()}
    for cause in causes:
        name = "HandrailStuck" + "".join(word.capitalize() for word in cause.split("_"))
        assert links[name].endswith(f"#stuck-{cause}")


def test_that_the_views_are_behind_is_an_alert_from_where_it_is_a_cause() -> None:
    expression = alerts()["HandrailStuckProjectionLag"]["expr"]
    assert f'{{follower="views"}} > {LAG.total_seconds():g}\n' in expression
    assert "handrail_projection_lag_threshold_seconds" in expression


def test_no_two_alerts_have_one_name() -> None:
    names = Counter(rule["alert"] for rule in rules() if "alert" in rule)
    assert [name for name, number in names.items() if number > 1] == []


@each_alert
def test_it_says_how_urgent_it_is_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]
    said = rule["annotations"]
    assert rule["labels"]["severity"] in SEVERITIES
    assert {text for text in ("summary", "description") if not said[text]} == set()
    place, _, anchor = said["runbook_url"].partition("#")
    assert place == "deploy/RUNBOOK.md"
    assert anchors(RUNBOOK.read_text(encoding="utf-8")).count(anchor) == 1, anchor


@each_alert
def test_it_waits_for_longer_than_a_deploy(name: str) -> None:
    assert seconds(alerts()[name]["for"]) > 2 * DEPLOY_SECONDS


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    linked = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts().values()}
    written = {one for one in anchors(RUNBOOK.read_text(encoding="utf-8")) if one.startswith(("alert-", "stuck-"))}
    assert written == linked


def test_anchors_are_made_as_pages_of_markdown_are_linked() -> None:
    assert anchors("# One\ntext\n### Stuck: no_consumer\n## Is it ready? `/healthz`, yes") == [
        "one",
        "stuck-no_consumer",
        "is-it-ready-healthz-yes",
    ]
