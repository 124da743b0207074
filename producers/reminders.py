"""Approvals that nobody has decided yet: one row each, so that they are asked for again where an announcement was lost.

A broker that lost its queues lost what it had told the listeners; a listener that was away may never have had a queue.
So `approval.requested` is told again after an hour, then after twice as long each time, at most a day. The rows are
true together with the events: written and removed in the transaction of the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.events import (
    ApprovalRecorded,
    ApprovalRequested,
    ArtifactRecorded,
    AttemptFailed,
    AttemptLapsed,
    Event,
    PlanProposed,
    PlanRequested,
    PolicyEvaluated,
    RetryScheduled,
    StepScheduled,
    StepSucceeded,
    WorkflowCompleted,
    WorkflowStarted,
)
from domain.ports import Along, Cursor, Decided, Transactions

REMINDERS_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS approvals_pending (
        workflow_id TEXT NOT NULL,
        step TEXT NOT NULL,
        version BIGINT NOT NULL,
        told BIGINT NOT NULL DEFAULT 1,
        tell_after DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (workflow_id, step)
    )""",
    "CREATE INDEX IF NOT EXISTS approvals_pending_due ON approvals_pending (tell_after)",
)
"""`version` is that of the ApprovalRequested event; `tell_after` is an instant of the database's clock."""

FIRST_AGAIN_SECONDS: Final = 3_600.0
LONGEST_AGAIN_SECONDS: Final = 86_400.0
_DOUBLINGS: Final = 5  # an hour doubled five times is past a day

_LEAVES_APPROVALS: Final[frozenset[type[Event]]] = frozenset(
    {
        ApprovalRecorded,
        ApprovalRequested,
        ArtifactRecorded,
        AttemptFailed,
        AttemptLapsed,
        PlanProposed,
        PlanRequested,
        PolicyEvaluated,
        RetryScheduled,
        StepScheduled,
        StepSucceeded,
        WorkflowCompleted,
        WorkflowStarted,
    }
)
"""Events that end no approval: the way of most workflows costs no statement here."""


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """An approval that is waited for, and the version of the event that asked for it."""

    workflow_id: str
    step: str
    version: int


@dataclass(slots=True)
class RemindersTurn:
    """The statements of one turn: of each workflow, which steps still wait; and which began to."""

    left: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    begun: list[tuple[str, str, int]] = field(default_factory=list)

    def run(self, cursor: Cursor) -> None:
        """Run them."""
        for workflow_id, steps in self.left:
            others = f" AND step NOT IN ({', '.join('?' * len(steps))})" if steps else ""
            cursor.execute(f"DELETE FROM approvals_pending WHERE workflow_id = ?{others}", (workflow_id, *steps))  # noqa: S608 - fixed parts
        if self.begun:
            after = cursor.now() + FIRST_AGAIN_SECONDS
            cursor.executemany(
                "INSERT INTO approvals_pending (workflow_id, step, version, tell_after) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (workflow_id, step) DO UPDATE SET version = excluded.version, told = 1, "
                "tell_after = excluded.tell_after",
                [(*one, after) for one in self.begun],
            )


class RemindersCompanion:
    """Keeps the rows true to the workflows' open rounds of approval."""

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The statements of a turn: none, where no approval begins or ends."""
        begun: dict[tuple[str, str], int] = {}
        ended: dict[str, tuple[str, ...]] = {}
        for decided in turn:
            state = decided.state
            for recorded in decided.events:
                event = recorded.event
                if type(event) is ApprovalRequested:
                    begun[state.workflow_id, event.step] = recorded.originator_version
                elif type(event) not in _LEAVES_APPROVALS:
                    ended[state.workflow_id] = tuple(sorted(state.ballots))
        if not begun and not ended:
            return ()
        waiting = [(*key, version) for key, version in begun.items() if key[1] in ended.get(key[0], (key[1],))]
        return (RemindersTurn(list(ended.items()), waiting),)

    def committed(self, turn: Sequence[Decided]) -> None:
        """Nothing to hand on: the relay tells of what was asked."""


class PendingApprovals:
    """The rows."""

    def __init__(self, store: Transactions) -> None:
        """Of this store."""
        self._store = store

    def due(self, limit: int) -> list[PendingApproval]:
        """Up to `limit` approvals that are to be asked for again now, the longest due first."""
        with self._store.reading() as cursor:
            rows = cursor.query(
                "SELECT workflow_id, step, version FROM approvals_pending WHERE tell_after <= ? "
                "ORDER BY tell_after LIMIT ?",
                (cursor.now(), limit),
            )
        return [PendingApproval(*row) for row in rows]

    def page(self, after: tuple[str, str], limit: int) -> list[PendingApproval]:
        """Up to `limit` approvals behind this workflow and step, in their order."""
        with self._store.reading() as cursor:
            rows = cursor.query(
                "SELECT workflow_id, step, version FROM approvals_pending WHERE (workflow_id, step) > (?, ?) "
                "ORDER BY workflow_id, step LIMIT ?",
                (*after, limit),
            )
        return [PendingApproval(*row) for row in rows]

    def note_told(self, approvals: Sequence[PendingApproval]) -> None:
        """Say that these were asked for again: the next time is twice as far away, at most a day."""
        cases = " ".join(f"WHEN {told} THEN {FIRST_AGAIN_SECONDS * 2**told}" for told in range(_DOUBLINGS))
        delay = f"CASE WHEN told >= {_DOUBLINGS} THEN {LONGEST_AGAIN_SECONDS} ELSE CASE told {cases} END END"
        with self._store.transaction("sweep") as cursor:
            now = cursor.now()
            rows: list[tuple[Any, ...]] = [(now, one.workflow_id, one.step, one.version) for one in approvals]
            cursor.executemany(
                f"UPDATE approvals_pending SET told = told + 1, tell_after = ? + {delay} "  # noqa: S608 - fixed parts
                "WHERE workflow_id = ? AND step = ? AND version = ?",
                rows,
            )
