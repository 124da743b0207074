"""What was read, what it is held against, and the table that says so. Pure: nothing is measured here.

Absolute figures drift with the machine and with its day, so what is asserted are ratios between readings of one run,
and a few limits that any machine keeps. Each has a floor, which must be reached, and mostly an aim beyond it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Better = Literal["higher", "lower"]

_HEADS: Final = ("figure", "measured", "floor", "aim", "")


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement: who was measured, on what, and the figures it gave."""

    who: str
    what: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure held against its floor and aim. `parts` says, for the reader, what it was made of."""

    name: str
    value: float
    floor: float
    aim: float | None = None
    better: Better = "higher"
    unit: str = ""
    parts: str = ""

    @property
    def missed(self) -> bool:
        """Whether the floor is missed."""
        return not self._reaches(self.floor)

    @property
    def verdict(self) -> str:
        """One word for the table."""
        if self.missed:
            return "MISSED"
        return "aim" if self.aim is not None and self._reaches(self.aim) else "ok"

    def _reaches(self, bound: float) -> bool:
        return self.value >= bound if self.better == "higher" else self.value <= bound

    def row(self) -> tuple[str, ...]:
        """The figure as cells of the table."""
        sign = "≥" if self.better == "higher" else "≤"
        aim = "" if self.aim is None else f"{sign} {self.aim:g}{self.unit}"
        return self.name, f"{self.value:.2f}{self.unit}", f"{sign} {self.floor:g}{self.unit}", aim, self.verdict


@dataclass(slots=True)
class Report:
    """All readings of one run, and the figures made of them."""

    readings: list[Reading] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def of(self, who: str, what: str, figure: str) -> list[float]:
        """A figure over all readings of one kind, in the order in which they were taken."""
        return [
            reading.figures[figure]
            for reading in self.readings
            if (reading.who, reading.what) == (who, what) and figure in reading.figures
        ]

    def add(self, reading: Reading) -> None:
        """Keep a reading."""
        self.readings.append(reading)

    @property
    def missed(self) -> list[Figure]:
        """The figures whose floor is missed."""
        return [figure for figure in self.figures if figure.missed]

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "notes": self.notes,
            "readings": [asdict(reading) for reading in self.readings],
            "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in self.figures],
        }

    def table(self) -> str:
        """The figures as one table, each with what it was made of in a line below."""
        rows = [_HEADS, *(figure.row() for figure in self.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
        lines: list[str] = []
        for number, row in enumerate(rows):
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            if number == 0:
                lines.append("  ".join("-" * width for width in widths))
            elif parts := self.figures[number - 1].parts:
                lines.append(f"    {parts}")
        return "\n".join(lines)


def fastest(report: Report, peers: Iterable[str], what: str, figure: str) -> tuple[str, float]:
    """The peer whose readings have the highest mean, and that mean."""
    means = {peer: statistics.mean(values) for peer in peers if (values := report.of(peer, what, figure))}
    return max(means.items(), key=lambda pair: pair[1])


def quickest(report: Report, peers: Iterable[str], what: str, figure: str) -> tuple[str, float]:
    """The peer whose readings have the lowest mean, and that mean."""
    means = {peer: statistics.mean(values) for peer in peers if (values := report.of(peer, what, figure))}
    return min(means.items(), key=lambda pair: pair[1])


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """Readings as text: their mean, and each of them where there are several."""
    mean = format(statistics.mean(values), form)
    return mean if len(values) == 1 else f"{mean} ({', '.join(format(value, form) for value in values)})"
