"""Which exchanges each role publishes to: a process asks about them before it has anything to send."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from domain.topology import (
    APPROVALS_EXCHANGE,
    COMMANDS_EXCHANGE,
    CONTROL_EXCHANGE,
    DEAD_EXCHANGE,
    EVENTS_EXCHANGE,
    GOALS_EXCHANGE,
)

_CONSUMING: Final = frozenset({DEAD_EXCHANGE})
"""What cannot be taken in is buried, with what was wrong with it."""
_FOLLOWING: Final = frozenset({COMMANDS_EXCHANGE, EVENTS_EXCHANGE})
"""Commands, and announcements of approvals, go out, and again where nobody answers."""

PUBLISHED: Final[Mapping[str, frozenset[str]]] = {
    "goals": _CONSUMING,
    "approvals": _CONSUMING,
    "signals": _CONSUMING,
    "control": _CONSUMING,
    "activities": _CONSUMING,
    "outcomes": _CONSUMING,
    "relay": _FOLLOWING,
    "timer": _FOLLOWING | {GOALS_EXCHANGE},  # heartbeats
    "projector": frozenset(),
    "http": frozenset({GOALS_EXCHANGE, APPROVALS_EXCHANGE, CONTROL_EXCHANGE}),
}
"""By the names of roles. Whoever decides publishes commands too, where they go out straight after the commit."""


def published_by(roles: Collection[str], *, straight: bool) -> frozenset[str]:
    """The exchanges that a process of these roles publishes to; `straight` as the setting."""
    exchanges = frozenset[str]().union(*(PUBLISHED[role] for role in roles))
    decides = straight and any(PUBLISHED[role] & (_CONSUMING | _FOLLOWING) for role in roles)
    return exchanges | {COMMANDS_EXCHANGE} if decides else exchanges
