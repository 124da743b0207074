"""Pictures of dashboards show what was answered, as Grafana writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.integration.dashboards.boards import Asked, boards
from tests.integration.dashboards.drawing import drawn
from tests.integration.dashboards.expected import EXPECTED
from tests.integration.dashboards.values import colour_of, written


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0, "short", None, "0"),
        (2.5, "short", None, "2.5"),
        (12_345, "short", None, "12.3 K"),
        (3.04, "short", 0, "3"),
        (0.0125, "s", None, "12.5 ms"),
        (0, "s", None, "0 s"),
        (90, "s", None, "1.5 mins"),
        (259_200, "s", None, "3 days"),
        (0.247, "percentunit", 1, "24.7%"),
        (2**20 * 85.4, "bytes", None, "85.4 MiB"),
        (250, "suffix: /min", None, "250 /min"),
    ],
)
def test_values_are_written_with_their_units(value: float, unit: str, decimals: int | None, text: str) -> None:
    assert written(value, unit, decimals) == text


def test_a_value_has_the_colour_of_the_highest_threshold_that_it_has_passed() -> None:
    thresholds = {"steps": [{"value": None, "color": "#000000"}, {"value": 1, "color": "#111111"}]}
    assert [colour_of(value, thresholds) for value in (0, 0.9, 1, 7)] == ["#000000"] * 2 + ["#111111"] * 2


class Told:
    """Answers every query with the series that the run gives, each with the same value."""

    span = (0.0, 60.0)

    def __init__(self, value: float) -> None:
        self._value = value

    def labelled(self, asked: Asked) -> list[tuple[dict[str, str], float]]:
        return [({"definition": "pay an invoice", "cause": "backlog"}, self._value)]

    def drawn(self, asked: Asked) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        return [({"cause": "backlog", "decision": "granted"}, [(at * 10.0, self._value) for at in range(6)])]


class Silent:
    """Answers every query with nothing."""

    span = (0.0, 60.0)

    def labelled(self, asked: Asked) -> list[tuple[dict[str, str], float]]:
        return []

    def drawn(self, asked: Asked) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        return []


def texts(figure: Figure) -> Iterator[str]:
    return (one.get_text() for one in figure.findobj(Text))


@pytest.mark.parametrize("uid", EXPECTED)
def test_a_dashboard_is_drawn_with_its_values(uid: str) -> None:
    board: dict[str, Any] = boards()[uid]
    said = set(texts(drawn(board, Told(4321))))
    assert {panel["title"] for panel in board["panels"]} <= said
    assert {"4.32 K", "1.2 hours"} & said
    assert "none" not in said


@pytest.mark.parametrize("uid", EXPECTED)
def test_what_is_not_there_is_said(uid: str) -> None:
    board: dict[str, Any] = boards()[uid]
    said = set(texts(drawn(board, Silent())))
    assert {panel["fieldConfig"]["defaults"]["noValue"] for panel in board["panels"]} <= said
