"""One cause pages once: what is shipped keeps back what follows, never hides a cause, and names what there is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any, Final, NamedTuple

import pytest

from domain.topology import INTAKES
from tests.alerts.shipped import FOLDER, Matcher, alerts, read, seconds
from tests.servers.alertmanager import amtool

FILE: Final = FOLDER / "alertmanager.yml"
CONFIGURATION: Final = read(FILE)
ROLES: Final = ("relay", "timer", "projector")


class Kind(NamedTuple):
    """An alert, as far as its labels are known beforehand."""

    name: str
    role: str = ""
    queue: str = ""

    @property
    def labels(self) -> dict[str, str]:
        severity = alerts()[self.name]["labels"]["severity"]
        return {"alertname": self.name, "role": self.role, "queue": self.queue, "severity": severity}


def kinds() -> list[Kind]:
    """Every alert; of those by role or by queue, one for each."""
    led = [{"role": role} for role in ROLES]
    by_label = {
        "HandrailNoLeader": led,
        "HandrailSeveralLeaders": led,
        "HandrailQueueUnserved": [{"queue": intake.queue} for intake in INTAKES],
    }
    return [Kind(name, **labels) for name in alerts() for labels in by_label.get(name, [{}])]


def chosen(matchers: list[str]) -> list[Kind]:
    """The alerts that meet all of these."""
    made = [Matcher.of(one) for one in matchers]
    return [kind for kind in kinds() if all(matcher.holds(kind.labels) for matcher in made)]


def pairs() -> Iterator[tuple[Kind, Kind, dict[str, Any]]]:
    """Which alert is kept back by which, and by what rule."""
    for rule in CONFIGURATION["inhibit_rules"]:
        for source in chosen(rule["source_matchers"]):
            for target in chosen(rule["target_matchers"]):
                yield source, target, rule


def test_alertmanager_takes_it() -> None:
    checked = subprocess.run(
        [amtool(), "check-config", str(FILE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("side", ["source_matchers", "target_matchers"])
def test_every_rule_names_alerts_that_there_are(side: str) -> None:
    assert [rule for rule in CONFIGURATION["inhibit_rules"] if not chosen(rule[side])] == []


def test_every_name_in_a_pattern_is_one() -> None:
    """A name that was changed would drop out of a pattern of several without a sound."""
    written = [
        Matcher.of(one)
        for rule in CONFIGURATION["inhibit_rules"]
        for one in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    words = {word for one in written if one.label == "alertname" for word in re.findall(r"\w+", one.value)}
    assert [word for word in sorted(words) if not any(word in name for name in alerts())] == []


def test_nothing_hides_itself_by_a_circle() -> None:
    before: dict[Kind, set[Kind]] = {kind: set() for kind in kinds()}
    for source, target, _ in pairs():
        before[target].add(source)
    assert len(list(TopologicalSorter(before).static_order())) == len(kinds())


def test_nothing_of_one_deployment_hides_what_is_of_another() -> None:
    assert [rule for rule in CONFIGURATION["inhibit_rules"] if "job" not in rule["equal"]] == []


def test_what_others_follow_from_fires_first() -> None:
    """Only what fires already keeps others back: one that is told before its cause would be told twice."""
    late = [
        (source.name, target.name)
        for source, target, _ in pairs()
        if seconds(alerts()[source.name]["for"]) > seconds(alerts()[target.name]["for"])
    ]
    assert late == []


def test_what_others_follow_from_is_over_last() -> None:
    """What follows is mended a moment later, and is not to be told in that moment."""
    kept = {name: seconds(rule.get("keep_firing_for", "0m")) for name, rule in alerts().items()}
    early = [
        (source.name, target.name)
        for source, target, _ in pairs()
        if kept[target.name] and kept[source.name] <= kept[target.name]
    ]
    assert early == []


def test_a_page_is_kept_back_by_pages_only() -> None:
    """Else somebody would sleep through it."""
    hidden = [
        (source.name, target.name)
        for source, target, _ in pairs()
        if source.labels["severity"] == "ticket" and target.labels["severity"] == "page"
    ]
    assert hidden == []


def test_pages_and_tickets_go_where_they_belong_and_one_cause_is_one_group() -> None:
    route = CONFIGURATION["route"]
    (page,) = [one for one in route["routes"] if Matcher.of(one["matchers"][0]) == Matcher("severity", "=", "page")]
    assert (route["receiver"], page["receiver"]) == ("tickets", "pages")
    assert route["group_by"] == ["job", "alertname"]
    assert "group_by" not in page
