"""The port of the store's recorder: what SQLite and PostgreSQL each do their own way, and what both do alike.

A recorder of ours is one of the library's, with three things added: `along`, statements run in the events' own
transaction; transactions and consistent reads for the other rooms; and reading the newest events of many workflows
with one query.

`along` is a keyword argument that `Application.save` hands through to the event store and on to the recorder. That it
does is the library's private affair: its version is pinned, and a contract test holds the hook.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from eventsourcing.persistence import ApplicationRecorder, Notification

from domain.errors import EventCorrupt, StoreError, VersionConflict
from domain.ports import Along, Cursor
from domain.store.covers import NONE, Wrapped
from domain.store.mapper import EventRow

Item = TypeVar("Item")

EVENTS: Final = "stored_events"
SNAPSHOTS: Final = "stored_snapshots"
EVENT_COLUMNS: Final = "originator_id, originator_version, topic, state"
"""What an `EventRow` is read from and written to."""

# How many ids one query asks for. A few sizes, filled up with ids that match nothing, keep the number of different
# statements small, so that each stays prepared; the largest stays under SQLite's oldest limit of 999 variables.
_SIZES: Final = (1, 4, 16, 64, 256)


class Shelved(NamedTuple):
    """What the store keeps of a workflow beside its events: its key, and its newest snapshot where it has one."""

    workflow_id: str
    key: bytes
    snapshot_version: int = 0
    snapshot_topic: str = ""
    snapshot: bytes | None = None
    wrapped: Wrapped = NONE
    """The key that covers its payloads, where they are covered."""


class StoreRecorder(ApplicationRecorder):
    """What the store asks of its recorder. Errors are those of `domain.errors`, whatever the database.

    Of a recorder's bases it is the first: the library's class reads the log through its own connections.
    """

    place: str
    """Where the store is, as errors name it."""
    covered: bool = False
    """Whether workflows have keys that cover their payloads, which are then read along."""

    @property
    @abstractmethod
    def commits_begun(self) -> int:
        """How many commits were asked for so far. A save that failed before it asked is certainly not in the store."""

    @abstractmethod
    def hear_trouble(self, hear: Callable[[StoreError], None]) -> None:
        """Have every error told that a transaction or a statement ends in; it is called in whichever thread that is."""

    @abstractmethod
    def prepare(self, schema: Sequence[str]) -> None:
        """Create what is missing of the store's tables and of those handed in; writes nothing where all is there."""

    @abstractmethod
    def insert_rows(self, rows: Sequence[EventRow], *, along: Sequence[Along] = (), **kwargs: Any) -> Sequence[int]:
        """Insert events and run `along` in one transaction; the events' positions, rising.

        Raises VersionConflict where a version is taken, FenceMissed where a statement says so, StoreUnavailable; then
        nothing of it is in the store.
        """

    @abstractmethod
    def transaction(self, point: str = "commit") -> AbstractContextManager[Cursor]:
        """A transaction for writing; `point` names the fault points around its commit."""

    def change(
        self, statement: str, parameters: Callable[[float], Sequence[Any]], point: str = "commit"
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement that writes, in a transaction of its own; `parameters` are made of the clock."""
        with self.transaction(point) as cursor:
            return cursor.query(statement, parameters(cursor.now()))

    def tell(self, cursor: Cursor) -> None:
        """Have other processes look again when the cursor's transaction is committed.

        By itself a store has nobody to tell: who else has a file open looks at it.
        """

    def hold_up_inserts(self, cursor: Cursor) -> None:
        """Have nobody add to the log before the cursor's transaction is over, and see what everybody has added.

        By itself a transaction that writes does so: there is one at a time.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Cursor]:
        """A consistent view for reading."""

    @abstractmethod
    def data_version(self) -> int:
        """Changes whenever somebody else has added to the log: unchanged, the events that were read are the newest."""

    def version_to_decide_on(self) -> int:
        """The same, for deciding: it may tell of others a moment late.

        What was decided on old events fails to be saved, and is decided again.
        """
        return self.data_version()

    def select_log(self, after: int, limit: int) -> list[tuple[int, EventRow]]:
        """Up to `limit` events behind the position `after`, in the order of the log."""
        rows = self.query(f"SELECT id, {EVENT_COLUMNS} FROM {EVENTS} WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [(row[0], EventRow(*row[1:])) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The library's way of reading the log, for what the library offers on top of it."""
        conditions, parameters = list[str](), list[int | str]()
        if start is not None:
            conditions.append("id >= ?" if inclusive_of_start else "id > ?")
            parameters.append(start)
        if stop is not None:
            conditions.append("id <= ?")
            parameters.append(stop)
        if topics:
            conditions.append(f"topic IN ({', '.join('?' * len(topics))})")
            parameters.extend(topics)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self.query(f"SELECT id, {EVENT_COLUMNS} FROM {EVENTS} {where} ORDER BY id LIMIT ?", (*parameters, limit))
        return [
            Notification(id=position, originator_id=name, originator_version=version, topic=topic, state=state)
            for position, name, version, topic, state in rows
        ]

    def max_notification_id(self) -> int:
        """The newest position, or 0."""
        ((newest,),) = self.query(f"SELECT max(id) FROM {EVENTS}")
        return newest or 0

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Write a consistent copy while others write; raises InputInvalid where there is something at `target`."""

    def overwrite_deleted(self) -> None:
        """Have what is deleted from now on overwritten, where the database can do that."""

    def empty_log_file(self) -> None:
        """Have nothing of what was overwritten stay in the log file, where the database can do that."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT."""
        with self.reading() as cursor:
            return cursor.query(statement, parameters)

    def select_since(self, wanted: Mapping[str, int]) -> dict[str, list[EventRow]]:
        """Of each workflow, the events newer than the version given, oldest first; one query for all of them.

        Workflows without newer events are left out.
        """
        found: dict[str, list[EventRow]] = {}
        for chunk, size in _chunks(wanted.items()):
            values = ", ".join(["(?, CAST(? AS BIGINT))"] * size)
            parameters: list[str | int] = [part for pair in chunk for part in pair]
            parameters += ["", 0] * (size - len(chunk))
            rows = self.query(
                f"WITH wanted(workflow_id, version) AS (VALUES {values}) "
                "SELECT events.originator_id, events.originator_version, events.topic, events.state "
                f"FROM wanted CROSS JOIN {EVENTS} AS events "
                "WHERE events.originator_id = wanted.workflow_id AND events.originator_version > wanted.version",
                parameters,
            )
            for row in rows:
                found.setdefault(row[0], []).append(EventRow(*row))
        for events in found.values():
            try:
                events.sort(key=_version_of)
            except TypeError as error:  # SQLite keeps a text where a number belongs
                raise EventCorrupt(
                    f"workflow {events[0].workflow_id} has an event whose number is none; restore the store from a "
                    "backup"
                ) from error
        return found

    def select_shelved(self, workflow_ids: Iterable[str]) -> dict[str, Shelved]:
        """Key and newest snapshot of each of the workflows that the store has; one query."""
        found: dict[str, Shelved] = {}
        for chunk, size in _chunks(workflow_ids):
            # A file of an older version, opened for reading only, lacks the columns.
            wrapped = ", keys.key_id, keys.wrapped, keys.clear_upto" if self.covered else ", NULL, NULL, NULL"
            rows = self.query(
                "SELECT keys.workflow_id, keys.key, snapshots.originator_version, snapshots.topic, snapshots.state"
                f"{wrapped} "
                f"FROM workflow_keys AS keys LEFT JOIN {SNAPSHOTS} AS snapshots "
                "ON snapshots.originator_id = keys.workflow_id "
                f"WHERE keys.workflow_id IN ({', '.join('?' * size)}) ORDER BY snapshots.originator_version",
                [*chunk, *[""] * (size - len(chunk))],
            )
            for workflow_id, key, version, topic, state, *columns in rows:
                found[workflow_id] = Shelved(
                    workflow_id, key_of(workflow_id, key), version or 0, topic or "", state, Wrapped(*columns)
                )
        return found


def key_of(workflow_id: str, key: Any) -> bytes:
    """The key of a workflow, as its row has it in hexadecimal digits; raises EventCorrupt."""
    try:
        return bytes.fromhex(key)
    except (TypeError, ValueError) as error:
        raise EventCorrupt(
            f"the key of workflow {workflow_id} is damaged: its row in workflow_keys holds no hexadecimal digits; "
            "restore the store from a backup"
        ) from error


class VersionsHeld:
    """A check to run along: nothing newer than these versions is in the store."""

    def __init__(self, versions: Mapping[str, int]) -> None:
        """The version each workflow was decided on."""
        self._versions = versions

    def run(self, cursor: Cursor) -> None:
        """Raise VersionConflict where a workflow has gone on."""
        for chunk, size in _chunks(self._versions.items()):
            values = ", ".join(["(?, CAST(? AS BIGINT))"] * size)
            parameters: list[str | int] = [part for name, version in chunk for part in (name, version + 1)]
            parameters += ["", 0] * (size - len(chunk))
            rows = cursor.query(
                f"WITH wanted(workflow_id, version) AS (VALUES {values}) "
                f"SELECT events.originator_id FROM wanted CROSS JOIN {EVENTS} AS events "
                "WHERE events.originator_id = wanted.workflow_id AND events.originator_version = wanted.version",
                parameters,
            )
            if rows:
                raise VersionConflict(f"workflow {rows[0][0]} went on meanwhile; decide again on its newest version")


def _version_of(row: EventRow) -> int:
    return row.version


def _chunks(items: Iterable[Item]) -> Iterator[tuple[list[Item], int]]:
    """The items in pieces, each with the number of places that its query has."""
    rest = iter(items)
    while chunk := list(islice(rest, _SIZES[-1])):
        yield chunk, next(size for size in _SIZES if size >= len(chunk))
