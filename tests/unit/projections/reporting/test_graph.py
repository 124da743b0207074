"""The graph of the steps: each behind those that it comes after, none over another, all within the width."""

import re

import pytest

from domain.state import StepStatus
from projections.reporting.graph import LAYERS_A_BAND, MOST_STEPS, StepTold, graph, layers_of
from tests.unit.projections.reporting.stories import as_xml

SVG = "{http://www.w3.org/2000/svg}"


def step(name: str, *after: str, status: str = "ok") -> StepTold:
    return StepTold(name, "act", after, status)


DIAMOND = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), step("e", "a", "d")]


def boxes(steps: list[StepTold]) -> list[tuple[float, float, float, float]]:
    drawn = as_xml(graph(steps))
    frames = [one for one in drawn.iter(f"{SVG}rect") if one.get("class") == "frame"]
    return [tuple(float(one.attrib[name]) for name in ("x", "y", "width", "height")) for one in frames]  # type: ignore[misc] # four of them


def test_a_step_is_behind_all_that_it_comes_after() -> None:
    assert layers_of(DIAMOND) == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 3}
    assert layers_of([step("b", "a"), step("a"), step("c", "b", "nowhere")]) == {"b": 1, "a": 0, "c": 2}


def test_a_damaged_plan_that_goes_in_a_circle_is_drawn_all_the_same() -> None:
    assert len(boxes([step("a", "b"), step("b", "a"), step("c", "c")])) == 3


@pytest.mark.parametrize("steps", [DIAMOND, [step(f"s{n}", *[f"s{n - 1}"] * (n > 0)) for n in range(40)],
                                   [step("a"), *(step(f"b{n}", "a") for n in range(30))]])  # fmt: skip
def test_no_box_is_over_another_or_outside(steps: list[StepTold]) -> None:
    drawn = as_xml(graph(steps))
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    found = boxes(steps)
    assert len(found) == len(steps)
    for number, (x, y, wide, high) in enumerate(found):
        assert 0 < x < x + wide < width
        assert 0 < y < y + high < height
        for other in found[:number]:
            assert abs(x - other[0]) >= wide or abs(y - other[1]) >= high
    assert width <= 980, f"{LAYERS_A_BAND} layers side by side, the rest below"


def test_every_dependency_is_a_line_with_a_head() -> None:
    drawn = as_xml(graph(DIAMOND))
    edges = [one for one in drawn.iter(f"{SVG}path") if one.get("class") == "edge"]
    assert len(edges) == 6
    assert all(one.get("marker-end") == "url(#arrow)" for one in edges)


def test_how_a_step_stands_is_said_in_words_for_every_status() -> None:
    for status in StepStatus:
        drawn = as_xml(graph([step("a", status=status.value)], cause="a"))
        texts = [one.text or "" for one in drawn.iter(f"{SVG}text")]
        assert texts[0] == "a"
        assert re.fullmatch(rf"\S {status.value.replace('_', ' ')}", texts[1])
        titles = [one.text or "" for one in drawn.iter(f"{SVG}title")]
        assert titles[1].endswith("; first cause")


def test_of_very_many_steps_the_first_are_drawn() -> None:
    assert len(boxes([step(f"s{n}") for n in range(MOST_STEPS + 5)])) == MOST_STEPS
