"""The names of what Handrail itself runs: such workflows are in no list and in no count, and no author may take one."""

from __future__ import annotations

from typing import Final

HIDDEN_PREFIX: Final = "handrail-"
"""What the names of Handrail's own definitions begin with."""
HEARTBEAT: Final = f"{HIDDEN_PREFIX}heartbeat"
"""The heartbeat's definition, its activity type, and the queue of that."""


def is_hidden(definition: str) -> bool:
    """Whether workflows of this definition are Handrail's own."""
    return definition.startswith(HIDDEN_PREFIX)
