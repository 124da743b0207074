"""The store's one door: an application of the eventsourcing library whose aggregates are workflows.

Loading, deciding and saving go through the library's recorder, mapper and `save`; what is ours is that whole turns are
saved at once, that statements of other rooms run along in the events' transaction, and that workflows are held in
memory without being copied. Errors are those of `domain.errors`, whatever the database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from eventsourcing.application import Application
from eventsourcing.domain import DomainEventProtocol, MutableOrImmutableAggregate
from eventsourcing.persistence import Mapper, Recording
from eventsourcing.utils import Environment, EnvType, strtobool

from domain.errors import StoreError, StoreUnavailable
from domain.ids import local_workflow_id
from domain.ports import Along, Aside, Companion, Cursor, Decided, Definitions, Notification, OpenCommands, Request
from domain.recorded import RecordedEvent, verify
from domain.state import State
from domain.store.aside import AT_ONCE, Sayings, inline
from domain.store.covering import cover_store
from domain.store.covers import CLEAR, Covers, Texts
from domain.store.deciding import TurnDecider
from domain.store.epochs import read_epoch
from domain.store.events import WorkflowEvents
from domain.store.imported import IMPORTED_FACT, imported_of
from domain.store.log import BUFFERED, POLL, Log, LogFollower, ReadableLog, Unreadable
from domain.store.mapper import EventMapper
from domain.store.recorder import StoreRecorder
from domain.store.shelf import WORKFLOWS_HELD, Shelf
from domain.store.tombstones import lacking, tombstones_of
from domain.store.trouble import DRIVERS, trouble

_LOCAL_NUMBERS: Final = "local_workflows"
_REFUSED_SETTING: Final = "POSTGRES_ENABLE_DB_FUNCTIONS"


class WorkflowStore(Application[str]):
    """Workflows by id: decided in turns, read, followed, backed up.

    `companions` bring what must be true together with a turn's events; `open_commands` says which commands nobody has
    claimed; `schema` is the DDL of the rooms' tables. All three may be set before the first turn.
    """

    name = "Handrail"
    mapper: EventMapper
    recorder: StoreRecorder
    aside: Aside = staticmethod(inline)
    """Where followers read, and whoever else asks the store for the event loop's sake."""
    poll: timedelta = POLL
    """How often a follower asks whether others have added to the log, where nobody tells it."""
    sayings: Sayings = AT_ONCE
    """How what became true is said to followers and companions."""
    texts: Texts = CLEAR
    """How texts outside of events are kept."""

    def __init__(  # noqa: PLR0913 - settings of a store, each with its default
        self,
        env: Mapping[str, str],
        *,
        definitions: Definitions,
        schema: Sequence[str] = (),
        companions: Sequence[Companion] = (),
        open_commands: OpenCommands | None = None,
        workflows_held: int = WORKFLOWS_HELD,
        restoring: bool = False,
        covers: Covers | None = None,
        enabling: bool = False,
    ) -> None:
        """Open the store that the library's settings in `env` name, and create what is missing of its tables.

        Raises StoreUnavailable or StoreNewer. One whose restore has not ended is opened only for `restoring` it; one
        whose payloads are covered only with its `covers`, and one with workflows in clear with them for `enabling`.
        """
        self.followers: list[LogFollower] = []
        self.hearers: list[Callable[[], None]] = []
        """Called on the event loop whenever something was, or may have been, added to the log."""
        try:
            super().__init__(dict(env))
        except DRIVERS as error:
            raise trouble(error, env.get("SQLITE_DBNAME", "of these settings")) from error
        self.recorder.prepare(schema)
        with self.recorder.reading() as cursor:
            self.epoch = read_epoch(cursor)
            self.imported = imported_of(cursor.query(IMPORTED_FACT))
        self.mapper.imported = self.imported is not None
        cover_store(self, covers, enabling=enabling)
        if not restoring:
            self.epoch.check_finished(self.recorder.place)
        self.shelf = Shelf(self.recorder, self.mapper, capacity=workflows_held)
        self.deciding = TurnDecider(self, self.shelf, definitions, companions, open_commands)

    # --- how the library is put together ----------------------------------------------------------------------------

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        """Take the settings as given: the library would let any variable of the process's environment override them."""
        settings = dict(env or {})
        for source in (settings, os.environ):
            if strtobool(source.get(_REFUSED_SETTING) or "no"):
                raise StoreUnavailable(
                    f"{_REFUSED_SETTING} makes the log skip events and leaves out what is saved along; unset it"
                )
        return Environment(name, settings)

    def construct_mapper(self) -> Mapper[str]:
        """Our mapper, with the compressor and cipher of the settings."""
        return self.factory.mapper(transcoder=self.construct_transcoder(), mapper_class=EventMapper)

    def construct_event_store(self) -> WorkflowEvents:
        """Our event store, which tells the followers of what it has put."""
        return WorkflowEvents(self.mapper, self.recorder, self._tell)

    def save(
        self, *objs: MutableOrImmutableAggregate[str] | DomainEventProtocol[str] | None, **kwargs: Any
    ) -> list[Recording[str]]:
        """Save pending events, with `along=[…]` in the same transaction, and tell the followers.

        Raises VersionConflict, FenceMissed or StoreUnavailable; then nothing of it is in the store.
        """
        try:
            return super().save(*objs, **kwargs)
        except DRIVERS as error:
            raise trouble(error, self.recorder.place) from error

    def _tell(self, notifications: Sequence[Notification]) -> None:
        if self.followers or self.hearers:
            self.sayings.say(lambda: self._offer(notifications))

    def _offer(self, notifications: Sequence[Notification]) -> None:
        for follower in self.followers:
            follower.offer(notifications)
        for hear in self.hearers:
            hear()

    def look_again(self) -> None:
        """Have the followers read the log: something may be in it that they were not told of."""
        self.sayings.say(self._look_again)

    def _look_again(self) -> None:
        for follower in self.followers:
            follower.look_again()
        for hear in self.hearers:
            hear()

    def look_every(self, poll: timedelta) -> None:
        """Have followers that were given no time of their own ask so often whether others have added to the log."""
        self.poll = poll
        for follower in self.followers:
            follower.poll_by_default(poll)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def decide_turn(self, requests: Sequence[Request], sayings: Sayings = AT_ONCE) -> list[Decided]:
        """Load, decide and save; what became of each request, in their order. One turn after the other.

        An error of one request is in its `Decided.error`, and the others go on. Raises StoreUnavailable where the
        store cannot be read or written: then nothing of the turn is in it. In a thread, `sayings` leads to the loop.
        """
        self.sayings = sayings
        try:
            return self.deciding.decide_turn(requests)
        finally:
            self.sayings = AT_ONCE

    def next_local_number(self) -> int:
        """A number whose local id no workflow has, and that nobody is given again."""
        while True:
            with self.recorder.transaction() as cursor:
                ((number,),) = cursor.query(
                    "INSERT INTO counters (name, value) VALUES (?, 1) "
                    "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
                    (_LOCAL_NUMBERS,),
                )
            name = local_workflow_id(number)
            if not (self.exists(name) or tombstones_of(self.query, [name])):
                return int(number)

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self, workflow_id: str, *, upto: int | None = None, verified: bool = False) -> list[RecordedEvent]:
        """A workflow's events, oldest first, up to a version; `verified` holds them against their chain of digests.

        Raises WorkflowUnknown, EventCorrupt or EventUnknown.
        """
        shelved = self.recorder.select_shelved([workflow_id]).get(workflow_id)
        if shelved is None:
            raise lacking(self.query, workflow_id)
        if self.mapper.covers is not None:
            self.mapper.covers.learn(workflow_id, shelved.wrapped)
        rows = self.recorder.select_since({workflow_id: 0}).get(workflow_id, [])
        events = [self.mapper.read(*row) for row in (rows if upto is None else rows[:upto])]
        if verified:
            verify(events, key=shelved.key)
        return events

    def load(self, workflow_id: str, *, upto: int | None = None) -> State:
        """A workflow's state, the caller's own, as it is or as it was at a version.

        Raises WorkflowUnknown, EventCorrupt or EventUnknown.
        """
        workflow = self.shelf.fold(workflow_id, upto=upto)
        if workflow is None or workflow.version == 0:
            raise lacking(self.query, workflow_id)
        return workflow.state

    def exists(self, workflow_id: str) -> bool:
        """Whether the store has the workflow."""
        return bool(self.recorder.select_shelved([workflow_id]))

    def workflow_ids(self, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Up to `limit` ids behind `after`, in their order."""
        rows = self.query(
            "SELECT workflow_id FROM workflow_keys WHERE workflow_id > ? ORDER BY workflow_id LIMIT ?", (after, limit)
        )
        return [workflow_id for (workflow_id,) in rows]

    # --- the log ----------------------------------------------------------------------------------------------------

    def select(self, after: int, limit: int) -> list[Notification]:
        """Up to `limit` events behind the position `after`, without those of erased workflows.

        Raises EventCorrupt or EventUnknown.
        """
        if self.mapper.covers is not None:
            return ReadableLog(self.recorder, self.mapper, _raise).select(after, limit)
        return [
            Notification(position, self.mapper.read(*row)) for position, row in self.recorder.select_log(after, limit)
        ]

    def newest(self) -> int:
        """Position of the newest event, or 0."""
        return self.recorder.max_notification_id() or 0

    def data_version(self) -> int:
        """Changes whenever another process has committed."""
        return self.recorder.data_version()

    def follow(
        self,
        after: int,
        *,
        poll: timedelta | None = None,
        buffered: int = BUFFERED,
        unreadable: Unreadable | None = None,
        others_only: bool = False,
    ) -> LogFollower:
        """A follower of the log from a position; it hears of this process's events as they are saved.

        It stops with EventCorrupt or EventUnknown at an event that cannot be read; with `unreadable`, that is told of
        such an event instead, and the follower passes it over. `others_only` is for one who hears otherwise of what
        this process saves.
        """
        log: Log = self if unreadable is None else ReadableLog(self.recorder, self.mapper, unreadable)
        follower = LogFollower(log, after, poll=poll, buffered=buffered, others_only=others_only, aside=self.aside)
        follower.poll_by_default(self.poll)
        self.followers.append(follower)
        return follower

    def unfollow(self, follower: LogFollower) -> None:
        """Let a follower hear of nothing more."""
        if follower in self.followers:
            self.followers.remove(follower)

    # --- what the other rooms need ----------------------------------------------------------------------------------

    def transaction(self, point: str = "commit") -> AbstractContextManager[Cursor]:
        """A transaction of a room's own; `point` is the family of fault points around its commit."""
        return self.recorder.transaction(point)

    def change(
        self, statement: str, parameters: Callable[[float], Sequence[Any]], point: str = "commit"
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement that writes, in a transaction of its own."""
        return self.recorder.change(statement, parameters, point)

    def tell(self, cursor: Cursor) -> None:
        """Have other processes' followers and hearers look again when the cursor's transaction is committed."""
        self.recorder.tell(cursor)

    def reading(self) -> AbstractContextManager[Cursor]:
        """A consistent view for reading."""
        return self.recorder.reading()

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT."""
        return self.recorder.query(statement, parameters)

    def run(self, *along: Along, point: str = "commit") -> None:
        """Run statements in a transaction of their own."""
        with self.recorder.transaction(point) as cursor:
            for each in along:
                each.run(cursor)

    def backup(self, target: Path) -> None:
        """Write a consistent copy while others write; may be called in a thread.

        Raises InputInvalid where there is something at `target`, StoreUnavailable where it cannot be written.
        """
        self.recorder.backup(target)

    def close(self) -> None:
        """Close the store; followers end."""
        for follower in self.followers:
            follower.close()
        super().close()


def _raise(_position: int, _workflow_id: str, error: StoreError) -> None:
    raise error
