"""What the sections of a page are put together from: instants, tables, references to events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from projections.replaying.words import instant
from projections.reporting.markup import Markup, joined, tag

ROWS_OPEN: Final = 60


class Column(NamedTuple):
    """A column of a table: its title, and of which kind it is: "", `number`, `when` or `wide`."""

    title: str
    kind: str = ""


class Shown:
    """Which events are on the page: to these, references lead."""

    def __init__(self, versions: Iterable[int]) -> None:
        """The events' numbers."""
        self._versions = frozenset(versions)

    def __contains__(self, version: int) -> bool:
        """Whether the event is on the page."""
        return version in self._versions

    def link(self, version: int, words: str = "") -> Markup:
        """A reference to an event."""
        text = words or f"event {version}"
        return tag("a", text, href=f"#e{version}") if version in self._versions else tag("span", text)

    def number(self, version: int | None) -> Markup:
        """The number of an event, in a table."""
        return tag("span", "–") if version is None else self.link(version, str(version))


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Markup:
    """A table in a box of its own, which scrolls where there is too little room.

    Each row begins with what it is of.
    """
    head = tag("tr", *(tag("th", column.title, scope="col", class_=column.kind or None) for column in columns))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", class_=columns[0].kind or None),
            *(tag("td", cell, class_=column.kind or None) for cell, column in zip(row[1:], columns[1:], strict=True)),
        )
        for row in rows
    ]
    made = tag("table", tag("thead", head), tag("tbody", *body), aria_label=caption)
    return scrolling(made, caption)


def folded_if_long(made: Markup, rows: int, words: str) -> Markup:
    """The table, folded where it is so long that what follows it would be far away."""
    return made if rows <= ROWS_OPEN else tag("details", tag("summary", words), made, class_="group")


def scrolling(content: Markup, label: str) -> Markup:
    """A box that scrolls by itself, with the keyboard too."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def section(name: str, title: str, *content: object) -> Markup:
    """A section with its heading."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *content, id=name, aria_labelledby=f"{name}-title")


def isolated(text: object, **attributes: object) -> Markup:
    """A text of whoever wrote it: in whichever direction it is written, it does not turn what stands around it."""
    return tag("bdi", text, **attributes)


def moment(at: datetime | None) -> Markup:
    """An instant to the second."""
    if at is None:
        return tag("span", "–")
    return tag("time", instant(at), datetime=at.isoformat())


def facts(rows: Iterable[tuple[str, object]]) -> Markup:
    """Names and what they stand for."""
    return tag("dl", *(part for name, value in rows for part in (tag("dt", name), tag("dd", value))), class_="facts")


def spaced(*parts: Markup | None) -> Markup:
    """The pieces that are there, with a space between."""
    return joined([part for part in parts if part is not None], " ")
