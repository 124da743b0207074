"""Snapshots: the folded state of a workflow, so that loading it does not begin at its first event.

A snapshot is a convenience: it may be lost, and one that this version would fold otherwise is passed over. Its topic
therefore names the engine and the shape of the state it was folded by. The next one is taken when the events since the
last outnumber the state's own size, so that taking them costs a constant share of each event, however long the
workflow becomes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from domain.ports import Cursor
from domain.recorded import ENGINE
from domain.state import STATE, State
from domain.store.covers import Covers
from domain.store.recorder import SNAPSHOTS, Shelved

EVENTS_AT_LEAST: Final = 200
"""So many events are folded in about the time that it takes to read a snapshot."""

SnapshotRow = tuple[str, int, str, bytes]


@functools.cache
def snapshot_topic() -> str:
    """What a snapshot of this version is called: it changes with the engine and with the shape of the state."""
    shape = hashlib.sha256(json.dumps(STATE.json_schema(), sort_keys=True).encode()).hexdigest()
    return f"State@{ENGINE}.{shape[:16]}"


def is_due(state: State, snapshot_version: int) -> bool:
    """Whether a snapshot is worth its cost now."""
    since = state.version - snapshot_version
    return since > EVENTS_AT_LEAST and since > state.size


def take(state: State, covers: Covers | None = None) -> SnapshotRow:
    """The row of a snapshot of this state."""
    topic, dumped = snapshot_topic(), STATE.dump_json(state)
    if covers is not None:
        dumped = covers.cover_snapshot(state.workflow_id, state.version, topic, dumped)
    return state.workflow_id, state.version, topic, dumped


def fold_from(shelved: Shelved, covers: Covers | None = None) -> State | None:
    """The state of a workflow's snapshot, or None where there is none that this version can go on from."""
    if shelved.snapshot is None or shelved.snapshot_topic != snapshot_topic():
        return None
    snapshot = shelved.snapshot
    if covers is not None:
        uncovered = covers.uncover_snapshot(
            shelved.workflow_id, shelved.snapshot_version, shelved.snapshot_topic, bytes(snapshot)
        )
        if uncovered is None:
            return None
        snapshot = uncovered
    try:
        state = STATE.validate_json(snapshot)
    except ValidationError:
        return None
    if (state.workflow_id, state.version) != (shelved.workflow_id, shelved.snapshot_version):
        return None
    return state


class PutSnapshots:
    """Statements to run along: these snapshots take the place of older ones."""

    def __init__(self, rows: Sequence[SnapshotRow]) -> None:
        """One row a workflow."""
        self._rows = rows

    def run(self, cursor: Cursor) -> None:
        """Write the rows."""
        cursor.executemany(
            f"INSERT INTO {SNAPSHOTS} (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (originator_id, originator_version) DO UPDATE "
            "SET topic = excluded.topic, state = excluded.state",
            self._rows,
        )
        cursor.executemany(
            f"DELETE FROM {SNAPSHOTS} WHERE originator_id = ? AND originator_version < ?",
            [(workflow_id, version) for workflow_id, version, _, _ in self._rows],
        )
