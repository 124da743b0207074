"""What the store remembers of heartbeats: the number of the last one, who sent it, and what was removed of them.

One row, changed by compare-and-set: of two processes that send heartbeats at once, one finds it changed and stops.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import FenceMissed, StoreError
from domain.ids import workflow_id_from_message
from domain.ports import Cursor, Queries

NAME: Final = "heartbeat"
"""Name of the row in the table of facts."""


class HeartbeatFact(BaseModel):
    """`number` is that of the last one, sent at `sent_at`; those up to `pruned` are looked through and removed.

    `logins` says from which number on which login of the broker sent them. Of the `removed` ones `digest` is left: it
    runs over each one's id and the digest of its last event, in their order.
    """

    model_config = ConfigDict(frozen=True)

    number: int = 0
    sent_at: datetime | None = None
    logins: tuple[tuple[int, str], ...] = ()
    pruned: int = 0
    removed: int = 0
    digest: str = ""

    def message_id(self, number: int) -> str:
        """The id of the message that started one."""
        return f"heartbeat-{number}"

    def workflow_id(self, number: int) -> str:
        """The id of its workflow."""
        login = next((login for first, login in reversed(self.logins) if first <= number), "")
        return workflow_id_from_message(login, self.message_id(number))

    def sent(self, login: str, at: datetime) -> HeartbeatFact:
        """One more was sent. The first is numbered by its second: a store that forgot goes on behind all before."""
        number = self.number + 1 if self.number else int(at.timestamp())
        known = self.logins if self.logins and self.logins[-1][1] == login else (*self.logins, (number, login))
        pruned = self.pruned or number - 1
        return self.model_copy(update={"number": number, "sent_at": at, "logins": known, "pruned": pruned})

    def without(self, upto: int, heads: list[tuple[str, str]]) -> HeartbeatFact:
        """Those up to a number are looked through; of those removed, ids and digests of their last events are given."""
        digest = self.digest
        for workflow_id, head in heads:
            digest = hashlib.sha256(f"{digest}\x1f{workflow_id}\x1f{head}".encode()).hexdigest()
        later = [number for number, _ in self.logins if number <= upto + 1]
        known = tuple(one for one in self.logins if not later or one[0] >= later[-1])
        return self.model_copy(
            update={"pruned": upto, "removed": self.removed + len(heads), "digest": digest, "logins": known}
        )


@dataclass(frozen=True, slots=True)
class Known:
    """The row as it was read or written last; the text is what it is compared by, empty where there is none."""

    fact: HeartbeatFact
    text: str = ""


def read_fact(store: Queries) -> Known:
    """The row as it is. Raises StoreError where it cannot be read: timers go on without heartbeats then."""
    rows = store.query("SELECT value FROM store_facts WHERE name = ?", (NAME,))
    if not rows:
        return Known(HeartbeatFact())
    try:
        return Known(HeartbeatFact.model_validate_json(rows[0][0]), rows[0][0])
    except ValidationError as error:
        raise StoreError(
            f"what the store knows of heartbeats cannot be read: delete row {NAME!r} of store_facts"
        ) from error


class ChangeFact:
    """Statements to run along: the row becomes this, unless somebody else has changed it."""

    def __init__(self, before: Known, after: HeartbeatFact) -> None:
        """`known` is the row from then on."""
        self._before = before
        self.known = Known(after, after.model_dump_json())

    def run(self, cursor: Cursor) -> None:
        """Raise FenceMissed where it is not as it was."""
        if self._before.text:
            changed = cursor.execute(
                "UPDATE store_facts SET value = ? WHERE name = ? AND value = ?",
                (self.known.text, NAME, self._before.text),
            )
        else:
            changed = cursor.execute(
                "INSERT INTO store_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                (NAME, self.known.text),
            )
        if changed != 1:
            raise FenceMissed("another process sends heartbeats: this one steps down")
