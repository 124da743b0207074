"""Looks into the database beside everybody: what has begun, what has ended, what is in flight at this moment.

On a connection of its own, past the proxy. The database goes away again and again: whoever asks waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from projections.schema import POSITION
from tests.chaos.moments import called_within

EVENTS_A_LOOK: Final = 20_000
LOOK_AGAIN_SECONDS: Final = 0.2
ANSWER_SECONDS: Final = 60.0
"""No fault lasts nearly as long: a database that is away for longer is not coming back."""

ENDS: Final = {
    "WorkflowCompleted": "completed",
    "WorkflowFailed": "failed",
    "WorkflowCancelled": "cancelled",
    "WorkflowCompensated": "compensated",
}

_FLIGHT: Final = (
    "SELECT count(*) FILTER (WHERE state = 'open'), count(*) FILTER (WHERE state = 'claimed') "
    "FROM inbox WHERE state IN ('open', 'claimed')"
)
_OWNERS: Final = "SELECT DISTINCT owner FROM inbox WHERE state = 'claimed'"
_CLAIMS: Final = "SELECT count(*) FROM inbox WHERE state = 'claimed' AND owner LIKE %s"
_LEFT: Final = (
    "SELECT (SELECT count(*) FROM inbox WHERE state IN ('open', 'claimed', 'handed_over')), "
    "(SELECT count(*) FROM timers), "
    "coalesce((SELECT max(id) FROM stored_events), 0) "
    f"- coalesce((SELECT position FROM positions WHERE name = '{POSITION}'), 0)"
)
_EVENTS: Final = (
    "SELECT id, originator_id, originator_version, topic FROM stored_events WHERE id > %s ORDER BY id LIMIT %s"
)


@dataclass(frozen=True)
class Flight:
    """What is in flight: workflows that have begun and not ended, commands that are open, commands that are claimed."""

    workflows: int
    open: int
    claimed: int

    @property
    def commands(self) -> int:
        """Commands that somebody is still to run, or is running."""
        return self.open + self.claimed


@dataclass
class Seen:
    """What the log has said so far, workflow by workflow; the ids are those of goals' workflows and of children."""

    position: int = 0
    events: int = 0
    begun: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    """Waits for a signal or an instant that have begun, by workflow: the version of the beginning."""
    decided: set[str] = field(default_factory=set)
    """Workflows with an approval that was granted or rejected."""
    unknown: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Outcomes that are unknown: version, and when we saw that, by the monotonic clock."""
    counts: dict[str, int] = field(default_factory=dict)
    """How often each event was seen."""

    def take(self, row: tuple[int, str, int, str], now: float) -> None:
        """Take in one row of the log."""
        position, workflow, version, topic = row
        name = topic.partition(":")[0]
        self.position = position
        self.events += 1
        self.counts[name] = self.counts.get(name, 0) + 1
        if name == "WorkflowStarted":
            self.begun.add(workflow)
        elif name in ENDS:
            self.ended[workflow] = ENDS[name]
        elif name == "WaitStarted":
            self.waiting[workflow] = version
        elif name in {"WaitSatisfied", "WaitTimedOut"}:
            self.waiting.pop(workflow, None)
        elif name in {"ApprovalGranted", "ApprovalRejected"}:
            self.decided.add(workflow)
        elif name == "OutcomeUnknown":
            self.unknown[workflow] = version, now
        elif name in {"OutcomeReconciled", "LateOutcomeRecorded"}:
            self.unknown.pop(workflow, None)


class Watch:
    """Follows the log from its beginning, and answers what is in flight."""

    def __init__(self, url: str) -> None:
        """Of the database at this address."""
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._one = asyncio.Lock()
        self._never = asyncio.Event()
        self.seen = Seen()

    async def look(self) -> None:
        """Read what was added to the log."""
        while True:
            rows = await self.rows(_EVENTS, (self.seen.position, EVENTS_A_LOOK))
            now = time.monotonic()
            for row in rows:
                self.seen.take(row, now)
            if len(rows) < EVENTS_A_LOOK:
                return

    async def flight(self) -> Flight:
        """What is in flight now."""
        ((opened, claimed),) = await self.rows(_FLIGHT)
        await self.look()
        return Flight(len(self.seen.begun) - len(self.seen.ended), opened, claimed)

    async def everything_is_done(self) -> bool:
        """Whether no command is open or claimed, no timer set, and the views have come to the end of the log."""
        ((left, due, behind),) = await self.rows(_LEFT)
        return bool(left == 0 and due == 0 and behind <= 0)

    async def claiming(self) -> list[str]:
        """The owners of claims."""
        return [owner for (owner,) in await self.rows(_OWNERS)]

    async def claims_of(self, process_id: int) -> int:
        """Claims that a process holds."""
        ((claimed,),) = await self.rows(_CLAIMS, (f"%-{process_id}-%",))
        return int(claimed)

    async def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of a SELECT, as soon as the database is there to give them. Raises TimeoutError."""
        async with self._one, asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    return await asyncio.to_thread(self._rows, statement, values)
                except psycopg.OperationalError:
                    self.close()
                    await called_within(self._never, LOOK_AGAIN_SECONDS)

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, statement: str, values: Sequence[object]) -> list[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        return self._connection.execute(statement, values).fetchall()
