"""Draws what a dashboard shows, much as Grafana does, from the answers to its own queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter

from tests.integration.dashboards.boards import Asked, Shown
from tests.integration.dashboards.values import colour_of, mapped, painted, written

mpl.use("Agg")

Labels = Mapping[str, str]
Points = Sequence[tuple[float, float]]

GROUND, PANEL, TEXT, FAINT = "#111217", "#181b1f", "#ccccdc", "#55585f"
PALETTE: Final = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d")
COLUMN_PIXELS, ROW_PIXELS, GAP_PIXELS, DPI = 80, 38, 8, 100
COLUMNS: Final = 24
SMALLEST: Final = 1e-9
LETTERS_WIDE: Final = 7.2
"""Pixels that a letter of the small text takes."""


class Answers(Protocol):
    """What is drawn: `run.Run`, or what was kept of one."""

    def labelled(self, asked: Asked) -> list[tuple[dict[str, str], float]]:
        """What a query gives now."""
        ...

    def drawn(self, asked: Asked) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What it gives over time."""
        ...

    @property
    def span(self) -> tuple[float, float]:
        """From when to when."""
        ...


def drawn(board: Mapping[str, Any], answers: Answers) -> Figure:
    """A dashboard as a picture of 1920 pixels, and as high as it is."""
    panels = [Shown(board["uid"], panel) for panel in board["panels"]]
    rows = max(one.said["gridPos"]["y"] + one.said["gridPos"]["h"] for one in panels)
    width, height = COLUMNS * COLUMN_PIXELS, rows * ROW_PIXELS + 46
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
    figure.text(14 / width, 1 - 28 / height, board["title"], color=TEXT, fontsize=15, weight="bold")
    for shown in panels:
        _Place(figure, shown, width, height).draw(answers)
    return figure


class _Place:
    """One panel's place on the figure."""

    def __init__(self, figure: Figure, shown: Shown, width: int, height: int) -> None:
        self.figure, self.shown = figure, shown
        at = shown.said["gridPos"]
        self.left, self.top = at["x"] * COLUMN_PIXELS + GAP_PIXELS / 2, 46 + at["y"] * ROW_PIXELS
        self.wide, self.high = at["w"] * COLUMN_PIXELS - GAP_PIXELS, at["h"] * ROW_PIXELS - GAP_PIXELS
        self._width, self._height = width, height
        self.defaults: Mapping[str, Any] = shown.said["fieldConfig"]["defaults"]

    def draw(self, answers: Answers) -> None:
        axes = self.axes(0, 0, self.wide, self.high)
        axes.set_axis_off()
        axes.add_patch(
            FancyBboxPatch((0, 0), 1, 1, boxstyle="square,pad=0", facecolor=PANEL, edgecolor="#2a2d33", linewidth=1)
        )
        title = self.shown.title
        most = int(self.wide / LETTERS_WIDE)
        axes.text(9 / self.wide, 1 - 18 / self.high, title[:most], color=TEXT, fontsize=9.5)
        {"stat": self._stat, "timeseries": self._graph, "table": self._table, "bargauge": self._bars}[
            self.shown.said["type"]
        ](answers)

    def axes(self, left: float, top: float, wide: float, high: float) -> Axes:
        """Axes within the panel, in pixels from its upper left."""
        x, y = self.left + left, self._height - self.top - top - high
        return self.figure.add_axes(
            (x / self._width, y / self._height, wide / self._width, high / self._height), facecolor=PANEL
        )

    # --- kinds ------------------------------------------------------------------------------------------------------

    def _stat(self, answers: Answers) -> None:
        found = [
            (_called(asked, labels), value) for asked in self.shown.queries for labels, value in answers.labelled(asked)
        ]
        axes = self.axes(1, 25, self.wide - 2, self.high - 26)
        axes.set_axis_off()
        if not found:
            axes.text(0.5, 0.5, self.defaults["noValue"], color=TEXT, fontsize=13, ha="center", va="center")
        for index, (name, value) in enumerate(found):
            called = mapped(value, self.defaults.get("mappings", []))
            text = called[0] if called else written(value, self.defaults["unit"], self.defaults.get("decimals"))
            colour = called[1] if called else colour_of(value, self.defaults["thresholds"])
            share = 1 / len(found)
            axes.add_patch(
                FancyBboxPatch((index * share, 0), share, 1, boxstyle="square,pad=0", facecolor=colour, edgecolor=PANEL)
            )
            size = min(24.0, 1.5 * self.wide * share / max(len(text), 3))
            middle = (index + 0.5) * share
            axes.text(middle, 0.42, text, color="white", fontsize=size, ha="center", va="center", weight="bold")
            if len(found) > 1:
                axes.text(middle, 0.84, name, color="white", fontsize=8.5, ha="center", va="center")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)

    def _graph(self, answers: Answers) -> None:
        series = [
            (_called(asked, labels), points) for asked in self.shown.queries for labels, points in answers.drawn(asked)
        ]
        names = [name for name, _ in series]
        bottom = 24 + 15 * self._legend_lines(names)
        wide, high = self.wide - 84, self.high - 34 - bottom
        axes = self.axes(70, 30, wide, high)
        if not series:
            axes.set_axis_off()
            axes.text(0.5, 0.5, self.defaults["noValue"], color=TEXT, fontsize=12, ha="center", va="center")
            return
        began, ended = answers.span
        self._draw_series(axes, [(name, [(at - began, value) for at, value in points]) for name, points in series])
        axes.set_xlim(0, ended - began)
        axes.set_ylim(bottom=0)
        if axes.get_ylim()[1] < SMALLEST:
            axes.set_ylim(0, 1)
        axes.set_axisbelow(True)
        axes.grid(visible=True, color="#2a2d33", linewidth=0.6)
        axes.tick_params(colors="#9fa1a8", labelsize=8, length=0, pad=5)
        unit, decimals = self.defaults["unit"], self.defaults.get("decimals")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit, decimals)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
        for side in axes.spines.values():
            side.set_visible(False)
        columns = len(names) if self._legend_lines(names) == 1 else self._legend_columns(names)
        axes.legend(
            loc="upper left", bbox_to_anchor=(-60 / wide, -20 / high), ncols=columns, frameon=False, fontsize=8,
            labelcolor=TEXT, handlelength=1, handletextpad=0.4, columnspacing=1, borderpad=0, borderaxespad=0,
            labelspacing=0.25,
        )  # fmt: skip

    def _draw_series(self, axes: Axes, series: Sequence[tuple[str, Points]]) -> None:
        custom = self.defaults["custom"]
        fixed = {
            one["matcher"]["options"]: painted(one["properties"][0]["value"]["fixedColor"])
            for one in self.shown.said["fieldConfig"]["overrides"]
        }
        colours = [fixed.get(name, PALETTE[index % len(PALETTE)]) for index, (name, _) in enumerate(series)]
        if custom.get("stacking", {}).get("mode") != "normal":
            for (name, points), colour in zip(series, colours, strict=True):
                axes.plot([at for at, _ in points], [value for _, value in points], color=colour, label=name)
            return
        instants = sorted({at for _, points in series for at, _ in points})
        heights = [[dict(points).get(at, 0.0) for at in instants] for _, points in series]
        if custom.get("drawStyle") == "bars":
            width = min(after - before for before, after in pairwise(instants)) * 0.8
            below = [0.0] * len(instants)
            for (name, _), height, colour in zip(series, heights, colours, strict=True):
                axes.bar(instants, height, width=-width, align="edge", bottom=below, color=colour, label=name)
                below = [one + other for one, other in zip(below, height, strict=True)]
        else:
            names = [name for name, _ in series]
            axes.stackplot(instants, heights, colors=colours, alpha=0.75, linewidth=0, labels=names)

    def _legend_columns(self, names: Sequence[str]) -> int:
        widest = max(map(len, names), default=1) * LETTERS_WIDE + 26
        return max(1, int((self.wide - 20) / widest))

    def _legend_lines(self, names: Sequence[str]) -> int:
        if sum(len(name) * LETTERS_WIDE + 26 for name in names) < self.wide - 20:
            return 1
        return -(-len(names) // self._legend_columns(names))

    def _table(self, answers: Answers) -> None:
        heading = self.shown.said["transformations"][1]["options"]
        names = sorted(heading["indexByName"], key=heading["indexByName"].__getitem__)
        lines: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
        only = len(self.shown.queries) == 1
        for asked in self.shown.queries:
            for labels, value in answers.labelled(asked):
                column = "Value" if only else f"Value #{asked.letter}"
                _merged(lines, labels)[column] = value
        overrides = {
            one["matcher"]["options"]: {each["id"]: each["value"] for each in one["properties"]}
            for one in self.shown.said["fieldConfig"]["overrides"]
        }
        axes = self.axes(0, 26, self.wide, self.high - 30)
        axes.set_axis_off()
        axes.set_xlim(0, self.wide)
        axes.set_ylim(self.high - 30, 0)
        if not lines:
            axes.text(self.wide / 2, self.high / 2 - 20, self.defaults["noValue"], color=TEXT, fontsize=12, ha="center")
        first = next(name for name in names if name.startswith("Value"))
        shown = sorted(lines.values(), key=lambda line: -line.get(first, -1.0))
        wide = self.wide / len(names)
        for index, name in enumerate(names):
            x, called = 12 + index * wide, heading["renameByName"][name]
            axes.text(x, 14, called, color="#6e9fff", fontsize=9)
            rules = overrides.get(called, {})
            for number, line in enumerate(shown):
                y = 38 + 24 * number
                if y > self.high - 34:
                    break
                text, colour = _cell(line.get(name), rules)
                axes.text(x, y, text, color=colour, fontsize=9)

    def _bars(self, answers: Answers) -> None:
        found = [
            (_called(asked, labels), value) for asked in self.shown.queries for labels, value in answers.labelled(asked)
        ]
        axes = self.axes(120, 30, self.wide - 190, self.high - 40)
        axes.set_axis_off()
        if not found:
            axes.text(0.3, 0.5, self.defaults["noValue"], color=TEXT, fontsize=12, ha="center", va="center")
            return
        most = self.defaults.get("max") or max(*(value for _, value in found), SMALLEST)
        for index, (name, value) in enumerate(found):
            colour = colour_of(value, self.defaults["thresholds"])
            axes.barh(index, most, color="#22252b", height=0.55)
            axes.barh(index, value, color=colour, height=0.55)
            text = written(value, self.defaults["unit"], self.defaults.get("decimals"))
            axes.text(most * 1.02, index, text, color=colour, fontsize=11, va="center", weight="bold")
            axes.text(-most * 0.02, index, name, color=TEXT, fontsize=9, ha="right", va="center")
        axes.set_xlim(0, most)
        axes.set_ylim(max(len(found), 4) - 0.5, -0.5)


def _called(asked: Asked, labels: Labels) -> str:
    if asked.legend == "__auto":
        return ", ".join(labels.values()) or "Value"
    text = asked.legend
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def _merged(lines: dict[tuple[tuple[str, str], ...], dict[str, Any]], labels: Labels) -> dict[str, Any]:
    """The line of these labels: one that has the same values of the labels that both have, or a new one."""
    for line in lines.values():
        both = [name for name in labels if name in line]
        if both and all(line[name] == labels[name] for name in both):
            return line
    made: dict[str, Any] = dict(labels)
    lines[tuple(sorted(labels.items()))] = made
    return made


def _cell(value: Any, rules: Mapping[str, Any]) -> tuple[str, str]:
    if value is None:
        return "", FAINT
    if isinstance(value, str):
        return value, "#6e9fff" if "links" in rules else TEXT
    called = mapped(value, rules.get("mappings", []))
    colour = called[1] if called else colour_of(value, rules["thresholds"]) if "thresholds" in rules else TEXT
    return (called[0] if called else written(value, rules.get("unit", "short"), rules.get("decimals"))), colour
