"""What all dashboards share: their variables, their links, and panels laid out in rows that fit a screen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import DATA_SOURCE

TAG: Final = "handrail"
RUNBOOK: Final = "https://git.example/handrail/deploy/RUNBOOK.md"
"""A placeholder: whoever provisions the dashboards says where people read the runbook."""
COLUMNS: Final = 24
LABEL_VALUES: Final = 1
"""The kind of a variable's query, as Grafana numbers them."""

Row = tuple[int, Sequence[tuple[int, Panel]]]
"""How high a row is, and its panels with how wide they are."""


def board(
    uid: str,
    title: str,
    description: str,
    rows: Iterable[Row],
    *variables: builders.QueryVariable,
    since: str = "now-6h",
) -> Dashboard:
    """A dashboard of these rows, over this time."""
    built = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(variable("job", "Deployment", "label_values(handrail_build_info, job)"))
    )
    for one in variables:
        built = built.with_variable(one)
    built = built.with_variable(builders.ConstantVariable("runbook").value(RUNBOOK)).link(
        builders.DashboardLink("Handrail")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )
    whole = built.build()
    whole.panels = list(_laid_out(rows))
    return whole


def text_of(one: Dashboard, runbook: str = RUNBOOK) -> str:
    """A dashboard as JSON, the same for the same dashboard; its links lead to this runbook."""
    made = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(one))
    for known in made["templating"]["list"]:
        if known["name"] == "runbook":
            known["query"] = runbook
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def variable(name: str, label: str, query: str) -> builders.QueryVariable:
    """A variable whose values the metrics have; read again whenever the time shown changes."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATA_SOURCE)
        .query({"qryType": LABEL_VALUES, "query": query, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def of_several(one: builders.QueryVariable) -> builders.QueryVariable:
    """The same, of which several values can be chosen, or all."""
    return one.multi(True).include_all(True).current(VariableOption(selected=True, text="All", value="$__all"))


def _laid_out(rows: Iterable[Row]) -> Iterable[Panel]:
    top = number = 0
    for height, panels in rows:
        left = 0
        for width, panel in panels:
            number += 1
            panel.id_val = number
            panel.grid_pos = GridPos(h=height, w=width, x=left, y=top)
            left += width
            yield panel
        if left != COLUMNS:
            raise ValueError(f"the row at {top} is {left} columns wide, not {COLUMNS}")
        top += height
