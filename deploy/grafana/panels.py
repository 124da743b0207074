"""How panels look: numbers, lines, tables and bars, each with what to do about it in its description.

A panel asks its queries of the data source that the dashboard's variable names. Colours mean the same everywhere: green
is as it should be, amber wants a look, red wants somebody now; blue and grey judge nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

GREEN, AMBER, RED, BLUE, GREY, VIOLET = "green", "orange", "red", "blue", "#8e8e8e", "purple"

SECONDS: Final = "s"
COUNT: Final = "short"
SHARE: Final = "percentunit"
BYTES: Final = "bytes"
PER_MINUTE: Final = "suffix: /min"

NOBODY_PROJECTS: Final = "nobody leads the projector"
"""Shown where what only the projector tells is not told."""

DATA_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")

Steps = Sequence[tuple[float | None, str]]
"""From which value on a colour holds; the first one is None: from the beginning."""

PLAIN: Final[Steps] = ((None, BLUE),)
GOOD_AT_ZERO: Final[Steps] = ((None, GREEN), (1, RED))
LOOK_ABOVE_ZERO: Final[Steps] = ((None, GREEN), (1, AMBER))

COLOURS: Final[Mapping[str, str]] = {
    "begun": BLUE, "ok": GREEN, "completed": GREEN, "granted": GREEN, "failed": RED, "rejected": RED, "denied": AMBER,
    "cancelled": GREY, "compensated": VIOLET, "expired": AMBER, "needs_approval": BLUE, "executing": GREEN,
    "blocked": AMBER, "paused": GREY, "compensating": VIOLET, "transient": "yellow", "rate_limited": "light-yellow",
    "permanent": RED, "invalid": "light-red", "bug": "dark-red", "timeout": VIOLET, "outcome_unknown": "dark-purple",
}  # fmt: skip
"""The same word has the same colour on every panel."""


@dataclass(frozen=True)
class Query:
    """One query, and how its series are called: `{{definition}}` is the value of a label."""

    expression: str
    legend: str = "__auto"


@dataclass(frozen=True)
class Label:
    """A column of a table that is a label; `link` is where a click on it leads, with its title."""

    name: str
    heading: str
    link: tuple[str, str] | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table that is a query."""

    expression: str
    heading: str
    unit: str = COUNT
    colours: Steps = ()
    decimals: int | None = None
    mapped: Mapping[str, tuple[str, str]] | None = None
    """What values are called, and their colours."""


def about(text: str, section: str) -> str:
    """A panel's description: what it shows and what to do, and the section of the runbook that says more."""
    return f"{text}\n\n[Runbook](${{runbook}}#{section})"


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = COUNT,
    colours: Steps = PLAIN,
    decimals: int | None = None,
    mapped: Mapping[str, tuple[str, str]] | None = None,
    nothing: str = "none",
    leads_to: str = "",
) -> Panel:
    """What is so now; `nothing` is shown where no query gives anything. `leads_to` is the dashboard behind it."""
    panel = (
        stat.Panel()
        .unit(unit)
        .no_value(nothing)
        .thresholds(_thresholds(colours))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE if len(queries) == 1 else common.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if mapped:
        panel = panel.mappings(_mappings(mapped))
    if leads_to:
        panel = panel.data_links([_link("Show more", leads_to)])
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_asked(letter, query.expression).legend_format(query.legend).instant())
    return _whole(panel.build(), title, description)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = COUNT,
    stacked: bool = False,
    counted: str = "",
    words: Sequence[str] = (),
    decimals: int | None = None,
    nothing: str = "none",
) -> Panel:
    """What was so over time. `counted` makes bars: of what happened in each such time, one after the other.

    `words` are the names of series that have a colour of their own.
    """
    panel = (
        timeseries.Panel()
        .unit(unit)
        .min(0)
        .no_value(nothing)
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(2)
        .fill_opacity(30 if stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if stacked or counted:
        panel = panel.stacking(common_builders.StackingConfig().group("A").mode(common.StackingMode.NORMAL))
    if counted:
        panel = panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80).interval(counted)
    for word in words:
        fixed = {"mode": FieldColorModeId.FIXED.value, "fixedColor": COLOURS[word]}
        panel = panel.override_by_name(word, [DynamicConfigValue(id_val="color", value=fixed)])
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_asked(letter, query.expression).legend_format(query.legend).range())
    return _whole(panel.build(), title, description)


def rows(
    title: str, description: str, labels: Sequence[Label], columns: Sequence[Column], *, nothing: str = "none"
) -> Panel:
    """What is so now, a line for each set of labels; columns stand as they are given, the first one orders."""
    panel = (
        table.Panel()
        .no_value(nothing)
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(DataTransformerConfig(id_val="organize", options=_organized(labels, columns)))
    )
    first = columns[0].heading
    panel = panel.sort_by([common_builders.TableSortByFieldState().display_name(first).desc(True)])
    for label in labels:
        if label.link is not None:
            links = [{"title": label.link[0], "url": label.link[1]}]
            panel = panel.override_by_name(label.heading, [DynamicConfigValue(id_val="links", value=links)])
    for letter, column in zip(ascii_uppercase, columns, strict=False):
        panel = panel.with_target(_asked(letter, column.expression).format(PromQueryFormat.TABLE).instant())
        panel = panel.override_by_name(column.heading, _properties(column))
    return _whole(panel.build(), title, description)


def bars(
    title: str,
    description: str,
    *queries: Query,
    unit: str = COUNT,
    colours: Steps = PLAIN,
    decimals: int | None = 0,
    most: float | None = None,
    nothing: str = "none",
) -> Panel:
    """How much there is of each, as bars; one of `most` is whole."""
    panel = (
        bargauge.Panel()
        .unit(unit)
        .min(0)
        .no_value(nothing)
        .thresholds(_thresholds(colours))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if most is not None:
        panel = panel.max(most)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_asked(letter, query.expression).legend_format(query.legend).instant())
    return _whole(panel.build(), title, description)


def _asked(letter: str, expression: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery().ref_id(letter).expr(expression).datasource(DATA_SOURCE).editor_mode(QueryEditorMode.CODE)
    )


def _whole(panel: Panel, title: str, description: str) -> Panel:
    panel.title, panel.description, panel.datasource = title, description, DATA_SOURCE
    return panel


def _thresholds(colours: Steps) -> builders.ThresholdsConfig:
    steps = [Threshold(value=value, color=colour) for value, colour in colours]
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _mappings(mapped: Mapping[str, tuple[str, str]]) -> list[ValueMapping]:
    options = {
        value: ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(mapped.items())
    }
    return [ValueMap(options=options)]


def _link(title: str, url: str) -> builders.DashboardLink:
    return builders.DashboardLink(title).type(DashboardLinkType.LINK).url(url)


def _organized(labels: Sequence[Label], columns: Sequence[Column]) -> dict[str, Any]:
    values = [f"Value #{letter}" for letter, _ in zip(ascii_uppercase, columns, strict=False)]
    # With one query only, Grafana calls its column plainly.
    values = values if len(values) > 1 else ["Value"]
    names = [*(label.name for label in labels), *values]
    headings = [*(label.heading for label in labels), *(column.heading for column in columns)]
    return {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": dict(zip(names, headings, strict=True)),
    }


def _properties(column: Column) -> list[DynamicConfigValue]:
    properties = [DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.decimals is not None:
        properties.append(DynamicConfigValue(id_val="decimals", value=column.decimals))
    if column.colours:
        steps = [{"value": value, "color": colour} for value, colour in column.colours]
        thresholds = {"mode": ThresholdsMode.ABSOLUTE.value, "steps": steps}
        properties += [
            DynamicConfigValue(id_val="thresholds", value=thresholds),
            DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
        ]
    if column.mapped:
        options = {
            value: {"text": text, "color": colour, "index": index}
            for index, (value, (text, colour)) in enumerate(column.mapped.items())
        }
        properties.append(DynamicConfigValue(id_val="mappings", value=[{"type": "value", "options": options}]))
    return properties
