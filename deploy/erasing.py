"""Erasing workflows: whatever was kept of their payloads goes, for good; their headers and digests stay.

Files come first, for only the events say which they are; then one transaction destroys the workflow's keys and takes
away every row that tells of its payloads. Killed anywhere, it is run again: what is gone already is passed over.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.artifacts import WORKFLOWS_FOLDER, ArtifactStore
from domain import events as e
from domain.errors import InputInvalid, Refused, StoreUnavailable, WorkflowArchived, WorkflowUnknown
from domain.faultpoints import reached
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.application import WorkflowStore
from domain.store.covers import Covers, erasures_of
from domain.store.erasing import Erase
from domain.store.tombstones import lacking, tombstones_of
from producers.relay import RELAY
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rebuilding import fence_off
from projections.retrying import fold_anew
from projections.schema import POSITION
from projections.withheld import left_of

MOST_RELATIVES: Final = 1_000
"""So many workflows a family that is erased together has at most."""


@dataclass(slots=True)
class Erased:
    """What became of one workflow, or would become. `before` says when and by whom it was erased earlier."""

    workflow_id: str
    events: int = 0
    artifacts: int = 0
    before: str = ""
    relatives: list[str] = field(default_factory=list)
    """Those that may hold data of it too and were not erased: its parent, its children, its forks and their source."""
    archived: dict[str, str] = field(default_factory=dict)
    """Its forks, or its source, that were archived and may hold data of it too: the file of each."""


class Erasing:
    """Erases workflows of one store; `folder` is where its artifacts are, `shared` says that it is no home's."""

    def __init__(self, store: WorkflowStore, folder: Path, *, by: str, reason: str, shared: bool) -> None:
        """Raises Refused for a store whose payloads are in clear: what is written there cannot be taken back."""
        if store.mapper.covers is None:
            raise Refused(
                f"the payloads of store {store.recorder.place} are in clear, and its events never change: `handrail "
                "archive` takes whole workflows out of it, `handrail export --redact` leaves data out of exports, and "
                "with a key ring (`handrail keys enable`) workflows that begin from then on can be erased"
            )
        self._store = store
        self._covers: Covers = store.mapper.covers
        self._folder = folder
        self._by = by
        self._reason = reason
        self._shared = shared

    def bring_up_to_date(self) -> None:
        """Fold what the views do not have yet: they know who is related to whom. Raises StoreUnavailable."""
        log = LogReader(self._store.recorder, self._store.mapper.read)
        catch_up(Keeper(self._store), log)

    def look(self, workflow_id: str) -> Erased:
        """What erasing would do. Raises WorkflowUnknown, or Refused for one that cannot be erased now."""
        erased = erasures_of(self._store.query, [workflow_id]).get(workflow_id)
        if erased is not None:
            return Erased(workflow_id, erased.version, before=erased.words, relatives=self._relatives([workflow_id]))
        events, _ = self._checked(workflow_id)
        return Erased(
            workflow_id,
            len(events),
            len(_artifacts(events)),
            relatives=self._relatives([workflow_id]),
            archived=self._archived(events),
        )

    def erase(self, workflow_id: str) -> Erased:
        """Erase one workflow; one that was erased before stays as it is. Raises as `look`, and FenceMissed."""
        found = self.look(workflow_id)
        if found.before:
            return found
        events, _ = self._checked(workflow_id)
        left = left_of(events)
        self._remove_files(workflow_id, _artifacts(events))
        destroy = Erase(workflow_id, len(events), by=self._by, reason=self._reason, left=left)
        self._store.recorder.overwrite_deleted()
        with self._store.transaction() as cursor:
            destroy.run(cursor)
            fence_off(cursor, workflow_id)
            self._covers.forget(workflow_id)
            self._fold_anew(cursor, workflow_id)
        self._covers.forget(workflow_id)
        self._store.look_again()
        return found

    def finish(self) -> None:
        """Have the database overwrite what was deleted, as far as it can."""
        self._store.recorder.empty_log_file()

    def family(self, workflow_ids: Sequence[str]) -> list[str]:
        """The workflows with all their relatives, but for those of which nothing is in the store any more.

        Raises Refused where they are too many.
        """
        relatives = self._relatives(workflow_ids)
        if len(workflow_ids) + len(relatives) > MOST_RELATIVES:
            raise Refused(
                f"the family of {', '.join(workflow_ids[:3])} has more than {MOST_RELATIVES:,} workflows: erase it in "
                "parts, by naming them"
            )
        return [*workflow_ids, *(name for name in relatives if self._store.exists(name))]

    # --- details ----------------------------------------------------------------------------------------------------

    def _checked(self, workflow_id: str) -> tuple[list[RecordedEvent], State]:
        if not self._store.exists(workflow_id):
            raise self._lacking(workflow_id)
        events = self._store.read(workflow_id)
        state = self._store.load(workflow_id)
        if state.ended is None:
            raise Refused(
                f"workflow {workflow_id} is {state.status.value}: only one that has ended is erased; cancel it first "
                f"(`handrail cancel {workflow_id}`)"
            )
        if state.waits:
            raise Refused(
                f"workflow {workflow_id} has ended and waits for a person all the same: `handrail show {workflow_id}` "
                "says for what; settle that first"
            )
        ((clear_upto,),) = self._store.query(
            "SELECT clear_upto FROM workflow_keys WHERE workflow_id = ?", (workflow_id,)
        )
        if clear_upto:
            raise Refused(
                f"workflow {workflow_id} began before payloads were encrypted: its events up to {clear_upto} are in "
                "clear, and events never change; `handrail archive` takes it out of the store"
            )
        self._check_passed(workflow_id, state)
        return events, state

    def _lacking(self, workflow_id: str) -> WorkflowUnknown:
        """What is said of one without events: where it was archived, its file is what holds the data."""
        said = lacking(self._store.query, workflow_id)
        if not isinstance(said, WorkflowArchived):
            return said
        return WorkflowArchived(
            f"{said}; erasing does not reach that file, which holds its payloads in clear, nor its artifacts under "
            f"{self._folder}: remove both, or keep an export of the import with --redact"
        )

    def _archived(self, events: Sequence[RecordedEvent]) -> dict[str, str]:
        """Forks and the source that are in files by now: its own events name them, the views do not any more."""
        names = [one.event.fork for one in events if isinstance(one.event, e.ForkTaken)]
        names += [one.event.source for one in events if isinstance(one.event, e.WorkflowForked)]
        found = tombstones_of(self._store.query, names)
        return {name: one.file for name, one in sorted(found.items())}

    def _check_passed(self, workflow_id: str, state: State) -> None:
        """Raise StoreUnavailable where somebody has still to hear of its end, or to write of it what it said."""
        rows = self._store.query(
            "SELECT name FROM positions WHERE name IN (?, ?) "
            "AND position >= (SELECT max(id) FROM stored_events WHERE originator_id = ?)",
            (RELAY, POSITION, workflow_id),
        )
        passed = {name for (name,) in rows}
        if RELAY not in passed and (self._shared or state.parent_workflow):
            raise StoreUnavailable(
                f"workflow {workflow_id} has events that were not sent on yet: run it again when a serving process, or "
                "`handrail resume`, has done that"
            )
        if POSITION not in passed:
            raise StoreUnavailable(
                f"workflow {workflow_id} has events that the views do not show yet: run it again when they do "
                "(`handrail projections status`)"
            )

    def _fold_anew(self, cursor: Cursor, workflow_id: str) -> None:
        """Build its view of what is left: within this transaction nothing else is to be had."""
        with _asking(self._covers, cursor):
            fold_anew(cursor, self._store.mapper.read, workflow_id, self._store.texts)

    def _relatives(self, workflow_ids: Sequence[str]) -> list[str]:
        """Parents, children, sources and forks, and theirs, as the views know them; without those given."""
        known = dict.fromkeys(workflow_ids)
        waiting = list(workflow_ids)
        while waiting and len(known) <= MOST_RELATIVES:
            name = waiting.pop()
            rows = self._store.query(
                "SELECT workflow_id, parent_workflow, forked_from FROM workflows "
                "WHERE workflow_id = ? OR parent_workflow = ? OR forked_from = ? ORDER BY workflow_id LIMIT ?",
                (name, name, name, MOST_RELATIVES + 1),
            )
            for found in (one for row in rows for one in row if one is not None):
                if found not in known:
                    known[found] = None
                    waiting.append(found)
        return [name for name in known if name not in set(workflow_ids)]

    def _remove_files(self, workflow_id: str, artifacts: Sequence[str]) -> None:
        """Remove the workflow's folder, and of its artifacts' contents those that nobody else has a link to."""
        folder = self._folder / WORKFLOWS_FOLDER / workflow_id
        try:
            reached("artifact.before")
            if folder.is_dir():
                shutil.rmtree(folder)
            reached("artifact.after")
            for digest in artifacts:
                content = ArtifactStore(self._folder).path(digest)
                with contextlib.suppress(FileNotFoundError):
                    if content.stat().st_nlink == 1:
                        content.unlink()
        except OSError as error:
            raise StoreUnavailable(
                f"{error.filename or folder} cannot be removed ({error.strerror or error}): nothing of workflow "
                f"{workflow_id} but files was erased; mend that and run it again"
            ) from error


@contextlib.contextmanager
def _asking(covers: Covers, cursor: Cursor) -> Iterator[None]:
    """Have keys asked for on a transaction that is open: elsewhere one does not see yet what it has done."""
    before, covers.query = covers.query, cursor.query
    try:
        yield
    finally:
        covers.query = before


def checked_ids(workflow_ids: Sequence[str]) -> list[str]:
    """The ids, each once. Raises InputInvalid where there are none."""
    if not workflow_ids:
        raise InputInvalid("name the workflows to erase: `handrail erase ID --by WHO --reason TEXT`")
    return list(dict.fromkeys(workflow_ids))


def _artifacts(events: Sequence[RecordedEvent]) -> list[str]:
    """The digests of what it has written."""
    return list(dict.fromkeys(one.event.digest for one in events if isinstance(one.event, e.ArtifactRecorded)))
