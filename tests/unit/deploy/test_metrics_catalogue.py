"""The catalogue of metrics (`deploy/docs/metrics.md`) is what is registered, and names are as Prometheus wants them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from consumers.intake import IntakeCounts
from consumers.metrics import ActivityMetrics
from deploy.metrics import ProcessMetrics
from deploy.progress import FOLLOWERS, Follower, KnownProgress, Progress
from projections.metrics import ViewsMetrics
from projections.stuck import QueueFacts
from projections.totals import ViewsNow

CATALOGUE = Path(__file__).resolve().parents[3] / "deploy" / "docs" / "metrics.md"
ROW = re.compile(r"\| `(handrail_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) \|")
PREFIX = "handrail_"
EVERY, ACTIVITIES, PROJECTOR = "every", "activities", "projector"

MOST_SERIES_OF_THE_PROJECTOR = 2_000
MOST_SERIES_OF_AN_ACTIVITY_TYPE = 45


class Described(NamedTuple):
    """One row of the catalogue."""

    name: str
    kind: str
    labels: str
    process: str
    meaning: str


def every_process(roles: tuple[str, ...], *, leading: bool = True) -> ProcessMetrics:
    """A process with everything that it may have, before anything has happened."""
    metrics = ProcessMetrics()
    followers = {name: Follower(0) for name in FOLLOWERS}
    metrics.progress = KnownProgress(Progress, lambda: datetime(2030, 1, 1, tzinfo=UTC))
    metrics.progress.known = Progress(followers=followers)
    metrics.leads(roles, lambda: roles if leading else ())
    return metrics


def with_messages(metrics: ProcessMetrics) -> ProcessMetrics:
    """The same, taking in messages and step commands."""
    metrics.takes_in(IntakeCounts(), ["handrail.goals"])
    metrics.settles(lambda _: 0)
    return metrics


def projecting(registry: CollectorRegistry, definitions: list[str], queues: list[str]) -> ViewsMetrics:
    """The projector's, as it shows empty views."""
    metrics = ViewsMetrics(registry, definitions)
    metrics.queues = lambda: (0.0, dict.fromkeys(queues, QueueFacts(0)))
    metrics.show(ViewsNow())
    return metrics


def described(families: Iterator[Metric], process: str) -> Iterator[Described]:
    for family in families:
        if not family.name.startswith(PREFIX):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label: None for sample in family.samples for label in sample.labels if label != "le"}
        shown = ", ".join(f"`{label}`" for label in labels) or "–"
        yield Described(name, family.type, shown, process, family.documentation)


def registered() -> list[Described]:
    """All that there is, process by process."""
    views, activities = CollectorRegistry(), CollectorRegistry()
    projecting(views, ["demo"], ["handrail.activity.default"])
    ActivityMetrics(activities, ["say"])
    every = with_messages(every_process(("relay",))).registry
    return [
        *described(iter(every.collect()), EVERY),
        *described(iter(activities.collect()), ACTIVITIES),
        *described(iter(views.collect()), PROJECTOR),
    ]


def series(registry: CollectorRegistry) -> int:
    """How many series a scrape gives: without those that are left out of it."""
    return sum(not one.name.endswith("_created") for family in registry.collect() for one in family.samples)


def test_the_catalogue_says_what_is_registered() -> None:
    written = [Described(*row) for row in ROW.findall(CATALOGUE.read_text(encoding="utf-8"))]
    assert sorted(written) == sorted(registered())


@pytest.mark.parametrize("one", registered(), ids=lambda one: one.name)
def test_names_are_as_prometheus_wants_them(one: Described) -> None:
    """The rules that `promtool check metrics` knows, and the base units."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", one.name)
    assert one.name.endswith("_total") == (one.kind == "counter")
    assert not re.search(r"_(milliseconds|ms|minutes|hours|days|kilobytes|megabytes|percent)(_|$)", one.name)
    assert not one.name.endswith(("_count", "_sum", "_bucket"))
    assert ("timestamp" in one.name) == one.name.endswith("_timestamp_seconds")
    if one.kind == "histogram":
        assert one.name.endswith(("_seconds", "_decisions"))
    assert one.meaning
    assert one.meaning.endswith(".")


def test_labels_are_of_a_closed_list() -> None:
    """Never an id, never free text."""
    known = {
        "activity", "cause", "decision", "definition", "fault", "follower", "kind", "outcome", "python", "queue",
        "reason", "role", "status", "version",
    }  # fmt: skip
    labels = {label for one in registered() for label in re.findall(r"`(\w+)`", one.labels)}
    assert labels == known


def test_the_projector_of_50_definitions_has_no_more_than_2000_series() -> None:
    """With 20 activity types, each in a queue of its own; the other roles that a process of its kind plays included."""
    process = every_process(("projector", "relay", "timer"))
    activities = [f"handrail.activity.a{number}" for number in range(20)]
    worked = [*activities, *(f"handrail.{kind}" for kind in ("goals", "approvals", "signals", "control", "outcomes"))]
    queues = [
        *worked,
        *(f"handrail.dead.{queue}" for queue in worked),
        "handrail.unrouted",
        "handrail.dead.commands",
    ]
    projecting(process.registry, [f"definition {number}" for number in range(50)], queues)
    found = series(process.registry)
    print(f"series of a projector with 50 definitions and 20 activity types: {found}")
    assert MOST_SERIES_OF_THE_PROJECTOR // 2 < found <= MOST_SERIES_OF_THE_PROJECTOR


def test_an_activity_type_has_no_more_than_45_series() -> None:
    none, twenty = CollectorRegistry(), CollectorRegistry()
    ActivityMetrics(none, [])
    ActivityMetrics(twenty, [f"a{number}" for number in range(20)])
    assert series(twenty) - series(none) == 20 * MOST_SERIES_OF_AN_ACTIVITY_TYPE
