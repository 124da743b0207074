"""Dead letters: a message that cannot be accepted, as it came, with headers that say why; and the way back.

The body and the properties stay as they were, so that a replay is the same message. The broker lets only an
`impersonator` publish under another's name, and those who bury have no such right: whom the broker vouched for, and
what else a publisher cannot set, travels in `handrail-original-…` headers.

Whoever replays may speak in anybody's name, so these headers are believed only where a sender cannot have written
them: on what was published to the exchange of the dead, which only Handrail's own processes may write. What the broker
moved there by itself bears its mark (`x-death`), and what came to `handrail.unrouted` came under its own exchange: of
those the broker's word counts, and nothing that the sender says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from domain.errors import InputInvalid
from domain.messages.names import (
    FAULT_AT,
    FAULT_CONSUMER,
    FAULT_MESSAGE,
    FAULT_QUEUE,
    FAULT_TYPE,
    MESSAGE_ID_BYTES,
    ORIGINAL_APP_ID,
    ORIGINAL_CONTENT_TYPE,
    ORIGINAL_EXCHANGE,
    ORIGINAL_KEY,
    ORIGINAL_TIMESTAMP,
    ORIGINAL_USER_ID,
    REPLAYS,
    Fault,
)
from domain.topology import APPROVALS_EXCHANGE, DEAD_EXCHANGE, DELIVERY_LIMIT, SIGNALS_EXCHANGE, binding_of
from domain.transport import Delivery, HeaderValue, Outgoing

FAULT_MESSAGE_CHARACTERS: Final = 1_000
NAMELESS: Final = "without-id-"
"""What the id begins with that a dead letter is given whose sender gave it none."""
_KEPT_OF_LONG: Final = 200
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


_BROKER_REASONS: Final = {
    "delivery_limit": (
        Fault.DELIVERED_TOO_OFTEN,
        f"it was delivered {DELIVERY_LIMIT} times, and nobody settled it: its consumers died, or lost their connection",
    ),
    "rejected": (Fault.REJECTED, "a consumer rejected it without a reason: see the log of who served its queue then"),
}
"""By the broker's own word."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery of a dead queue, opened. What was never said is empty; `replays` is how often it was sent again.

    `queue` is the one that it came from. `consumer` is empty where the broker moved it.
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
    """The dead letter of a delivery: to the dead queue of the queue it came from.

    One that is moved on from a dead queue keeps what it says about where it came from first.
    """
    headers = {name: value for name, value in kept_headers(delivery.headers).items() if name not in _OURS}
    origin = _origin(delivery)
    headers.update(
        {
            FAULT_TYPE: fault,
            FAULT_MESSAGE: _text(reason)[:FAULT_MESSAGE_CHARACTERS],
            FAULT_AT: at.isoformat(),
            FAULT_CONSUMER: consumer,
            FAULT_QUEUE: origin.queue,
            ORIGINAL_EXCHANGE: origin.exchange,
            ORIGINAL_KEY: origin.routing_key,
        }
    )
    unsettable = {
        ORIGINAL_USER_ID: origin.user_id,
        ORIGINAL_APP_ID: origin.app_id,
        ORIGINAL_TIMESTAMP: delivery.timestamp.isoformat() if delivery.timestamp is not None else "",
        ORIGINAL_CONTENT_TYPE: delivery.content_type,
    }
    headers.update({name: value for name, value in unsettable.items() if value})
    return Outgoing(
        DEAD_EXCHANGE,
        delivery.queue,
        # One without an id cannot be published: it is given one that says so.
        _short(delivery.message_id or f"{NAMELESS}{sha256(delivery.body).hexdigest()[:32]}"),
        _short(delivery.type),
        delivery.body,
        _short(delivery.correlation_id),
        headers,
    )


def read_dead_letter(delivery: Delivery) -> DeadLetter:
    """Open a delivery of a dead queue. Never raises: what is not there is empty."""
    if delivery.exchange != DEAD_EXCHANGE:
        return _unrouted(delivery)
    if "x-death" in delivery.headers:
        return _moved(delivery)

    def said(name: str, otherwise: str = "") -> str:
        value = delivery.headers.get(name)
        return value if isinstance(value, str) else otherwise

    return DeadLetter(
        fault=said(FAULT_TYPE, Fault.GIVEN_UP.value),
        reason=said(FAULT_MESSAGE, "it does not say why"),
        at=said(FAULT_AT),
        consumer=said(FAULT_CONSUMER),
        queue=said(FAULT_QUEUE),
        exchange=said(ORIGINAL_EXCHANGE),
        routing_key=said(ORIGINAL_KEY),
        user_id=said(ORIGINAL_USER_ID),
        app_id=said(ORIGINAL_APP_ID),
        replays=_count(delivery.headers.get(REPLAYS)),
    )


def outgoing_replay(delivery: Delivery) -> Outgoing:
    """The message of a dead letter, sent again as it was: same message id, and whom the broker vouched for, if anybody.

    Needs the broker's tag `impersonator`. Raises InputInvalid where the dead letter does not say where it came from.
    """
    letter = read_dead_letter(delivery)
    if not letter.exchange:
        raise InputInvalid(
            f"dead letter {delivery.message_id!r} does not say which exchange it was sent to: it cannot be replayed"
        )
    headers = {name: value for name, value in kept_headers(delivery.headers).items() if name not in _OURS}
    headers[REPLAYS] = letter.replays + 1
    return Outgoing(
        letter.exchange,
        letter.routing_key,
        delivery.message_id,
        delivery.type,
        delivery.body,
        delivery.correlation_id,
        headers,
        user_id=letter.user_id,
    )


def kept_headers(headers: Mapping[str, object]) -> dict[str, HeaderValue]:
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


def _unrouted(delivery: Delivery) -> DeadLetter:
    """What no queue took: the broker handed it on as it was."""
    where = delivery.exchange or "the default exchange"
    reason = f"routing key {delivery.routing_key[:80]!r} of {where} is bound to no queue"
    return DeadLetter(
        fault=Fault.UNROUTED.value,
        reason=reason,
        at=_said_at(delivery.timestamp),
        consumer="",
        queue="",
        exchange=delivery.exchange,
        routing_key=delivery.routing_key,
        user_id=delivery.user_id,
        app_id=delivery.app_id,
        replays=_count(delivery.headers.get(REPLAYS)),
    )


def _moved(delivery: Delivery) -> DeadLetter:
    """What the broker moved: it came under the name of its queue, and that says which exchange it was sent to.

    What else the mark says is the broker's unless the sender forged one; so only what can do no harm is read from it.
    """
    queue = delivery.routing_key
    death = _death(delivery.headers, queue)
    word = str(death.get("reason", ""))
    fault, reason = _BROKER_REASONS.get(
        word, (Fault.GIVEN_UP, f"the broker gave it up: {word or 'it does not say why'}")
    )
    bound = binding_of(queue)
    keys = death.get("routing-keys")
    key = str(keys[0]) if isinstance(keys, list) and keys else ""
    if bound is not None and bound.exchange not in {APPROVALS_EXCHANGE, SIGNALS_EXCHANGE}:
        key = bound.key
    died_at = death.get("time")
    return DeadLetter(
        fault=fault.value,
        reason=reason,
        at=_said_at(died_at if isinstance(died_at, datetime) else None),
        consumer="",
        queue=queue,
        exchange=bound.exchange if bound is not None else "",
        routing_key=key,
        user_id=delivery.user_id,
        app_id=delivery.app_id,
        replays=_count(delivery.headers.get(REPLAYS)),
    )


def _origin(delivery: Delivery) -> DeadLetter:
    """Where a delivery that is about to be buried came from."""
    if delivery.exchange == DEAD_EXCHANGE:
        return read_dead_letter(delivery)
    return DeadLetter(
        fault="", reason="", at="", consumer="", replays=0,
        queue=delivery.queue, exchange=delivery.exchange, routing_key=delivery.routing_key,
        user_id=delivery.user_id, app_id=delivery.app_id,
    )  # fmt: skip


def _death(headers: Mapping[str, object], queue: str) -> Mapping[str, object]:
    """What the broker says of the last time that it moved the message out of this queue."""
    deaths = headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, Mapping) and death.get("queue") == queue:
            return death
    return {}


def _short(text: str) -> str:
    """A property that can be sent: text that was no UTF-8 was written out, and may have grown beyond what fits."""
    whole = text.encode("utf-8", "backslashreplace")
    if len(whole) <= MESSAGE_ID_BYTES:
        return whole.decode()
    return f"{whole[:_KEPT_OF_LONG].decode(errors='ignore')}…{sha256(whole).hexdigest()[:32]}"


def _said_at(instant: datetime | None) -> str:
    return instant.isoformat() if instant is not None else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(reason: str) -> str:
    return reason.encode("utf-8", "backslashreplace").decode()
