"""Messages that nobody here can decide on yet: held in the store for a process that has their workflow's definition.

What a person decides needs the policies of the definition that the workflow runs on, and an outcome of a consumer in
another language is held against what its activity declares. While a new version of a definition is being rolled out,
such a message may come to a process that does not have it. It is written down here with all that the broker said of
it, its sender included, and only then acknowledged; sending it again would not do, for nobody may publish in another's
name. Whoever has the definition takes it in later as if the broker had just delivered it (`consumers/later.py`).

A row stands under the receipt that its message will leave, so a repeat finds it, and so does another body under the
same message id. How many are held, how large and for how long is bounded: what is beyond that goes to the dead queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from consumers.inbox import in_chunks
from consumers.intake import Message, Missing
from domain.errors import DefinitionMissing
from domain.messages.faults import kept_headers
from domain.ports import Aside, Cursor, Transactions
from domain.store.covers import texts_of
from domain.transport import Delivery

MESSAGES_HELD_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS messages_held (
        receipt TEXT PRIMARY KEY, queue TEXT NOT NULL, message_id TEXT NOT NULL, sender TEXT NOT NULL,
        definition TEXT NOT NULL, digest TEXT NOT NULL, properties TEXT NOT NULL, body TEXT NOT NULL,
        body_bytes BIGINT NOT NULL, held_at DOUBLE PRECISION NOT NULL, next_try DOUBLE PRECISION NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS messages_held_wanted ON messages_held (definition, next_try)",
    "CREATE INDEX IF NOT EXISTS messages_held_since ON messages_held (held_at)",
)
"""`receipt` is the id of the receipt that the message will leave, `digest` the one it will have. `sender` is whom the
broker vouched for, `definition` the one that is missed, as "name version"; `properties` are the delivery's others."""

MOST_HELD: Final = 10_000
MOST_HELD_BYTES: Final = 256 * 1024 * 1024
"""About how many messages, and how much of them, are held at most."""
HELD_FOR: Final = timedelta(days=1)
"""How long a message waits for its definition; then whoever finds it moves it to its dead queue."""
AGAIN_AFTER_SECONDS: Final = 10.0
"""When a message that was taken, and is still held, is taken again; a tenth of its age is added."""

_PROPERTIES: Final = ("type", "app_id", "correlation_id", "content_type", "exchange", "routing_key")
_MICROSECOND: Final = 1e-6


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message as it was delivered; `age_seconds` is how long it has been held."""

    receipt: str
    digest: str
    queue: str
    message_id: str
    sender: str
    properties: str
    body: str
    held_at: float = 0.0
    age_seconds: float = 0.0

    @classmethod
    def of(cls, message: Message[Any]) -> HeldMessage:
        """The message of a delivery, which has been read: its body is text, and its ids are."""
        delivery = message.delivery
        properties: dict[str, object] = {name: getattr(delivery, name) for name in _PROPERTIES}
        properties["headers"] = kept_headers(delivery.headers)
        properties["timestamp"] = delivery.timestamp.isoformat() if delivery.timestamp is not None else None
        return cls(
            message.receipt.message_id,
            message.receipt.digest,
            delivery.queue,
            delivery.message_id,
            delivery.user_id,
            json.dumps(properties),  # in ASCII: what no database keeps travels as an escape
            delivery.body.decode(),
        )

    @property
    def is_too_old(self) -> bool:
        """Whether it is not to be held any longer."""
        return self.age_seconds >= HELD_FOR.total_seconds()

    def delivery(self, settle: Callable[[bool], None]) -> Delivery:
        """The delivery once more; `settle` hears how it is settled."""
        properties = json.loads(self.properties)
        at = properties.pop("timestamp")
        return Delivery(
            self.queue,
            self.body.encode(),
            self.message_id,
            user_id=self.sender,
            timestamp=datetime.fromisoformat(at) if at is not None else None,
            redelivered=True,
            settle=settle,
            **properties,
        )


class HeldMessages:
    """The table."""

    def __init__(self, store: Transactions, aside: Aside, *, tell: Callable[[Cursor], None]) -> None:
        """Keep them in this store; `aside` runs its work.

        `tell` is called within the transaction that holds messages: other processes are to hear of its commit.
        """
        self._store = store
        self._aside = aside
        self._tell = tell

    async def hold(self, missing: Sequence[Missing[Any]]) -> Mapping[str, str | DefinitionMissing]:
        """Hold these, of different receipts. Raises StoreUnavailable; then none of them is held."""
        return await self._aside(lambda: self._hold(missing))

    async def take(self, queues: Collection[str], known: Collection[str], limit: int) -> list[HeldMessage]:
        """Up to `limit` messages of these queues to be taken in now, the oldest first; each by one process only.

        `known` are the definitions that this process has, as "name version"; those that are too old come too.
        """
        return await self._aside(lambda: self._take(queues, known, limit))

    async def forget(self, receipts: Iterable[str]) -> None:
        """Hold these no more."""
        rows = [(receipt,) for receipt in receipts]
        await self._aside(lambda: self._forget(rows))

    def _hold(self, missing: Sequence[Missing[Any]]) -> Mapping[str, str | DefinitionMissing]:
        wanted = {message.receipt.message_id: (HeldMessage.of(message), why) for message, why in missing}
        with self._store.transaction() as cursor:
            said: dict[str, str | DefinitionMissing] = {}
            ((held, held_bytes),) = cursor.query("SELECT count(*), coalesce(sum(body_bytes), 0) FROM messages_held")
            now, hide = cursor.now(), texts_of(self._store).hide
            for number, (receipt, (one, why)) in enumerate(wanted.items()):
                size = len(one.body.encode())
                if held >= MOST_HELD or held_bytes + size > MOST_HELD_BYTES:
                    said[receipt] = _in_other_words(why, f"{held} messages wait for definitions, and no more are held")
                    continue
                cursor.execute(
                    "INSERT INTO messages_held (receipt, queue, message_id, sender, definition, digest, properties, "
                    "body, body_bytes, held_at, next_try) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) "
                    "ON CONFLICT (receipt) DO NOTHING",
                    (
                        receipt,
                        one.queue,
                        one.message_id,
                        one.sender,
                        f"{why.definition} {why.version}",
                        one.digest,
                        hide(one.properties),
                        hide(one.body),
                        size,
                        now + number * _MICROSECOND,  # so that they come back in their order
                    ),
                )
                held, held_bytes = held + 1, held_bytes + size
            self._tell(cursor)
            said.update(_digests(cursor, wanted))  # some may have been held before, whatever room there is
        return said

    def _take(self, queues: Collection[str], known: Collection[str], limit: int) -> list[HeldMessage]:
        if not queues:
            return []
        places, names = ", ".join("?" * len(queues)), ", ".join("?" * len(known))
        wanted = f"definition IN ({names}) OR held_at <= ?" if known else "held_at <= ?"

        def parameters(now: float) -> list[Any]:
            oldest = now - HELD_FOR.total_seconds()
            return [now + AGAIN_AFTER_SECONDS, now, now, *queues, *known, oldest, limit, now, now]

        rows = self._store.change(
            "UPDATE messages_held SET next_try = ? + (? - held_at) / 10 "  # noqa: S608 - fixed parts
            "WHERE receipt IN (SELECT receipt FROM messages_held "
            f"WHERE next_try <= ? AND queue IN ({places}) AND ({wanted}) ORDER BY held_at LIMIT ?) "
            "AND next_try <= ? RETURNING receipt, digest, queue, message_id, sender, properties, body, held_at, "
            "? - held_at",
            parameters,
        )
        show = texts_of(self._store).show
        taken = [
            replace(one, properties=show(one.properties), body=show(one.body))
            for one in (HeldMessage(*row) for row in rows)
        ]
        return sorted(taken, key=lambda one: one.held_at)

    def _forget(self, rows: Sequence[tuple[str]]) -> None:
        with self._store.transaction() as cursor:
            cursor.executemany("DELETE FROM messages_held WHERE receipt = ?", rows)


def held_by_definition(query: Callable[[str], Sequence[Sequence[Any]]]) -> list[tuple[str, int, float]]:
    """For which definitions, as "name version", how many messages are held, and since when the oldest of them."""
    rows = query("SELECT definition, count(*), min(held_at) FROM messages_held GROUP BY definition ORDER BY definition")
    return [(str(row[0]), int(row[1]), float(row[2])) for row in rows]


def held_too_long(why: DefinitionMissing) -> DefinitionMissing:
    """The reason of one that is not held any longer."""
    hours = HELD_FOR.total_seconds() / 3_600
    return _in_other_words(why, f"it was held for {hours:g} hours, and no process that has it took it in")


def _in_other_words(why: DefinitionMissing, more: str) -> DefinitionMissing:
    return DefinitionMissing(f"{why}; {more}", definition=why.definition, version=why.version)


def _digests(cursor: Cursor, receipts: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk, places in in_chunks(receipts):
        found.update(cursor.query(f"SELECT receipt, digest FROM messages_held WHERE receipt IN ({places})", chunk))  # noqa: S608 - fixed parts
    return found
