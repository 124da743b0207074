"""What was done about dead letters, by whom and why: kept in the store, where there is one, and logged in any case."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from domain.messages.faults import DeadLetter
from domain.ports import Transactions
from domain.transport import Delivery

DEAD_ACTS_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS dead_acts (
        act_id TEXT PRIMARY KEY, act TEXT NOT NULL, message_id TEXT NOT NULL, queue TEXT NOT NULL, fault TEXT NOT NULL,
        wire_type TEXT NOT NULL, exchange TEXT NOT NULL, routing_key TEXT NOT NULL, user_id TEXT NOT NULL,
        body_digest TEXT NOT NULL, body_bytes BIGINT NOT NULL, replays BIGINT NOT NULL, acted_by TEXT NOT NULL,
        reason TEXT NOT NULL, acted_at DOUBLE PRECISION NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS dead_acts_by_time ON dead_acts (acted_at)",
)
"""Instants are seconds since 1970 by the database's clock. The body is not kept: its SHA-256 is."""

MOST_LISTED: Final = 10_000

_log: Final = logging.getLogger("handrail.dead")
_COLUMNS: Final = (
    "act, message_id, queue, fault, wire_type, exchange, routing_key, user_id, body_digest, body_bytes, replays, "
    "acted_by, reason"
)


@dataclass(frozen=True, slots=True)
class Act:
    """One dead letter that was sent again or thrown away. `replays` counts this time too."""

    act: str
    message_id: str
    queue: str
    fault: str
    wire_type: str
    exchange: str
    routing_key: str
    user_id: str
    body_digest: str
    body_bytes: int
    replays: int
    acted_by: str
    reason: str
    acted_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "acted_at": None if self.acted_at is None else self.acted_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Why:
    """Who acts, and for what reason."""

    by: str
    reason: str


def act_on(act: str, delivery: Delivery, letter: DeadLetter, why: Why) -> Act:
    """What is done about one dead letter. Texts are as a store can keep them."""
    return Act(
        act,
        _kept(delivery.message_id),
        delivery.queue,
        _kept(letter.fault),
        _kept(delivery.type),
        letter.exchange,
        _kept(letter.routing_key),
        _kept(letter.user_id),
        hashlib.sha256(delivery.body).hexdigest(),
        len(delivery.body),
        letter.replays + (act == "replayed"),
        why.by,
        why.reason,
    )


def keep_acts(store: Transactions | None, acts: Sequence[Act]) -> None:
    """Keep and log what was done. Raises StoreUnavailable; then none of it is kept."""
    if store is not None and acts:
        with store.transaction() as cursor:
            now = cursor.now()
            cursor.executemany(
                f"INSERT INTO dead_acts (act_id, {_COLUMNS}, acted_at) "  # noqa: S608 - ours
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(uuid.uuid4().hex, *(getattr(act, name) for name in _COLUMNS.split(", ")), now) for act in acts],
            )
    for act in acts:
        _log.info(
            "%s by %s (%s): dead letter of fault %s, from %r, sha256 %s",
            act.act, act.acted_by, act.reason, act.fault, act.user_id, act.body_digest,
            extra={"message_id": act.message_id, "queue": act.queue},
        )  # fmt: skip


def list_acts(store: Transactions, most: int = MOST_LISTED) -> list[Act]:
    """What was done, the newest first. Raises StoreUnavailable."""
    with store.reading() as cursor:
        rows = cursor.query(
            f"SELECT {_COLUMNS}, acted_at FROM dead_acts ORDER BY acted_at DESC, act_id LIMIT ?",  # noqa: S608 - ours
            (most,),
        )
    return [replace(Act(*row[:-1]), acted_at=datetime.fromtimestamp(row[-1], UTC)) for row in rows]


def _kept(text: str) -> str:
    """As a database can keep it: PostgreSQL knows no NUL in a text."""
    return text.replace("\x00", "\\x00")
