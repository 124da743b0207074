"""The dashboards that are shipped are those of the code, and such that Grafana and their readers can use them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.grafana.__main__ import SHIPPED, main, written
from tests.alerts.test_runbook import amiss
from tests.integration.dashboards.boards import Shown, base_name, boards, panels
from tests.unit.deploy.test_metrics_catalogue import CATALOGUE, ROW

DEPLOY = Path(__file__).resolve().parents[4] / "deploy"
PROVISIONING = DEPLOY / "grafana" / "provisioning"
COLUMNS = 24
ROWS_OF_A_SCREEN = 22
"""What Grafana shows at once on 1920×1080, beside the browser's own lines and its own: 38 pixels a row."""
GRAFANAS = {"__all", "__rate_interval", "__range", "__interval", "__url_time_range", "__value"}
CLIENT_LIBRARY = {"process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}
OF_PROMETHEUS = {"up", *CLIENT_LIBRARY}
SELECTOR = re.compile(r"\b([a-z]\w*)\{([^}]*)\}")
VARIABLE = re.compile(r"\$\{?(\w+)")

NOT_SHOWN = {
    "handrail_log_position": "the lag behind it says what matters, and the rate of events how fast it grows",
    "handrail_follower_position": "the same",
    "handrail_follower_lag_events": "the same lag in seconds says how old things are",
    "handrail_deliveries_settled_total": "attempts say it by activity type, queues by what waits",
    "handrail_projection_lag_threshold_seconds": "what the alert compares with; the lag itself is shown",
    "handrail_seal_due_timestamp_seconds": "what the alert compares with; how long ago the last seal was is shown",
}

each_panel = pytest.mark.parametrize("shown", panels(), ids=lambda shown: shown.place)
each_board = pytest.mark.parametrize("board", list(boards().values()), ids=lambda board: board["uid"])


def catalogue() -> Mapping[str, set[str]]:
    """The labels of every metric."""
    rows = ROW.findall(CATALOGUE.read_text(encoding="utf-8"))
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels, *_ in rows}


def texts(value: Any) -> Iterator[str]:
    """All text in a dashboard."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def commands(board: Mapping[str, Any]) -> set[str]:
    """The commands of the program that a dashboard tells to type."""
    return {found for text in texts(board) for found in re.findall("`(handrail [^`]+)`", text)}


def anchors() -> set[str]:
    """Where links into the runbook may lead."""
    headings = re.findall(r"^#+ (.+)$", (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ------------------------------------------------------------------------------------------------- as the code has it


def test_the_files_are_those_of_the_code() -> None:
    shipped = {path.name: path.read_text(encoding="utf-8") for path in SHIPPED.iterdir()}
    assert shipped == written(), "write them anew with `make dashboards`"


def test_they_are_written_with_links_to_the_runbook_of_whoever_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runbook = "https://wiki.example/handrail"
    monkeypatch.setattr("sys.argv", ["deploy.grafana", str(tmp_path / "dashboards"), "--runbook", runbook])
    main()
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "dashboards").iterdir()}
    assert made == written(runbook)
    assert all(text.count(runbook) == 1 for text in made.values())


# ---------------------------------------------------------------------------------------------- as Grafana can read it


@each_board
def test_a_dashboard_can_be_loaded(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] >= 39
    assert (SHIPPED / f"{board['uid']}.json").exists()
    assert len(board["uid"]) <= 40
    assert board["title"].startswith("Handrail: ")
    assert "id" not in board, "Grafana numbers them itself"
    numbers = [panel["id"] for panel in board["panels"]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles)


@each_board
def test_panels_lie_beside_one_another_on_one_screen(board: dict[str, Any]) -> None:
    places = {
        panel["title"]: {
            (x, y)
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        }
        for panel in board["panels"]
    }
    over = [(one, other) for one, other in combinations(places, 2) if places[one] & places[other]]
    assert not over
    cells = set[tuple[int, int]]().union(*places.values())
    assert cells == {(x, y) for x in range(COLUMNS) for y in range(max(y for _, y in cells) + 1)}, "no holes"
    assert max(y for _, y in cells) < ROWS_OF_A_SCREEN


@each_board
def test_the_data_source_is_the_one_that_is_chosen(board: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*board["panels"], *(target for panel in board["panels"] for target in panel["targets"])]
    asking += [one for one in board["templating"]["list"] if one["type"] == "query"]
    assert [one["datasource"] for one in asking] == [chosen] * len(asking)
    assert board["templating"]["list"][0] == {
        **board["templating"]["list"][0],
        "name": "datasource",
        "type": "datasource",
    }


@each_board
def test_every_variable_is_there(board: dict[str, Any]) -> None:
    defined = {one["name"] for one in board["templating"]["list"]}
    used = {name for text in texts(board) for name in VARIABLE.findall(text)}
    assert used <= defined | GRAFANAS
    assert defined - {"datasource"} <= used, "and used"


@each_board
def test_links_lead_to_dashboards_and_sections_that_there_are(board: dict[str, Any]) -> None:
    (beside,) = board["links"]
    assert (beside["type"], beside["tags"], beside["includeVars"]) == ("dashboards", board["tags"], True)
    here = set(re.findall(r"/d/([\w-]+)", " ".join(texts(board))))
    assert here <= boards().keys()
    sections = set(re.findall(r"\$\{runbook\}#([\w-]+)", " ".join(texts(board))))
    assert sections - {"stuck-"} <= anchors()


def test_a_cause_leads_to_its_section() -> None:
    """The link of a cause is made of its name."""
    linked = [text for board in boards().values() for text in texts(board) if "${runbook}#stuck-${__value.raw}" in text]
    assert linked
    causes = (
        "no_consumer backlog lease_lapsed retrying_too_long dead_lettered command_parked command_lost timer_overdue"
    )
    causes += (
        " approval_overdue outcome_unknown intervention_needed compensation_failed definition_missing replay_mismatch"
    )
    assert {f"stuck-{cause}" for cause in causes.split()} <= anchors()


# ------------------------------------------------------------------------------------------ as their readers can use it


@each_panel
def test_a_panel_says_what_it_shows_and_what_to_do(shown: Shown) -> None:
    text, _, link = shown.said["description"].partition("\n\n")
    assert text.endswith(".")
    assert re.fullmatch(r"\[Runbook\]\(\$\{runbook\}#[\w-]+\)", link)
    assert shown.said["fieldConfig"]["defaults"]["noValue"], "what is shown where there is nothing"


@each_panel
def test_a_panel_has_units_and_colours_in_order(shown: Shown) -> None:
    config = shown.said["fieldConfig"]
    if shown.said["type"] == "table":
        headings = shown.said["transformations"][1]["options"]["renameByName"]
        values = {heading for name, heading in headings.items() if name.startswith("Value")}
        united = {
            one["matcher"]["options"]
            for one in config["overrides"]
            for each in one["properties"]
            if each["id"] == "unit"
        }
        assert values == united
        assert len(values) == len(shown.queries)
    else:
        assert config["defaults"]["unit"]
    for steps in (value["steps"] for value in found(shown.said, "thresholds")):
        assert steps[0]["value"] is None
        limits = [step["value"] for step in steps[1:]]
        assert limits == sorted(limits)


def found(value: Any, name: str) -> Iterator[Any]:
    """What stands under this name, or is the value of the property of that name."""
    if isinstance(value, Mapping):
        if value.get("id") == name:
            yield value["value"]
        for key, one in value.items():
            if key == name:
                yield one
            else:
                yield from found(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from found(one, name)


@each_panel
def test_every_metric_is_in_the_catalogue_with_its_labels(shown: Shown) -> None:
    known = catalogue()
    for asked in shown.queries:
        assert asked.metrics
        for metric, labels in SELECTOR.findall(asked.expression):
            assert base_name(metric) in known or metric in OF_PROMETHEUS
            names = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", labels))
            assert "job" in names, "a query is of one deployment"
            assert names - {"job", "le", "instance"} <= known.get(base_name(metric), set())
        assert {metric for metric, _ in SELECTOR.findall(asked.expression)} == asked.metrics


@each_board
def test_what_is_to_be_typed_is_understood(board: dict[str, Any]) -> None:
    told = commands(board)
    assert {line: amiss(line) for line in told} == dict.fromkeys(told, "")
    assert told, "each of them says how to go on"


def test_every_metric_is_shown_or_left_out_for_a_reason() -> None:
    shown = {base_name(metric) for panel in panels() for asked in panel.queries for metric in asked.metrics}
    left_out = catalogue().keys() - shown
    assert left_out == NOT_SHOWN.keys()


@each_panel
def test_instants_are_shown_as_ages(shown: Shown) -> None:
    """And 0, which is no instant, is left out."""
    for asked in shown.queries:
        if "_timestamp_seconds" in asked.expression:
            assert "time() - (" in asked.expression
            assert re.search(r"_timestamp_seconds\{[^}]*\}\) > 0\)", asked.expression)


# ------------------------------------------------------------------------------------------------------- provisioning


def test_provisioning_names_nobodys_host() -> None:
    files = sorted(PROVISIONING.rglob("*.yml"))
    assert [path.parent.name for path in files] == ["dashboards", "datasources"]
    provider, source = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in files)
    assert (provider["apiVersion"], source["apiVersion"]) == (1, 1)
    (dashboards,) = provider["providers"]
    assert (dashboards["type"], dashboards["allowUiUpdates"]) == ("file", False)
    (prometheus,) = source["datasources"]
    assert prometheus["type"] == "prometheus"
    hosts = {urlsplit(text).hostname for text in texts([provider, source, *boards().values()]) if "://" in text}
    assert hosts == {"127.0.0.1", "git.example"}


def test_rates_are_taken_over_the_interval_at_which_the_shipped_prometheus_scrapes() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources" / "handrail.yml").read_text(encoding="utf-8"))
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_the_document_names_every_dashboard() -> None:
    document = (DEPLOY / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", document, flags=re.MULTILINE)) == boards().keys()
