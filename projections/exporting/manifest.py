"""The members of a manifest that nothing in the file counts: what kind of value each one is.

What is counted is held against what is there, so its kind needs no check of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final


def wrong_kinds(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The names of the members that are there and of another kind than a manifest's."""
    return (name for name, fits in _KINDS.items() if name in manifest and not fits(manifest[name]))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_selection(value: object) -> bool:
    return isinstance(value, dict) and all(name in _SELECTED and _SELECTED[name](one) for name, one in value.items())


_SELECTED: Final[Mapping[str, Callable[[object], bool]]] = {
    "all": lambda value: value is True,
    "definition": _is_text,
    "ended_before": _is_text,
    "since": _is_text,
    "upto": _is_count,
    "workflows": _are_texts,
}
_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "cut": _is_count,
    "redacted": _are_texts,
    "selection": _is_selection,
    "signer": _is_digest,
}
