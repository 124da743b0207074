"""The conditions, in SQL, that leave Handrail's own workflows out of lists and counts."""

from __future__ import annotations

from typing import Final

from domain.builtin import HIDDEN_PREFIX


def not_hidden(column: str) -> str:
    """The condition on a name, of a definition or of an activity type. SQLite's LIKE would take `Handrail-` as well."""
    return f"substr({column}, 1, {len(HIDDEN_PREFIX)}) <> '{HIDDEN_PREFIX}'"


NOT_HIDDEN: Final = not_hidden("definition")
