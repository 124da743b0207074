"""A workflow's history as the store has it, the parts that cannot be read included, held against its digests.

One consistent view of the store, whoever writes meanwhile. What is wrong with the record is a finding, not an error:
the first event that does not fit the chain (`Break`), and each event that cannot be decoded (`Unreadable`). Payloads
that are withheld are no such finding: header and digests are there, and are held against the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from domain.chain import GENESIS, REDACTED, link, payload_digest
from domain.errors import EventCorrupt, EventUnknown, PayloadWithheld, StoreError
from domain.ports import Cursor
from domain.recorded import RecordedEvent, instant_in, redactable_of
from domain.store.covers import Erasure, erasures_of
from domain.store.mapper import are_bytes
from domain.store.positions import position_of
from domain.store.recorder import key_of
from projections.schema import POSITION as VIEWS
from projections.withheld import ENDINGS

Decode = Callable[[str, int, str, bytes], RecordedEvent]
"""Makes an event of a row's columns: the store's mapper's `read`."""

_EVENTS: Final = (
    "SELECT originator_version, topic, state FROM stored_events WHERE originator_id = ? AND id <= ? "
    "ORDER BY originator_version"
)
_KEY: Final = "SELECT key FROM workflow_keys WHERE workflow_id = ?"
_POSITION: Final = "SELECT coalesce(max(id), 0) FROM stored_events"
_COMPLETED: Final = (
    "SELECT workflow_id FROM workflows WHERE definition = ? AND status = 'completed' AND workflow_id <> ? "
    "AND NOT EXISTS (SELECT 1 FROM parked_views WHERE parked_views.workflow_id = workflows.workflow_id) "
    "ORDER BY CASE WHEN definition_version = ? THEN 0 ELSE 1 END, ended_at DESC, workflow_id DESC LIMIT ? OFFSET ?"
)
_FIRST: Final = (
    "SELECT originator_version, topic, state FROM stored_events WHERE originator_id = ? AND originator_version = 1"
)
RUNS_A_PAGE: Final = 20
PAGES_LOOKED_AT: Final = 20
"""So far back is gone at most for a run that tells something."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that cannot be decoded: what its row and its header still say, and why."""

    version: int
    name: str
    why: str
    newer: bool
    """Whether a newer version of Handrail wrote it; else it is damaged."""
    at: datetime | None = None
    cause: str = ""
    actor: str = ""
    decision: int | None = None
    withheld: bool = False
    """Whether its payload is not to be had any more, on purpose; then the digests are known."""
    previous: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the record does not fit its digests: from there on it may have been changed."""

    version: int
    words: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How often the views counted failures of a fingerprint besides those of one workflow, the first and the last.

    `upto` is the position of the log that the views had come to.
    """

    fingerprint: str
    count: int
    first_seen: str
    last_seen: str
    upto: int


Entry = RecordedEvent | Unreadable

_CUT: Final = f'{{"{REDACTED}":"'.encode()
"""What stands for a value that was cut out begins so, in canonical JSON."""


@dataclass(frozen=True, slots=True)
class History:
    """One workflow's events, oldest first, as they were at a position of the log."""

    workflow_id: str
    entries: tuple[Entry, ...]
    position: int = 0
    broken: Break | None = None
    erasure: Erasure | None = None
    """Who erased it, when and why; then all its payloads are withheld."""

    @property
    def sound(self) -> tuple[RecordedEvent, ...]:
        """The events before the first that is missing or cannot be read: what can be folded."""
        found: list[RecordedEvent] = []
        for number, entry in enumerate(self.entries, start=1):
            if isinstance(entry, Unreadable) or entry.originator_version != number:
                break
            found.append(entry)
        return tuple(found)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The events that cannot be decoded, and should."""
        return tuple(entry for entry in self.entries if isinstance(entry, Unreadable) and not entry.withheld)

    @property
    def withheld(self) -> tuple[Unreadable, ...]:
        """The events whose payloads are withheld."""
        return tuple(entry for entry in self.entries if isinstance(entry, Unreadable) and entry.withheld)

    @property
    def headers(self) -> tuple[Entry, ...]:
        """The events whose headers can be believed: all, where nothing is wrong with the record, and else the sound."""
        return self.sound if self.broken is not None or self.unreadable else self.entries

    @property
    def cut(self) -> tuple[int, ...]:
        """The versions of the events that values were cut out of, before they were imported."""
        return tuple(
            entry.originator_version
            for entry in self.entries
            if isinstance(entry, RecordedEvent) and entry.salts is not None and _CUT in entry.payload
        )


def version_of(entry: Entry) -> int:
    """Number of an event within its workflow."""
    return entry.version if isinstance(entry, Unreadable) else entry.originator_version


def ending_of(entries: Sequence[Entry]) -> Entry | None:
    """The event that ended the workflow; None where none has. Its name is enough, whether or not it has its payload."""
    for entry in entries:
        if _stored_name(entry) in ENDINGS and not (isinstance(entry, Unreadable) and not entry.withheld):
            return entry
    return None


def status_by(ending: Entry | None) -> str:
    """The status that a workflow has from this event on; `unknown` where none ended it."""
    return "unknown" if ending is None else ENDINGS[_stored_name(ending)]


def _stored_name(entry: Entry) -> str:
    return entry.name.partition("@")[0]


def moment_of(entry: Entry) -> datetime | None:
    """When an event was recorded, as its header says it."""
    return entry.at if isinstance(entry, Unreadable) else entry.timestamp


def read_history(cursor: Cursor, decode: Decode, workflow_id: str, *, upto: int | None = None) -> History | None:
    """The history as the cursor's view of the store has it, or had it at a position of the log.

    None where the store does not know the workflow.
    """
    ((newest,),) = cursor.query(_POSITION)
    position = int(newest) if upto is None else upto
    keys = cursor.query(_KEY, (workflow_id,))
    rows = cursor.query(_EVENTS, (workflow_id, position))
    if not keys and not rows:
        return None
    try:
        key = key_of(workflow_id, keys[0][0]) if keys else b""
    except EventCorrupt as error:
        return replace(history_of(workflow_id, rows, decode, position=position), broken=Break(1, str(error)))
    history = history_of(workflow_id, rows, decode, key=key, position=position)
    return replace(history, erasure=_erasure(cursor, workflow_id)) if history.withheld else history


def _erasure(cursor: Cursor, workflow_id: str) -> Erasure | None:
    """What the store says of an erasure; an import says nothing of it."""
    try:
        return erasures_of(cursor.query, [workflow_id]).get(workflow_id)
    except StoreError:  # a store of an older version, opened for reading, lacks the table
        return None


def counted_elsewhere(cursor: Cursor, fingerprint: str, workflow_id: str) -> Elsewhere | None:
    """What the views have counted of a fingerprint; None where they do not know it yet."""
    made = cursor.query("SELECT number, first_seen, last_seen FROM failures WHERE fingerprint = ?", (fingerprint,))
    if not made:
        return None
    ((own,),) = cursor.query(
        "SELECT count(*) FROM attempts WHERE workflow_id = ? AND fingerprint = ?", (workflow_id, fingerprint)
    )
    if not own:  # a failure that no attempt has, such as of an input that does not fit, is its step's
        ((own,),) = cursor.query(
            "SELECT count(*) FROM steps WHERE workflow_id = ? AND fingerprint = ?", (workflow_id, fingerprint)
        )
    ((number, first_seen, last_seen),) = made
    upto = position_of(cursor, VIEWS)
    return Elsewhere(fingerprint, max(0, int(number) - int(own)), first_seen, last_seen, upto)


def last_completed(cursor: Cursor, decode: Decode, definition: str, version: str, *, besides: str) -> str | None:
    """The workflow of a definition that completed last, as the views know it; one of this version, where there is one.

    None where there is none besides the one named. One tells nothing that was erased, or cannot be read, or that the
    views could not be folded over: of so many in a row as are looked at, the one before is taken.
    """
    for page in range(PAGES_LOOKED_AT):
        rows = cursor.query(_COMPLETED, (definition, besides, version, RUNS_A_PAGE, page * RUNS_A_PAGE))
        for (name,) in rows:
            if _tells(cursor, decode, name):
                return str(name)
        if len(rows) < RUNS_A_PAGE:
            return None
    return None


def _tells(cursor: Cursor, decode: Decode, workflow_id: str) -> bool:
    """Whether the first event of a workflow can be read."""
    try:
        return any(decode(workflow_id, *row) for row in cursor.query(_FIRST, (workflow_id,)))
    except (EventCorrupt, EventUnknown, PayloadWithheld):
        return False


def history_of(
    workflow_id: str, rows: Sequence[tuple[Any, ...]], decode: Decode, *, key: bytes = b"", position: int = 0
) -> History:
    """The history that these rows (version, topic, state) hold; `key` salts the digests of redactable values."""
    numbered = (
        (_number(version, place), version, topic, state) for place, (version, topic, state) in enumerate(rows, 1)
    )
    entries = tuple(
        _entry(workflow_id, number, topic, state, decode) if number == version else _unnumbered(number, version, topic)
        for number, version, topic, state in numbered
    )
    return History(workflow_id, entries, position, _first_break(entries, key))


def _number(version: Any, place: int) -> int:
    """The number of a row, or where that is none, as SQLite lets it be, what its place would make it."""
    return version if isinstance(version, int) else place


def _unnumbered(number: int, version: Any, topic: str) -> Unreadable:
    return Unreadable(number, str(topic), f"its row has {version!r} where its number belongs", newer=False)


def _entry(workflow_id: str, version: int, topic: str, state: bytes, decode: Decode) -> Entry:
    try:
        return decode(workflow_id, version, topic, state)
    except (EventCorrupt, EventUnknown, PayloadWithheld) as error:
        return _unreadable(version, str(topic), state, error)


def _unreadable(version: int, topic: str, state: Any, error: StoreError) -> Unreadable:
    newer, withheld = isinstance(error, EventUnknown), isinstance(error, PayloadWithheld)
    stored = bytes(state) if are_bytes(state) else str(state).encode(errors="replace")
    try:
        header, digests, _ = stored.split(b"\n", 2)
        fields = from_json(header)
        at = instant_in(fields)
        said = str(fields["cause"]), str(fields["actor"]), int(fields["decision"])
        if not withheld:
            return Unreadable(version, topic, str(error), newer, at, *said)
        previous, body = digests[:64].decode(), digests[65:129].decode()
        return Unreadable(
            version, topic, str(error), newer, at, *said, withheld, previous, link(header, previous, body)
        )
    except (ValueError, KeyError, TypeError):
        return Unreadable(version, topic, str(error), newer)


def _first_break(entries: Sequence[Entry], key: bytes) -> Break | None:
    """The first event that is missing, changed or out of place."""
    previous: str | None = GENESIS
    for number, entry in enumerate(entries, start=1):
        version = version_of(entry)
        if version != number:
            return Break(number, f"event {number} is missing")
        if isinstance(entry, Unreadable) and not entry.withheld:
            if not entry.newer:
                return Break(number, f"event {number} is damaged")
            previous = None  # what follows a shape that is not known here cannot be held against it
            continue
        if previous is not None and entry.previous != previous:
            return _misfit(entries, number)
        if isinstance(entry, Unreadable):
            previous = entry.digest
            continue
        salted = entry.key(key)
        digest = payload_digest(entry.payload, redactable=redactable_of(entry.event), key=salted, version=number)
        if digest != entry.payload_digest:
            return Break(number, f"the payload of event {number} was changed")
        previous = entry.digest
    return None


def _misfit(entries: Sequence[Entry], number: int) -> Break:
    """An event does not follow the one before it: which of the two was changed, as far as the next one tells."""
    entry = entries[number - 1]
    following = entries[number] if number < len(entries) else None
    if following is not None and entry.digest and following.digest:
        if following.previous == entry.digest:
            return Break(number - 1, f"the header or the digests of event {number - 1} were changed")
        return Break(number, f"the header or the digests of event {number} were changed")
    return Break(number - 1, f"event {number} does not follow event {number - 1}: one of the two was changed")
