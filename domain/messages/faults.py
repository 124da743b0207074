"""Dead letters: a message that cannot be accepted, as it came, with headers that say why; and the way back.

The body and the properties stay as they were, so that a replay is the same message. The broker lets only an
`impersonator` publish under another's name, and those who bury have no such right: whom the broker vouched for, and
what else a publisher cannot set, travels in `handrail-original-…` headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.errors import InputInvalid
from domain.messages.names import (
    FAULT_AT,
    FAULT_CONSUMER,
    FAULT_MESSAGE,
    FAULT_QUEUE,
    FAULT_TYPE,
    ORIGINAL_APP_ID,
    ORIGINAL_CONTENT_TYPE,
    ORIGINAL_EXCHANGE,
    ORIGINAL_KEY,
    ORIGINAL_TIMESTAMP,
    ORIGINAL_USER_ID,
    REPLAYS,
)
from domain.topology import DEAD_EXCHANGE
from domain.transport import Delivery, HeaderValue, Outgoing

FAULT_MESSAGE_CHARACTERS: Final = 1_000
MOST_BURIED_BYTES: Final = 8 * 1024 * 1024
"""A larger body is not published again: the broker moves it itself, without a reason."""
MOST_HEADERS: Final = 50
HEADER_CHARACTERS: Final = 1_000
"""Longer headers of the sender's, and more of them, are left out of a dead letter: headers travel in one frame."""

_OURS: Final = frozenset(
    {
        FAULT_TYPE,
        FAULT_MESSAGE,
        FAULT_AT,
        FAULT_CONSUMER,
        FAULT_QUEUE,
        ORIGINAL_EXCHANGE,
        ORIGINAL_KEY,
        ORIGINAL_USER_ID,
        ORIGINAL_APP_ID,
        ORIGINAL_TIMESTAMP,
        ORIGINAL_CONTENT_TYPE,
    }
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery of a dead queue, opened. What was never said is empty; `replays` is how often it was sent again.

    Without fault headers it was the broker that moved it: delivered too often, or rejected without a reason.
    """

    fault: str
    reason: str
    at: str
    consumer: str
    queue: str
    exchange: str
    routing_key: str
    user_id: str
    app_id: str
    replays: int


def outgoing_fault(delivery: Delivery, *, fault: str, reason: str, consumer: str, at: datetime) -> Outgoing:
    """The dead letter of a delivery: to the dead queue of the queue it came from."""
    headers = _kept(delivery.headers)
    headers.update(
        {
            FAULT_TYPE: fault,
            FAULT_MESSAGE: _text(reason)[:FAULT_MESSAGE_CHARACTERS],
            FAULT_AT: at.isoformat(),
            FAULT_CONSUMER: consumer,
            FAULT_QUEUE: delivery.queue,
            ORIGINAL_EXCHANGE: delivery.exchange,
            ORIGINAL_KEY: delivery.routing_key,
        }
    )
    unsettable = {
        ORIGINAL_USER_ID: delivery.user_id,
        ORIGINAL_APP_ID: delivery.app_id,
        ORIGINAL_TIMESTAMP: delivery.timestamp.isoformat() if delivery.timestamp is not None else "",
        ORIGINAL_CONTENT_TYPE: delivery.content_type,
    }
    headers.update({name: value for name, value in unsettable.items() if value})
    return Outgoing(
        DEAD_EXCHANGE,
        delivery.queue,
        delivery.message_id,
        delivery.type,
        delivery.body,
        delivery.correlation_id,
        headers,
    )


def read_dead_letter(delivery: Delivery) -> DeadLetter:
    """Open a delivery of a dead queue. Never raises: what is not there is empty."""
    headers = delivery.headers

    def said(name: str, otherwise: str = "") -> str:
        value = headers.get(name)
        return value if isinstance(value, str) else otherwise

    death = _death(headers)
    broker_said = f"the broker gave it up: {death.get('reason', 'it does not say why')}"
    return DeadLetter(
        fault=said(FAULT_TYPE, "given_up"),
        reason=said(FAULT_MESSAGE, broker_said),
        at=said(FAULT_AT),
        consumer=said(FAULT_CONSUMER),
        queue=said(FAULT_QUEUE, death.get("queue", "")),
        exchange=said(ORIGINAL_EXCHANGE, death.get("exchange", "")),
        routing_key=said(ORIGINAL_KEY, death.get("routing_key", "")),
        user_id=said(ORIGINAL_USER_ID, delivery.user_id if FAULT_TYPE not in headers else ""),
        app_id=said(ORIGINAL_APP_ID, delivery.app_id if FAULT_TYPE not in headers else ""),
        replays=_count(headers.get(REPLAYS)),
    )


def outgoing_replay(delivery: Delivery) -> Outgoing:
    """The message of a dead letter, sent again as it was: same message id, and whom the broker vouched for.

    Needs the broker's tag `impersonator`. Raises InputInvalid where the dead letter does not say where it came from.
    """
    letter = read_dead_letter(delivery)
    if not letter.exchange:
        raise InputInvalid(
            f"dead letter {delivery.message_id!r} does not say which exchange it was sent to: it cannot be replayed"
        )
    headers = {name: value for name, value in _kept(delivery.headers).items() if name not in _OURS}
    headers[REPLAYS] = letter.replays + 1
    return Outgoing(
        letter.exchange,
        letter.routing_key,
        delivery.message_id,
        delivery.type,
        delivery.body,
        delivery.correlation_id,
        headers,
        user_id=letter.user_id or None,
    )


def _kept(headers: Mapping[str, object]) -> dict[str, HeaderValue]:
    """The headers that a publisher can carry; the broker's own (`x-death` …) are its own business."""
    kept: dict[str, HeaderValue] = {}
    for name, value in headers.items():
        if len(kept) >= MOST_HEADERS:
            break
        if name.startswith("x-") or len(name) > HEADER_CHARACTERS:
            continue
        if (isinstance(value, str) and len(value) <= HEADER_CHARACTERS) or (
            isinstance(value, int) and not isinstance(value, bool)
        ):
            kept[name] = value
    return kept


def _death(headers: Mapping[str, object]) -> dict[str, str]:
    """What the broker says of the first time that it moved the message."""
    deaths = headers.get("x-death")
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[-1], Mapping):
        return {}
    first = deaths[-1]
    keys = first.get("routing-keys")
    said = {name: str(first[name]) for name in ("reason", "queue", "exchange") if name in first}
    if isinstance(keys, list) and keys:
        said["routing_key"] = str(keys[0])
    return said


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(reason: str) -> str:
    return reason.encode("utf-8", "backslashreplace").decode()
