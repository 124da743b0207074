"""How Grafana writes a value of a unit, and which colour of a panel's thresholds it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

COLOURS: Final = {
    "green": "#56a64b", "orange": "#e57c23", "red": "#d1383d", "blue": "#3274d9", "purple": "#8f3bb8",
    "yellow": "#dcaf12", "light-yellow": "#f2cc6b", "light-red": "#ff7383", "dark-red": "#8f1d22",
    "dark-purple": "#5a2275",
}  # fmt: skip
_SECONDS: Final = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "mins"), (1.0, "s"), (0.001, "ms"), (0.000001, "µs"))
_THOUSANDS: Final = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_BYTES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as it stands on a panel."""
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f}%"
    if unit.startswith("suffix:"):
        return f"{_number(value, decimals)}{unit.removeprefix('suffix:')}"
    scales = {"s": _SECONDS, "bytes": _BYTES, "short": _THOUSANDS}.get(unit, ())
    for scale, name in scales:
        if abs(value) >= scale:
            return f"{_number(value / scale, decimals)}{name if name.startswith(' ') else f' {name}'}"
    return f"{_number(value, decimals)}{' s' if unit == 's' else ''}"


def colour_of(value: float, thresholds: Mapping[str, Any]) -> str:
    """The colour of the highest threshold that a value has passed."""
    steps: Sequence[Mapping[str, Any]] = thresholds["steps"]
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return painted(passed[-1])


def painted(colour: str) -> str:
    """A colour as it is seen; one that is no name is one already."""
    return COLOURS.get(colour, colour)


def mapped(value: float, mappings: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """What a value is called, and its colour; None where it is shown as it is."""
    for mapping in mappings:
        known = mapping["options"].get(f"{value:g}")
        if known is not None:
            return known["text"], painted(known["color"])
    return None


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
