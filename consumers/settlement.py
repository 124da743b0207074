"""How a delivery is settled: a decision, made here, by a table; carried out by the transport's consumer.

Theory: the row of the inbox is the truth, the delivery only a hint that it is there. A delivery may be forgotten as
soon as the row says all that it said: when its outcome is recorded, and when it means nothing any more. It is kept as
long as it cannot be told, or nothing can be done about it yet: that is trouble of the place, not of the message. It is
rejected, to the dead queue, only where the message itself can never be understood.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Delivered(Enum):
    """What became of a delivery."""

    OUTCOME_RECORDED = "its outcome is recorded"
    NOT_OPEN = "its command was decided on otherwise: done, revoked or lapsed"
    CLAIMED = "its command is claimed: from there on the row is the only path"
    UNKNOWN = "there is no such command"
    RUNNING_HERE = "its attempt is under way in this process"
    NO_ROOM = "there is no room for its attempt now"
    DEFINITION_MISSING = "the definition that it names is not loaded here"
    STORE_UNAVAILABLE = "the store cannot be asked"
    UNREADABLE = "it is no step command that this version can read"


class Settlement(Enum):
    """What is done with a delivery."""

    ACKNOWLEDGE = "forget it"
    KEEP = "hold it, and try again"
    REJECT = "send it to the dead queue"


SETTLEMENTS: Final[dict[Delivered, Settlement]] = {
    Delivered.OUTCOME_RECORDED: Settlement.ACKNOWLEDGE,
    Delivered.NOT_OPEN: Settlement.ACKNOWLEDGE,
    Delivered.CLAIMED: Settlement.ACKNOWLEDGE,
    Delivered.UNKNOWN: Settlement.ACKNOWLEDGE,
    # A second delivery of what runs: the first one is settled with the outcome.
    Delivered.RUNNING_HERE: Settlement.ACKNOWLEDGE,
    Delivered.NO_ROOM: Settlement.KEEP,
    # Its row stays open, and is issued again at growing intervals, until somebody has the definition.
    Delivered.DEFINITION_MISSING: Settlement.ACKNOWLEDGE,
    Delivered.STORE_UNAVAILABLE: Settlement.KEEP,
    Delivered.UNREADABLE: Settlement.REJECT,
}


def settle(delivered: Delivered) -> Settlement:
    """How a delivery is settled."""
    return SETTLEMENTS[delivered]


def of_row(state: str | None) -> Delivered:
    """What a delivery means whose command was not open, by the state of its row (None: no row)."""
    if state is None:
        return Delivered.UNKNOWN
    return Delivered.CLAIMED if state == "claimed" else Delivered.NOT_OPEN
