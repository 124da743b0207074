"""The shelf: the workflows that this process holds in memory, brought up to the store's newest version when taken.

Taking a workflow takes it off the shelf; only `keep`, after its decision is in the store, puts it back. So whatever
goes wrong between the two leaves nothing of it in memory, and the next to ask folds it anew from the store.

The cold ones of a turn are loaded with two queries (keys with snapshots, then events), those that others may have
gone on with meanwhile are in the second query too. While nobody else has committed to the database there is no query.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import EventCorrupt, StoreError, StoreUnavailable
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.covers import NONE, Covers
from domain.store.mapper import EventMapper, EventRow
from domain.store.recorder import Shelved, StoreRecorder
from domain.store.snapshots import fold_from
from domain.workflow import Workflow

WORKFLOWS_HELD: Final = 2_048
"""How many workflows stay in memory, by default. One of a few steps takes about 10 KB."""

_KEY_BYTES: Final = 32


@dataclass(slots=True)
class Held:
    """A workflow in memory. `seen` is the store's data version at which it was known to be the newest."""

    workflow: Workflow
    seen: int
    snapshot_version: int = 0


class NewKeys:
    """Statements to run along: the keys of workflows that begin with this transaction."""

    def __init__(self, workflows: Sequence[Workflow], covers: Covers | None = None) -> None:
        """The workflows whose first event is being saved; with `covers`, keys that cover their payloads too."""
        self._rows: list[tuple[str | int | None, ...]] = [
            (one.id, one.key.hex(), *(NONE if covers is None else covers.begin(one.id))) for one in workflows
        ]

    def run(self, cursor: Cursor) -> None:
        """Write the rows."""
        cursor.executemany(
            "INSERT INTO workflow_keys (workflow_id, key, key_id, wrapped, clear_upto) VALUES (?, ?, ?, ?, ?)",
            self._rows,
        )


class Shelf:
    """Workflows by id, the least recently used given up first."""

    def __init__(self, recorder: StoreRecorder, mapper: EventMapper, *, capacity: int = WORKFLOWS_HELD) -> None:
        """`capacity` is how many workflows are kept between turns."""
        self._recorder = recorder
        self._mapper = mapper
        self._capacity = capacity
        self._held: OrderedDict[str, Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, workflow_ids: Iterable[str]) -> dict[str, Held | StoreError]:
        """The workflows in their newest version; one at version 0 for an id that the store does not have.

        A workflow whose events cannot be read has its error instead. Raises StoreUnavailable.
        """
        # Read before the events are: what is committed in between is then looked for once too often, never too seldom.
        seen = self._recorder.version_to_decide_on()
        taken: dict[str, Held | StoreError] = {}
        wanted: dict[str, int] = {}
        cold: list[str] = []
        for workflow_id in workflow_ids:
            if workflow_id in taken:
                continue
            held = self._held.pop(workflow_id, None)
            if held is None:
                cold.append(workflow_id)
                continue
            taken[workflow_id] = held
            if held.seen != seen:
                held.seen = seen
                wanted[workflow_id] = held.workflow.version
        covers = self._mapper.covers
        if covers is not None and taken:
            covers.keep(taken)
        shelved = self._recorder.select_shelved(cold) if cold else {}
        for workflow_id in cold:
            found = shelved.get(workflow_id)
            held = taken[workflow_id] = self._begun(workflow_id, found, seen)
            if found is not None:
                wanted[workflow_id] = held.workflow.version
        if wanted:
            self._go_on(taken, self._recorder.select_since(wanted), shelved)
        return taken

    def keep(self, held: Iterable[Held]) -> None:
        """Put workflows back whose decisions are in the store; those that are over will hardly be asked for again."""
        for one in held:
            state = one.workflow.state
            if state.version > 0 and state.ended is None:
                self._held[state.workflow_id] = one
        while len(self._held) > self._capacity:
            self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: the next to ask reads the store."""
        self._held.clear()

    def fold(self, workflow_id: str, *, upto: int | None = None) -> Workflow | None:
        """A workflow of the caller's own, folded from the store; from its first event on where `upto` is given."""
        shelved = self._recorder.select_shelved([workflow_id]).get(workflow_id)
        if shelved is None:
            return None
        if upto is not None:
            shelved = Shelved(workflow_id, shelved.key)
        held = self._begun(workflow_id, shelved, 0)
        rows = self._recorder.select_since({workflow_id: held.workflow.version}).get(workflow_id, [])
        self._apply(held, rows if upto is None else rows[:upto], shelved)
        return held.workflow

    def _begun(self, workflow_id: str, shelved: Shelved | None, seen: int) -> Held:
        if shelved is None:
            return Held(Workflow(workflow_id, key=os.urandom(_KEY_BYTES)), seen)
        covers = self._mapper.covers
        if covers is not None:
            covers.learn(workflow_id, shelved.wrapped)
        state = fold_from(shelved, covers)
        return Held(Workflow(workflow_id, state, shelved.key), seen, 0 if state is None else state.version)

    def _go_on(
        self,
        taken: dict[str, Held | StoreError],
        since: dict[str, list[EventRow]],
        shelved: dict[str, Shelved],
    ) -> None:
        for workflow_id, rows in since.items():
            held = taken[workflow_id]
            if isinstance(held, StoreError):
                continue
            try:
                self._apply(held, rows, shelved.get(workflow_id))
            except StoreUnavailable:
                raise
            except StoreError as error:
                taken[workflow_id] = error

    def _apply(self, held: Held, rows: Sequence[EventRow], shelved: Shelved | None) -> None:
        """Fold stored events; a snapshot that they do not follow from is passed over, and all events folded."""
        try:
            for row in rows:
                self._apply_one(held.workflow, row)
        except EventCorrupt:
            if held.snapshot_version == 0 or shelved is None:
                raise
            held.workflow = Workflow(shelved.workflow_id, key=shelved.key)
            held.snapshot_version = 0
            for row in self._recorder.select_since({shelved.workflow_id: 0})[shelved.workflow_id]:
                self._apply_one(held.workflow, row)

    def _apply_one(self, workflow: Workflow, row: EventRow) -> None:
        recorded = self._mapper.read(*row)
        follows(workflow.state, recorded)
        workflow.apply(recorded)


def follows(state: State, recorded: RecordedEvent) -> None:
    """Raise EventCorrupt unless the event is the next one of the state's workflow, in number and in digest."""
    place = f"workflow {recorded.originator_id} event {recorded.originator_version}"
    if recorded.originator_version != state.version + 1:
        raise EventCorrupt(f"{place}: event {state.version + 1} is missing; restore the store from a backup")
    if recorded.previous != state.head:
        raise EventCorrupt(
            f"{place}: does not follow the event before it; one of the two was changed: restore the store from a backup"
        )
