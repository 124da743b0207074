"""Removes heartbeats that ended more than a day ago, and nothing else.

What is removed is found by number and derived id, and looked at first: its events say that it is a heartbeat, that it
has ended, and when; and everybody who follows the log is past them. All of it goes in one transaction a batch: events,
snapshots and keys, receipts and commands in the inbox, timers, what the relay holds back, and the rows of the views
with what they count. What is left is one digest over all that were removed (`HeartbeatFact`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from deploy.serving.heartbeat_fact import ChangeFact, Known
from domain.builtin import HEARTBEAT
from domain.events import TERMINAL_EVENTS, StepScheduled, WorkflowStarted
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.store.recorder import EVENTS, SNAPSHOTS
from producers.relay import RELAY
from projections.schema import POSITION, SHADOW_PREFIX

KEPT: Final = timedelta(days=1)
BATCH: Final = 100
"""Heartbeats that are removed in one transaction at most."""

_EVENTS: Final = (EVENTS, SNAPSHOTS)
_ROOMS: Final = ("workflow_keys", "timers", "relay_parked", "approvals_pending", "replay_mismatches")
_VIEWS: Final = tuple(
    f"{prefix}{table}"
    for prefix in ("", SHADOW_PREFIX)
    for table in ("steps", "waits", "attempts", "parked_views", "workflows")
)


class _Left(Enum):
    """Why one is not removed."""

    NOT_THERE = "it never began"
    STAYS = "it has not ended, or not long ago, or somebody who follows the log has not come past it"


@dataclass(frozen=True, slots=True)
class _Removable:
    """One heartbeat: its id, the digest of its last event, and the ids of its rows in the inbox."""

    workflow_id: str
    head: str
    messages: frozenset[str]

    def run(self, cursor: Cursor) -> None:
        """Remove every row of it."""
        for prefix in ("", SHADOW_PREFIX):
            for counted in cursor.query(
                f"SELECT definition, status, coalesce(stuck_cause, '') FROM {prefix}workflows WHERE workflow_id = ?",  # noqa: S608
                (self.workflow_id,),
            ):
                cursor.execute(
                    f"UPDATE {prefix}tallies SET number = number - 1 "  # noqa: S608 - names of ours
                    "WHERE definition = ? AND status = ? AND cause = ?",
                    counted,
                )
        for table in _EVENTS:
            cursor.execute(f"DELETE FROM {table} WHERE originator_id = ?", (self.workflow_id,))  # noqa: S608
        for table in (*_ROOMS, *_VIEWS):
            cursor.execute(f"DELETE FROM {table} WHERE workflow_id = ?", (self.workflow_id,))  # noqa: S608
        cursor.executemany(
            "DELETE FROM inbox WHERE message_id = ? AND workflow_id = ?",
            [(message, self.workflow_id) for message in sorted(self.messages)],
        )


def prune(store: WorkflowStore, known: Known, now: datetime) -> Known:
    """Remove all that may be; the row as it is then. Raises FenceMissed where somebody else does, and StoreError."""
    while True:
        fact = known.fact
        upto, removable = fact.pruned, list[_Removable]()
        # The last that was sent is never looked at: whether the next one may be sent hangs on it.
        for number in range(fact.pruned + 1, min(fact.number, fact.pruned + 1 + BATCH)):
            found = _look(store, fact.workflow_id(number), now - KEPT)
            if found is _Left.STAYS:
                break
            upto = number
            if isinstance(found, _Removable):
                removable.append(found)
        if upto == fact.pruned:
            return known
        change = ChangeFact(known, fact.without(upto, [(one.workflow_id, one.head) for one in removable]))
        store.run(change, *removable)
        known = change.known


def _look(store: WorkflowStore, workflow_id: str, before: datetime) -> _Removable | _Left:
    if not store.exists(workflow_id):
        return _Left.NOT_THERE
    events = store.read(workflow_id)
    if not (_is_heartbeat(events) and events[-1].timestamp <= before and _is_passed(store, workflow_id)):
        return _Left.STAYS
    messages = {one.cause for one in events}
    messages |= {one.event.message_id for one in events if isinstance(one.event, StepScheduled)}
    return _Removable(workflow_id, events[-1].digest, frozenset(messages))


def _is_heartbeat(events: Sequence[RecordedEvent]) -> bool:
    """Whether this is the history of a heartbeat that has ended."""
    first = events[0].event
    begun = isinstance(first, WorkflowStarted) and first.definition == HEARTBEAT and first.parent_workflow is None
    return begun and any(isinstance(one.event, TERMINAL_EVENTS) for one in events)


def _is_passed(store: WorkflowStore, workflow_id: str) -> bool:
    """Whether the relay and the views are past every event of it."""
    rows = store.query(
        "SELECT count(*) FROM positions WHERE name IN (?, ?) "
        "AND position >= (SELECT max(id) FROM stored_events WHERE originator_id = ?)",
        (RELAY, POSITION, workflow_id),
    )
    return bool(rows[0][0] == len((RELAY, POSITION)))
