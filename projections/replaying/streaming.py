"""The histories of a store, one after the other, in constant memory: what every check of all of them walks through.

The log is read as it was at the position where the walk began, in short views: others write meanwhile. Histories are
read many at a time, and held against their digests as they are read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeVar

from pydantic_core import from_json

from domain.builtin import is_hidden
from domain.chain import GENESIS, payload_digest
from domain.errors import EventCorrupt, EventUnknown, PayloadWithheld
from domain.ports import Cursor
from domain.recorded import RecordedEvent, instant_in, redactable_of
from domain.store.recorder import key_of
from projections.replaying.reading import Decode
from projections.replaying.verdict import definition_of

WORKFLOWS_A_PAGE: Final = 250
EVENTS_A_READ: Final = 2_000
"""So many events are read at once, or those of one workflow, or a piece of a long one."""

View = Callable[[], AbstractContextManager[Cursor]]
"""Opens a consistent view of the store: its `reading`."""


@dataclass(frozen=True, slots=True)
class Range:
    """The workflows whose ids come behind `after`, up to `upto`; None: to the last."""

    after: str = ""
    upto: str | None = None


EVERYWHERE: Final = Range()


class Walk(ABC):
    """One history, as it is read: held against its digests, cut into its decisions."""

    def __init__(self, name: str, key: bytes, decode: Decode) -> None:
        """Begin before the first event; `key` salts the digests of redactable values."""
        self.name = name
        self.definition = ("", "")
        self.events = 0
        self.sound = True
        """Whether all events so far can be read and fit their digests."""
        self.withheld = False
        """Whether it is not sound because a payload is withheld, which is no damage."""
        self.left_out = False
        """Whether the history is not asked for."""
        self.over = False
        """Whether nothing more of it is wanted."""
        self._key = key
        self._decode = decode
        self._decision: list[RecordedEvent] = []
        self._previous = GENESIS

    @abstractmethod
    def begins(self) -> bool:
        """Whether the history is asked for, now that its definition is known."""

    @abstractmethod
    def decide(self, decision: list[RecordedEvent]) -> bool:
        """Take the next decision, with all of its events; whether to go on."""

    def take(self, version: int, topic: str, state: bytes) -> None:
        """The next event."""
        try:
            recorded = self._decode(self.name, version, topic, state)
        except (EventCorrupt, EventUnknown, PayloadWithheld) as error:
            self.withheld = isinstance(error, PayloadWithheld)
            self.damaged()
            return
        if version == 1:
            self.definition = definition_of(recorded.event)
            if is_hidden(self.definition[0]) or not self.begins():
                self.left_out = self.over = True
                return
        self.events += 1
        if version != self.events or recorded.previous != self._previous or not _digest_fits(recorded, self._key):
            self.damaged()
            return
        self._previous = recorded.digest
        if self._decision and recorded.decision != self._decision[0].decision:
            self._decide()
        self._decision.append(recorded)

    def end(self) -> None:
        """There are no more events."""
        if not self.over and self._decision:
            self._decide()

    def _decide(self) -> None:
        decision, self._decision = self._decision, []
        self.over = not self.decide(decision)

    def damaged(self) -> None:
        """It is not sound, and nothing more of it is wanted."""
        self.sound, self.over = False, True


Walker = TypeVar("Walker", bound=Walk)


class Stream:
    """The histories of a store; `position` is the newest event that is read."""

    def __init__(self, view: View, decode: Decode, position: int | None = None) -> None:
        """Begin at what the log has now, or had at a position."""
        self._view = view
        self._decode = decode
        self.position = position if position is not None else self._newest()

    def _newest(self) -> int:
        with self._view() as cursor:
            ((newest,),) = cursor.query("SELECT coalesce(max(id), 0) FROM stored_events")
        return int(newest)

    def walks(
        self, begin: Callable[[str, bytes], Walker], *, first: int = 0, among: Range = EVERYWHERE
    ) -> Iterator[Walker]:
        """Walk through the workflows of a range by their ids, those with events at or behind the position `first`.

        Each is yielded at its end; it is begun with its id and key.
        """
        after = among.after
        while True:
            with self._view() as cursor:
                keys = cursor.query(
                    "SELECT workflow_id, key FROM workflow_keys WHERE workflow_id > ? ORDER BY workflow_id LIMIT ?",
                    (after, WORKFLOWS_A_PAGE),
                )
                page = [(name, key) for name, key in keys if among.upto is None or name <= among.upto]
                sizes = self._sizes(cursor, [name for name, _ in page], first)
            yield from self._page([(name, key) for name, key in page if name in sizes], sizes, begin)
            if len(page) < WORKFLOWS_A_PAGE:
                return
            after = keys[-1][0]

    def walk(self, names: Sequence[str], begin: Callable[[str, bytes], Walker]) -> Iterator[Walker]:
        """Walk through the workflows named, in this order; one that the store has not is left out."""
        for name in names:
            with self._view() as cursor:
                keys = cursor.query("SELECT workflow_id, key FROM workflow_keys WHERE workflow_id = ?", (name,))
            yield from self._batch(keys, begin)

    def ranges(self, workflows: int) -> Iterator[Range]:
        """Ranges that together hold all workflows, each about so many."""
        after = ""
        while True:
            with self._view() as cursor:
                rows = cursor.query(
                    "SELECT workflow_id FROM workflow_keys WHERE workflow_id > ? ORDER BY workflow_id LIMIT 1 OFFSET ?",
                    (after, workflows - 1),
                )
            if not rows:
                yield Range(after)
                return
            yield Range(after, rows[0][0])
            after = rows[0][0]

    def first_since(self, since: datetime) -> int:
        """The first position whose event was recorded at an instant or later: instants rise with positions, nearly."""
        low, high = 1, self.position + 1
        with self._view() as cursor:
            while low < high:
                middle = (low + high) // 2
                rows = cursor.query("SELECT id, state FROM stored_events WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
                if not rows or recorded_at(rows[0][1]) >= since:
                    high = middle
                else:
                    low = rows[0][0] + 1
        return low

    def instant(self) -> datetime | None:
        """When the newest event of all was recorded; None where there is none."""
        with self._view() as cursor:
            rows = cursor.query(
                "SELECT state FROM stored_events WHERE id <= ? ORDER BY id DESC LIMIT 1", (self.position,)
            )
        return recorded_at(rows[0][0]) if rows else None

    def _sizes(self, cursor: Cursor, names: Sequence[str], first: int) -> dict[str, int]:
        """How many events each workflow has; those are left out that have none at or behind the position `first`.

        One whose events are all gone has 0: its key was written with the first of them.
        """
        if not names:
            return {}
        rows = cursor.query(
            "SELECT originator_id, max(originator_version), max(id), min(id) FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({', '.join('?' * len(names))}) GROUP BY originator_id",
            names,
        )
        # Of a damaged SQLite file the number of an event may be a text.
        found = {
            name: (size if isinstance(size, int) else EVENTS_A_READ, newest, oldest)
            for name, size, newest, oldest in rows
        }
        sizes = {
            name: size for name, (size, newest, oldest) in found.items() if newest >= first and oldest <= self.position
        }
        return sizes if first else {**sizes, **{name: 0 for name in names if name not in found}}

    def _page(
        self, keys: Sequence[tuple[str, str]], sizes: Mapping[str, int], begin: Callable[[str, bytes], Walker]
    ) -> Iterator[Walker]:
        batch: list[tuple[str, str]] = []
        events = 0
        for name, key in keys:
            if batch and events + sizes[name] > EVENTS_A_READ:
                yield from self._batch(batch, begin)
                batch, events = [], 0
            batch.append((name, key))
            events += sizes[name]
        if batch:
            yield from self._batch(batch, begin)

    def _batch(self, keys: Sequence[tuple[Any, ...]], begin: Callable[[str, bytes], Walker]) -> Iterator[Walker]:
        walks = {name: _begun(begin, name, key) for name, key in keys}
        for name, version, topic, state in self._rows(list(walks)):
            walk = walks[name]
            if not walk.over:
                walk.take(version, topic, state)
        for walk in walks.values():
            walk.end()
            yield walk

    def _rows(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Their events in order, however many one of them has."""
        if not names:
            return
        after = ("", 0)
        marks = ", ".join("?" * len(names))
        while True:
            with self._view() as cursor:
                rows = cursor.query(
                    "SELECT originator_id, originator_version, topic, state FROM stored_events "  # noqa: S608 - marks
                    f"WHERE originator_id IN ({marks}) AND (originator_id, originator_version) > (?, ?) AND id <= ? "
                    "ORDER BY originator_id, originator_version LIMIT ?",
                    (*names, *after, self.position, EVENTS_A_READ),
                )
            yield from rows
            if len(rows) < EVENTS_A_READ:
                return
            after = (rows[-1][0], rows[-1][1])


def _begun(begin: Callable[[str, bytes], Walker], name: str, key: Any) -> Walker:
    try:
        return begin(name, key_of(name, key))
    except EventCorrupt:
        walk = begin(name, b"")
        walk.damaged()
        return walk


def recorded_at(state: Any) -> datetime:
    """When the event of a row was recorded; raises EventCorrupt."""
    try:
        header = state.partition("\n")[0] if isinstance(state, str) else bytes(state).partition(b"\n")[0]
        return instant_in(from_json(header))
    except (ValueError, KeyError, TypeError) as error:
        raise EventCorrupt(
            f"the header of an event cannot be read: {error}; restore the store from a backup"
        ) from error


def _digest_fits(recorded: RecordedEvent, key: bytes) -> bool:
    redactable = redactable_of(recorded.event)
    if not redactable:
        return sha256(recorded.payload).hexdigest() == recorded.payload_digest
    salted, version = recorded.key(key), recorded.originator_version
    digest = payload_digest(recorded.payload, redactable=redactable, key=salted, version=version)
    return digest == recorded.payload_digest
