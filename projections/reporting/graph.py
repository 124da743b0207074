"""The graph of a workflow's steps as SVG: which comes after which, and how each stands.

Layers go from left to right, so that each step stands behind all that it comes after; after some layers the graph goes
on below. How a step stands is said in words and by the kind of its frame, besides its colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from projections.replaying.words import plain
from projections.reporting.markup import Markup, tag

MOST_STEPS: Final = 120
"""Of more steps the first are drawn; all are in the table."""
LAYERS_A_BAND: Final = 5
_BOX_WIDTH: Final = 156.0
_BOX_HEIGHT: Final = 46.0
_COLUMN: Final = 196.0
_ROW: Final = 62.0
_EDGE: Final = 10.0
_BAND: Final = 26.0
_CHARACTERS: Final = 21
_NARROW: Final = 2
"""So many layers fit on a telephone."""

TONES: Final[Mapping[str, str]] = {
    "ok": "good",
    "failed": "bad",
    "timed_out": "bad",
    "outcome_unknown": "bad",
    "skipped": "idle",
    "planned": "idle",
    "compensating": "undone",
    "compensated": "undone",
}
"""How a status is drawn; any other is under way."""
_SIGNS: Final[Mapping[str, str]] = {"good": "✓", "bad": "✗", "idle": "○", "undone": "↩", "busy": "…"}


@dataclass(frozen=True, slots=True)
class StepTold:
    """A step of the plan: what it runs or waits for, what it comes after, and how it stands."""

    step: str
    what: str
    after: tuple[str, ...]
    status: str

    @property
    def tone(self) -> str:
        """How its status is drawn."""
        return TONES.get(self.status, "busy")

    @property
    def words(self) -> str:
        """Its status, as people read it."""
        return f"{_SIGNS[self.tone]} {self.status.replace('_', ' ')}"


def graph(steps: Sequence[StepTold], cause: str = "") -> Markup:
    """The graph of the first steps; `cause` is the step of the first cause. There is at least one step."""
    drawn = steps[:MOST_STEPS]
    places, height = _places(drawn)
    boxes = [_box(one, *places[one.step], cause=one.step == cause) for one in drawn]
    edges = [
        _edge(places[earlier], places[one.step])
        for one in drawn
        for earlier in dict.fromkeys(one.after)
        if earlier in places
    ]
    arrow = tag("path", d="M0 0L7 3.5L0 7z", class_="arrow")
    layers = 1 + max(int((x - _EDGE) // _COLUMN) for x, _ in places.values())
    width = 2 * _EDGE + layers * _COLUMN - (_COLUMN - _BOX_WIDTH)
    head = tag(
        "marker", arrow, id="arrow", viewBox="0 0 7 7", refX="6", refY="3.5", markerWidth="7", markerHeight="7",
        orient="auto",
    )  # fmt: skip
    described = f"{len(drawn)} step{'' if len(drawn) == 1 else 's'}; the table below says the same in words."
    return tag(
        "svg",
        tag("title", "Which step comes after which, and how each stands", id="graph-picture"),
        tag("desc", described, id="graph-words"),
        tag("defs", head),
        *edges,
        *boxes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_labelledby="graph-picture graph-words",
        class_="graph broad" if layers > _NARROW else "graph",
    )


def layers_of(steps: Sequence[StepTold]) -> dict[str, int]:
    """For each step the length of the longest way to it."""
    known = {one.step for one in steps}
    layers: dict[str, int] = {}
    # A plan names a step before those that come after it, or after: as often as layers change, look again.
    for _ in steps:
        before = dict(layers)
        for one in steps:
            earlier = [layers.get(name, 0) + 1 for name in one.after if name in known and name != one.step]
            layers[one.step] = min(max(earlier, default=0), len(steps))
        if layers == before:
            break
    return layers


def _places(steps: Sequence[StepTold]) -> tuple[dict[str, tuple[float, float]], float]:
    """Where each step's box is, and how high the picture is."""
    columns: dict[int, list[str]] = {}
    for step, layer in layers_of(steps).items():
        columns.setdefault(layer, []).append(step)
    places: dict[str, tuple[float, float]] = {}
    top, used = _EDGE, sorted(columns)
    for first in range(0, len(used), LAYERS_A_BAND):
        band = used[first : first + LAYERS_A_BAND]
        tallest = max(len(columns[layer]) for layer in band)
        for column, layer in enumerate(band):
            above = (tallest - len(columns[layer])) * _ROW / 2
            for row, step in enumerate(columns[layer]):
                places[step] = (_EDGE + column * _COLUMN, top + above + row * _ROW)
        top += tallest * _ROW + _BAND
    return places, top - _BAND - (_ROW - _BOX_HEIGHT) + _EDGE


def _box(one: StepTold, x: float, y: float, *, cause: bool) -> Markup:
    name = plain(one.step, _CHARACTERS)
    told = f"{one.step}: {one.words}" + (f", {one.what}" if one.what else "") + ("; first cause" if cause else "")
    frame = tag(
        "rect", x=f"{x:g}", y=f"{y:g}", width=f"{_BOX_WIDTH:g}", height=f"{_BOX_HEIGHT:g}", rx="6", class_="frame"
    )
    mark = [tag("path", d=f"M{x + _BOX_WIDTH - 18:g} {y:g}h18v18z", class_="corner")] if cause else []
    return tag(
        "g",
        tag("title", plain(told)),
        frame,
        *mark,
        tag("text", name, x=f"{x + 10:g}", y=f"{y + 19:g}", class_="name"),
        tag("text", plain(one.words, _CHARACTERS + 3), x=f"{x + 10:g}", y=f"{y + 36:g}", class_="status"),
        class_=f"step {one.tone}",
    )


def _edge(source: tuple[float, float], target: tuple[float, float]) -> Markup:
    """A line from a step to one that comes after it: to the right, or down to where the graph goes on."""
    return tag("path", d="".join(_curve(*source, *target)), marker_end="url(#arrow)", class_="edge")


def _curve(x1: float, y1: float, x2: float, y2: float) -> Iterator[str]:
    if x2 > x1:
        begin, end = (x1 + _BOX_WIDTH, y1 + _BOX_HEIGHT / 2), (x2 - 1, y2 + _BOX_HEIGHT / 2)
        half = (end[0] - begin[0]) / 2
        yield f"M{begin[0]:g} {begin[1]:g}C{begin[0] + half:g} {begin[1]:g} {end[0] - half:g} {end[1]:g} "
    else:
        begin, end = (x1 + _BOX_WIDTH / 2, y1 + _BOX_HEIGHT), (x2 + _BOX_WIDTH / 2, y2 - 1)
        half = (end[1] - begin[1]) / 2
        yield f"M{begin[0]:g} {begin[1]:g}C{begin[0]:g} {begin[1] + half:g} {end[0]:g} {end[1] - half:g} "
    yield f"{end[0]:g} {end[1]:g}"
