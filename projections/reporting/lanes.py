"""The timeline of a report as SVG: a lane for each step, and in it what its time went to.

Each part of the time has a pattern of its own besides its colour. Of stretches too close to be told apart one is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final, NamedTuple

from projections.replaying.durations import PARTS, RUNNING, Span
from projections.replaying.words import duration, instant, named, plain
from projections.reporting.markup import Markup, joined, tag
from projections.reporting.scale import Piece, Scale

MOST_LANES: Final = 40
"""So many steps have a lane: those that took longest; all are in the table."""
WIDTH: Final = 960.0
_LEFT: Final = 176.0
_RIGHT: Final = WIDTH - 16.0
_TOP: Final = 64.0
_CAUSE_ROW, _BREAK_ROW, _AXIS_ROW = 14.0, 34.0, 52.0
_LANE: Final = 26.0
_BAR: Final = 16.0
_THINNEST: Final = 2.0
_TOGETHER: Final = 0.4
_LABEL_WIDTH: Final = 104.0
_LABEL_CHARACTERS: Final = 24
_SUBSECOND: Final = 10.0

_PATTERNS: Final[Mapping[str, str]] = {
    "running": "",
    "worker": "M0 8L8 0M-2 2L2 -2M6 10L10 6",
    "lost": "M0 0L8 8M8 0L0 8",
    "recording": "M4 0V8",
    "backoff": "M0 2H8M0 6H8",
    "person": "M1 2h2M5 6h2",
    "others": "M0 0L8 8M-2 6L2 10M6 -2L10 2",
    "late": "M0 4H8M4 0V8",
    "definition": "M0 4h4M4 0v4",
}


@dataclass(slots=True)
class _Bar:
    """One thing drawn in a lane: from x to x, of how many stretches, how long together, the first from when."""

    part: str
    left: float
    right: float
    seconds: float
    begin: datetime
    stretches: int = 1


class Mark(NamedTuple):
    """The event that is marked, when it was, and of which step."""

    version: int
    at: datetime
    step: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What was drawn: the picture, the parts that it has, and what a reader must know about it."""

    picture: Markup
    parts: tuple[str, ...]
    lanes_left_out: int
    breaks: tuple[Piece, ...]


def timeline(
    spans: Sequence[Span], begin: datetime, end: datetime, cause: Mark | None, *, waits: bool = False
) -> Timeline:
    """The timeline of a workflow from its first event to its last.

    `cause` is the first cause, where that is in this workflow; `waits`: it is no fault, but a wait.
    """
    lanes, left_out = _lanes(spans, cause.step if cause is not None else "")
    instants = {begin, end, *(at for lane in lanes.values() for span in lane for at in (span.begin, span.end))}
    scale = Scale((min(max(at, begin), end) for at in instants), _LEFT, _RIGHT)
    height = _TOP + _LANE * max(1, len(lanes)) + 8
    parts = tuple(part for part in PARTS if any(_drawn(span) and span.part == part for span in chain(*lanes.values())))
    drawn = [
        tag("title", "When each step did what", id="timeline-picture"),
        tag("desc", _described(lanes, scale), id="timeline-words"),
        _defs(parts),
        *_breaks(scale, height),
        *_axis(scale, height),
    ]
    for number, (name, lane) in enumerate(lanes.items()):
        drawn.append(_lane(name, lane, scale, _TOP + _LANE * number))
    if cause is not None:
        drawn += _cause(cause, scale, height)
    picture = tag(
        "svg",
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        width=f"{WIDTH:g}",
        height=f"{height:g}",
        role="img",
        aria_labelledby="timeline-picture timeline-words",
        class_="timeline waits" if waits else "timeline",
    )
    return Timeline(picture, parts, left_out, scale.breaks)


def swatch(part: str) -> Markup:
    """A small sample of how a part is drawn; it takes the pattern from the timeline."""
    sample = tag("rect", x="0.5", y="0.5", width="27", height="13", class_=f"bar {part}")
    return tag(
        "svg", sample, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 28 14", width="28", height="14",
        aria_hidden="true", class_="swatch",
    )  # fmt: skip


def _lanes(spans: Sequence[Span], cause: str) -> tuple[dict[str, list[Span]], int]:
    """The stretches of each step, in the order in which they began, under the steps' names.

    Of very many steps those that took longest have a lane, the first cause's among them; all others share the last.
    """
    lanes: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: (one.begin, one.end)):
        lanes.setdefault(span.step, []).append(span)
    others: list[Span] = []
    if len(lanes) > MOST_LANES:
        took = {step: sum(span.seconds for span in lane) for step, lane in lanes.items()}
        kept = set(sorted(took, key=lambda step: (step != cause, -took[step]))[:MOST_LANES])
        others = [span for span in chain(*lanes.values()) if span.step not in kept]
        left_out = len(lanes) - len(kept)
        lanes = {step: lane for step, lane in lanes.items() if step in kept}
    shown = {plain(named(step), 200): lane for step, lane in lanes.items()}
    if not others:
        return shown, 0
    return {**shown, f"{left_out} other steps": sorted(others, key=lambda one: (one.begin, one.end))}, left_out


def _described(lanes: Mapping[str, Sequence[Span]], scale: Scale) -> str:
    steps = f"{len(lanes)} lane{'' if len(lanes) == 1 else 's'}, from {instant(scale.pieces[0].begin)} to "
    broken = f"; {len(scale.breaks)} long waits are cut short" if scale.breaks else ""
    return f"{steps}{instant(scale.pieces[-1].end)} UTC{broken}. The tables below say the same in numbers."


def _defs(parts: Sequence[str]) -> Markup:
    return tag(
        "defs",
        *(
            tag(
                "pattern",
                tag("rect", width="8", height="8", class_=f"ground {part}"),
                *([tag("path", d=_PATTERNS[part], class_=f"stroke {part}")] if _PATTERNS[part] else []),
                id=f"pattern-{part}",
                width="8",
                height="8",
                patternUnits="userSpaceOnUse",
            )
            for part in parts
            if part in _PATTERNS
        ),
    )


def _lane(name: str, spans: Sequence[Span], scale: Scale, top: float) -> Markup:
    short = plain(name, _LABEL_CHARACTERS)
    middle = top + _LANE / 2
    label = tag("text", tag("title", name), short, x=f"{_LEFT - 10:g}", y=f"{middle + 4:.1f}", class_="lane")
    line = tag("path", d=f"M{_LEFT:g} {top + _LANE:.1f}H{_RIGHT:g}", class_="rule")
    bars = (
        tag(
            "rect",
            tag("title", f"{name}: {_told(bar)}"),
            x=f"{bar.left:.1f}",
            y=f"{middle - _BAR / 2:.1f}",
            width=f"{bar.right - bar.left:.1f}",
            height=f"{_BAR:g}",
            class_=f"bar {bar.part}",
        )
        for bar in _bars(spans, scale)
    )
    return tag("g", line, label, *bars)


def _told(bar: _Bar) -> str:
    many = f" in {bar.stretches} stretches" if bar.stretches > 1 else ""
    return f"{PARTS[bar.part]}, {duration(bar.seconds)}{many}, from {bar.begin:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def _drawn(span: Span) -> bool:
    """Whether there is anything to be seen of it: of what ran, however short it was."""
    return span.seconds > 0 or span.part == RUNNING


def _bars(spans: Sequence[Span], scale: Scale) -> Iterator[_Bar]:
    """What is drawn of a lane, what ran on top of what was only waited for."""
    for part in reversed(PARTS):
        current: _Bar | None = None
        for span in spans:
            if span.part != part or not _drawn(span):
                continue
            left = scale.x(span.begin)
            right = max(scale.x(span.end), left + _THINNEST)
            if current is not None and left <= current.right + _TOGETHER:
                current.right = max(current.right, right)
                current.seconds += span.seconds
                current.stretches += 1
                continue
            if current is not None:
                yield current
            current = _Bar(part, left, right, span.seconds, span.begin)
        if current is not None:
            yield current


# --- the scale ------------------------------------------------------------------------------------------------------


def _axis(scale: Scale, height: float) -> Iterator[Markup]:
    whole = (scale.pieces[-1].end - scale.pieces[0].begin).total_seconds()
    for x in sorted(_ticks(scale)):
        anchor = "start" if x <= _LEFT + 1 else "end" if x >= _RIGHT - 1 else "middle"
        label = _label(scale.at(x), whole)
        yield tag("path", d=f"M{x:.1f} {_TOP - 6:g}V{height - 8:.1f}", class_="tick")
        yield tag("text", label, x=f"{x:.1f}", y=f"{_AXIS_ROW:g}", text_anchor=anchor, class_="axis")


def _ticks(scale: Scale) -> list[float]:
    """Where instants are written: at both ends, beside breaks, and between, wherever there is room."""
    edges = [x for piece in scale.breaks for x in (piece.left, piece.right)]
    even = [scale.left + (scale.right - scale.left) * number / 4 for number in range(1, 4)]
    within = [x for x in even if not any(piece.left < x < piece.right for piece in scale.breaks)]
    taken: list[float] = []
    for x in (scale.left, scale.right, *edges, *within):
        # The labels at both ends stand within the picture and take twice the room to their side.
        if all(abs(x - other) >= _LABEL_WIDTH * (1.5 if other in {scale.left, scale.right} else 1) for other in taken):
            taken.append(x)
    return taken


def _label(at: datetime, whole_seconds: float) -> str:
    if whole_seconds < _SUBSECOND:
        return f"{at:%H:%M:%S.%f}"[:-3]
    return f"{at:%H:%M:%S}" if whole_seconds < 86_400 / 2 else f"{at:%m-%d %H:%M:%S}"


def _breaks(scale: Scale, height: float) -> Iterator[Markup]:
    for piece in scale.breaks:
        width = piece.right - piece.left
        yield tag(
            "rect", tag("title", f"{duration(piece.seconds)}, not to scale"), x=f"{piece.left:.1f}",
            y=f"{_TOP - 6:g}", width=f"{width:.1f}", height=f"{height - _TOP - 2:.1f}", class_="break",
        )  # fmt: skip
        for x in (piece.left, piece.right):
            steps = "".join(f"l{3 if number % 2 else -3} 6" for number in range(int((height - _TOP - 2) // 6)))
            yield tag("path", d=f"M{x:.1f} {_TOP - 6:g}{steps}", class_="zigzag")
        middle = (piece.left + piece.right) / 2
        yield tag(
            "text",
            duration(piece.seconds),
            x=f"{middle:.1f}",
            y=f"{_BREAK_ROW:g}",
            text_anchor="middle",
            class_="axis far",
        )


def _cause(cause: Mark, scale: Scale, height: float) -> Iterator[Markup]:
    x = scale.x(cause.at)
    yield tag("path", d=f"M{x:.1f} {_CAUSE_ROW:g}V{height - 8:.1f}", class_="cause")
    yield tag("path", d=f"M{x:.1f} {_CAUSE_ROW + 3:g}l-5 -9h10z", class_="cause-head")
    anchor, shift = ("start", 8) if x < WIDTH / 2 else ("end", -8)
    words = f"first cause, event {cause.version}"
    yield tag("text", words, x=f"{x + shift:.1f}", y=f"{_CAUSE_ROW:g}", text_anchor=anchor, class_="cause-label")


def legend(parts: Sequence[str]) -> Markup:
    """What the patterns mean."""
    return joined(tag("li", swatch(part), " ", PARTS[part]) for part in parts)
