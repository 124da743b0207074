"""Which of the commands that nobody claimed in time are to be issued again, and which merely wait in a long queue.

Issuing again what waits would multiply a backlog. Queues are first in, first out: so a command is issued again when one
that was scheduled later, by some seconds, has been claimed from the same queue: then its own message is not before it
any more. As long as a queue is being worked off and has not come so far, its commands are left alone.

Where nothing of a queue is claimed, there is nothing to tell by: its consumers may be dead, or its messages lost. Then
one command is issued for all of them. When it is claimed, those before it follow; as long as it is not, it alone is
issued again, at doubling intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from consumers.claims import Claims, OpenRow
from domain.ports import Transactions

SLACK_SECONDS: Final = 5.0
"""How much later a command must have been scheduled to prove something: consumers take turns, and so do publishers."""

HELD_SECONDS: Final = 30.0
"""After how long a command that waits in a queue is looked at again."""
ASKING_SECONDS: Final = 2.0
"""After how long, where one was issued for all just now."""
ASKED_FOR_SECONDS: Final = 10.0
"""How long it is looked often whether that one was claimed."""


@dataclass(slots=True)
class Sorted:
    """What is to be issued, and what is left alone until it is looked at again, in so many seconds."""

    issue: list[OpenRow] = field(default_factory=list)
    hold: list[str] = field(default_factory=list)
    ask_soon: list[str] = field(default_factory=list)


class Backlogs:
    """Remembers of each queue how far it has come, and which command was issued for all."""

    def __init__(self, store: Transactions, claims: Claims) -> None:
        """Nothing is known yet."""
        self._store = store
        self._claims = claims
        self._fronts: dict[str, float] = {}
        self._asked: dict[str, OpenRow] = {}
        self._asked_at: dict[str, float] = {}
        self._now = 0.0

    def sort(self, rows: Sequence[OpenRow]) -> Sorted:
        """Sort open commands that are due to be issued again. Raises StoreUnavailable."""
        moving = self._look({row.queue for row in rows})
        found = Sorted()
        waiting: dict[str, list[OpenRow]] = {}
        for row in rows:
            if row.issued_at is None or row.issued_at < self._fronts.get(row.queue, 0.0) - SLACK_SECONDS:
                found.issue.append(row)
            elif row.queue in moving:
                found.hold.append(row.message_id)
            else:
                waiting.setdefault(row.queue, []).append(row)
        for queue, commands in waiting.items():
            self._ask(queue, commands, found)
        return found

    def hold(self, found: Sorted) -> None:
        """Write when those that are left alone are looked at again."""
        for message_ids, seconds in ((found.hold, HELD_SECONDS), (found.ask_soon, ASKING_SECONDS)):
            if message_ids:
                self._claims.hold(message_ids, seconds)

    def _look(self, queues: set[str]) -> set[str]:
        """Bring up to date how far these queues have come; those that something is claimed of now."""
        with self._store.reading() as cursor:
            self._now = cursor.now()
            claimed = cursor.query(
                "SELECT queue, max(issued_at) FROM inbox "
                "WHERE state = 'claimed' AND issued_at IS NOT NULL GROUP BY queue"
            )
        for queue, at in claimed:
            self._fronts[queue] = max(at, self._fronts.get(queue, 0.0))
        asked = {queue: self._asked[queue] for queue in queues if queue in self._asked}
        if asked:
            still_open = self._claims.open_among(row.message_id for row in asked.values())
            for queue, row in asked.items():
                if row.message_id not in still_open:
                    del self._asked[queue]
                    # Whichever of its messages was claimed: all that were scheduled before it have been come to.
                    passed = (row.issued_at or 0.0) + SLACK_SECONDS
                    self._fronts[queue] = max(passed, self._fronts.get(queue, 0.0))
        return {queue for queue, _ in claimed}

    def _ask(self, queue: str, commands: list[OpenRow], found: Sorted) -> None:
        """Nothing of the queue is being run: issue one command for all of these, unless one was already."""
        asked = self._asked.get(queue)
        if asked is None:
            asked = self._asked[queue] = max(commands, key=lambda row: row.issued_at or 0.0)
            self._asked_at[queue] = self._now
        recently = self._now - self._asked_at[queue] < ASKED_FOR_SECONDS
        for row in commands:
            if row.message_id == asked.message_id:
                found.issue.append(row)
            elif recently:
                found.ask_soon.append(row.message_id)
            else:
                found.hold.append(row.message_id)
