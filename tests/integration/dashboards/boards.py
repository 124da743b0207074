"""The shipped dashboards as Grafana reads them: their panels, and what each of them asks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SHIPPED: Final = Path(__file__).resolve().parents[3] / "deploy" / "grafana" / "dashboards"
METRIC: Final = re.compile(r"\b(?:handrail|process)_\w+|\bup\b")
HISTOGRAM_PARTS: Final = ("_bucket", "_sum", "_count")


@dataclass(frozen=True)
class Asked:
    """One query of a panel: its letter, what it asks, and how its series are called."""

    letter: str
    expression: str
    legend: str
    is_table: bool
    is_instant: bool

    @property
    def metrics(self) -> set[str]:
        """The metrics that it names."""
        return set(METRIC.findall(re.sub(r'"[^"]*"', '""', self.expression)))

    def renamed(self, metric: str) -> Asked:
        """The same of a metric with another name, which nobody tells."""
        expression = re.sub(rf"\b{metric}\b", f"{metric}_renamed", self.expression)
        return Asked(self.letter, expression, self.legend, self.is_table, self.is_instant)


@dataclass(frozen=True)
class Shown:
    """One panel."""

    board: str
    said: Mapping[str, Any]

    @property
    def title(self) -> str:
        return str(self.said["title"])

    @property
    def place(self) -> str:
        return f"{self.board}: {self.title}"

    @property
    def queries(self) -> list[Asked]:
        return [
            Asked(
                letter=one["refId"],
                expression=one["expr"],
                legend=one.get("legendFormat", ""),
                is_table=one.get("format") == "table",
                is_instant=one.get("instant", False),
            )
            for one in self.said["targets"]
        ]


def boards() -> dict[str, dict[str, Any]]:
    """The dashboards by their uids."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(SHIPPED.glob("*.json"))]
    return {one["uid"]: one for one in read}


def panels() -> list[Shown]:
    """Every panel of every dashboard."""
    return [Shown(uid, panel) for uid, board in boards().items() for panel in board["panels"]]


def base_name(metric: str) -> str:
    """The metric that a series of a histogram belongs to."""
    for part in HISTOGRAM_PARTS:
        metric = metric.removesuffix(part)
    return metric


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """A query with values in place of its variables; the longest names first, as `$__range` is in `$__range_s`."""
    for name in sorted(variables, key=len, reverse=True):
        text = text.replace(f"${name}", variables[name])
    return text
