"""Which workflows are Handrail's own: they are in no list and in no count."""

from __future__ import annotations

from typing import Final

HIDDEN_PREFIX: Final = "handrail-"
"""What the names of Handrail's own definitions begin with; no author's may."""
NOT_HIDDEN: Final = f"definition NOT LIKE '{HIDDEN_PREFIX}%'"
"""The condition, in SQL, that leaves them out."""


def is_hidden(definition: str) -> bool:
    """Whether workflows of this definition are Handrail's own."""
    return definition.startswith(HIDDEN_PREFIX)
