"""How a delivery is settled: a decision, made here, by a table; carried out by the transport's consumer.

Theory: the row of the inbox is the truth, the delivery only a hint that it is there. A delivery may be forgotten as
soon as the row says all that it said: when its outcome is recorded, and when it means nothing any more. It is kept as
long as it cannot be told, or nothing can be done about it yet: that is trouble of the place, not of the message. It
goes to the dead queue, with the reason, only where the message itself can never be understood, or is not what was sent.
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
    DIFFERING = "it tells its consumer something else than was scheduled"
    FOREIGN = "its activity type is for a consumer in another language"
    DEFERRED = "a limit over all processes has it wait: its row says until when"
    LET_GO = "it waited for room too long"
    ENDING = "this process ends before there was room for it"
    EPOCH_PASSED = "it was scheduled in a time that was lost with its store"


class Settlement(Enum):
    """What is done with a delivery."""

    ACKNOWLEDGE = "forget it"
    KEEP = "hold it, and try again"
    GIVE_BACK = "have the broker deliver it again, to whomever has room"
    BURY = "publish it to the dead queue with the reason, then forget it"


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
    Delivered.UNREADABLE: Settlement.BURY,
    Delivered.DIFFERING: Settlement.BURY,
    Delivered.FOREIGN: Settlement.BURY,
    # Their rows stay open, and are issued again.
    Delivered.DEFERRED: Settlement.ACKNOWLEDGE,
    Delivered.LET_GO: Settlement.ACKNOWLEDGE,
    Delivered.ENDING: Settlement.GIVE_BACK,
    # Whoever restored the store can see there what had been under way.
    Delivered.EPOCH_PASSED: Settlement.BURY,
}


def settle(delivered: Delivered) -> Settlement:
    """How a delivery is settled."""
    return SETTLEMENTS[delivered]


def of_row(state: str | None) -> Delivered:
    """What a delivery means whose command was not open, by the state of its row (None: no row)."""
    if state is None:
        return Delivered.UNKNOWN
    return Delivered.CLAIMED if state in {"claimed", "handed_over"} else Delivered.NOT_OPEN


class Received(Enum):
    """What became of a message that is no step command: a goal, approval, signal, outcome or control."""

    RECORDED = "it was decided on, and what was decided is recorded"
    REFUSED = "it does not count, and that is recorded"
    LATE = "it tells of an attempt that was given up for lost, and that is recorded"
    IGNORED = "there is nothing left for it to change"
    REPEATED = "it was received before"
    CONFLICT = "another message was received before under its id"
    UNFIT = "it cannot be accepted, whoever tries"
    HELD = "its workflow's definition is not loaded here: it is written down for a process that has it"
    UNDECIDED = "the store cannot be asked, or others were first again and again"


RECEPTIONS: Final[dict[Received, Settlement]] = {
    Received.RECORDED: Settlement.ACKNOWLEDGE,
    Received.REFUSED: Settlement.ACKNOWLEDGE,
    Received.LATE: Settlement.ACKNOWLEDGE,
    Received.IGNORED: Settlement.ACKNOWLEDGE,
    Received.REPEATED: Settlement.ACKNOWLEDGE,
    # Never acknowledged only: whoever sent it believes that it was accepted.
    Received.CONFLICT: Settlement.BURY,
    Received.UNFIT: Settlement.BURY,
    Received.HELD: Settlement.ACKNOWLEDGE,
    Received.UNDECIDED: Settlement.KEEP,
}


def settle_received(received: Received) -> Settlement:
    """How a delivery is settled whose message is no step command."""
    return RECEPTIONS[received]
