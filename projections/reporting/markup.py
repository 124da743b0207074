"""HTML and SVG from Python: elements made by one function, and every text escaped by one other.

A template engine would be a dependency of the core for the sake of one page, most of which is drawn by computing. What
such an engine is wanted for, that no text becomes markup by mistake, holds here by type: only `tag` and `joined` make
`Markup`, and whatever else is put into an element is escaped. What is made is HTML and well-formed XML at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"meta", "link", "br", "hr"})
_LINE_END: Final = "\n"
_HALF: Final = 0x10000


class Markup(str):
    """Text that is markup already; made here and nowhere else."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. Children that are not markup are escaped; attributes that are None or False are left out.

    `class_` is the attribute `class`, and `aria_label` is `aria-label`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{"" if value is True else shown(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{given}/>")
    inner = "".join([child if isinstance(child, Markup) else shown(child) for child in children])
    return Markup(f"<{name}{given}>{inner}</{name}>")


def joined(parts: Iterable[Markup], between: str = "") -> Markup:
    """Pieces of markup one after the other; what stands between them is escaped."""
    return Markup(shown(between).join(parts))


def shown(value: object) -> str:
    """A value as a text that is no markup, of characters that can be seen: any other is written as its code.

    That goes for what controls a terminal or the direction of writing, and for what XML does not allow.
    """
    text = str(value)
    if not text.isprintable() and not text.replace(_LINE_END, "").isprintable():
        text = "".join(mark if mark.isprintable() or mark == _LINE_END else _code(mark) for mark in text)
    return escape(text)


def _code(mark: str) -> str:
    """A character as JSON writes it in ASCII."""
    number = ord(mark)
    if number < _HALF:
        return f"\\u{number:04x}"
    high, low = divmod(number - _HALF, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
