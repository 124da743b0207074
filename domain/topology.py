"""Names of the wire, as pure data: what exists, what it is called, and how one name follows from another."""

from __future__ import annotations

from typing import Final

from domain.ids import check_name

PREFIX: Final = "handrail."

GOALS_EXCHANGE: Final = f"{PREFIX}goals"
APPROVALS_EXCHANGE: Final = f"{PREFIX}approvals"
SIGNALS_EXCHANGE: Final = f"{PREFIX}signals"
CONTROL_EXCHANGE: Final = f"{PREFIX}control"
OUTCOMES_EXCHANGE: Final = f"{PREFIX}outcomes"
EVENTS_EXCHANGE: Final = f"{PREFIX}events"
DEAD_EXCHANGE: Final = f"{PREFIX}dead"
"""Where faults are published; the routing key is the queue that the message came from."""

COMMANDS_EXCHANGE: Final = f"{PREFIX}commands"
"""Where step commands are published; the routing key is the queue that the activity type declares."""


def activity_queue(queue: str) -> str:
    """The queue that carries the commands of the activity types that declare `queue`."""
    return f"{PREFIX}activity.{check_name(queue, 'queue')}"
