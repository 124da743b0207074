"""Names of the wire, as pure data: what exists, what it is called, and how one name follows from another."""

from __future__ import annotations

from typing import Final

from domain.ids import check_name

PREFIX: Final = "handrail."

COMMANDS_EXCHANGE: Final = f"{PREFIX}commands"
"""Where step commands are published; the routing key is the queue that the activity type declares."""


def activity_queue(queue: str) -> str:
    """The queue that carries the commands of the activity types that declare `queue`."""
    return f"{PREFIX}activity.{check_name(queue, 'queue')}"
