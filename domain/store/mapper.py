"""Between an event of ours and a row of the library's: pydantic's JSON, encoded once, when the event was decided.

The topic column holds the stored name and version, never a class path: nothing is imported because a row says so. A
compressor or cipher set for the library covers the payload only, and so do the keys of workflows (`covers`); header and
digests stay clear beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent

from domain.errors import EventCorrupt, PayloadWithheld, StoreError
from domain.recorded import RecordedEvent, from_state, left_out, to_state
from domain.store.covers import Covers

_PARTS_BEFORE_PAYLOAD: Final = 2
_LINE: Final = b"\n"


class EventRow(NamedTuple):
    """One stored event, as its columns."""

    workflow_id: str
    version: int
    topic: str
    state: bytes


class EventMapper(Mapper[str]):
    """RecordedEvent to StoredEvent and back."""

    covers: Covers | None = None
    """Set where each workflow's payloads are covered with a key of its own."""
    imported: bool = False
    """Whether the store was imported: then payloads may be withheld, and events have their salts beside them."""

    def to_row(self, recorded: RecordedEvent) -> EventRow:
        """The row of an event."""
        state = to_state(recorded)
        if self.compressor is not None or self.cipher is not None:
            state = self._covered(state)
        if self.covers is not None:
            state = _with_key(self.covers.cover, recorded.originator_id, recorded.originator_version, state)
        return EventRow(recorded.originator_id, recorded.originator_version, recorded.name, state)

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The row of an event, as the library's object; raises StoreError for anything but a RecordedEvent."""
        return StoredEvent(*self.to_row(recorded_event(domain_event)))

    def to_domain_event(self, stored_event: StoredEvent) -> RecordedEvent:
        """The event of a row; raises EventCorrupt or EventUnknown, naming it."""
        return self.read(
            str(stored_event.originator_id), stored_event.originator_version, stored_event.topic, stored_event.state
        )

    def read(self, workflow_id: str, version: int, topic: str, state: bytes) -> RecordedEvent:
        """The event of a row's columns; raises EventCorrupt, PayloadWithheld or EventUnknown, naming it."""
        return from_state(workflow_id, version, topic, self.clear(workflow_id, version, state), imported=self.imported)

    def clear(self, workflow_id: str, version: int, state: bytes) -> bytes:
        """Header, digests and payload as they were first encoded; raises EventCorrupt or PayloadWithheld, naming it."""
        if not are_bytes(state):
            raise EventCorrupt(
                f"workflow {workflow_id} event {version} cannot be read: its row holds a text or a number where bytes "
                "belong; restore the store from a backup"
            )
        if self.imported and left_out(state):
            words = f"workflow {workflow_id} event {version}: its payload was left out of the export that was imported"
            raise PayloadWithheld(words, workflow_id=workflow_id, version=version)
        if self.covers is not None:
            state = _with_key(self.covers.uncover, workflow_id, version, bytes(state))
        if self.compressor is not None or self.cipher is not None:
            return self._uncovered(workflow_id, version, state)
        return state

    def expect(self, workflow_ids: Iterable[str]) -> None:
        """Have at hand what reading events of these workflows takes: one query instead of one for each."""
        if self.covers is not None:
            self.covers.expect(workflow_ids)

    def _covered(self, state: bytes) -> bytes:
        header, digests, payload = state.split(_LINE, _PARTS_BEFORE_PAYLOAD)
        if self.compressor is not None:
            payload = self.compressor.compress(payload)
        if self.cipher is not None:
            payload = self.cipher.encrypt(payload)
        return _LINE.join((header, digests, payload))

    def _uncovered(self, workflow_id: str, version: int, state: bytes) -> bytes:
        try:
            header, digests, payload = state.split(_LINE, _PARTS_BEFORE_PAYLOAD)
            if self.cipher is not None:
                payload = self.cipher.decrypt(payload)
            if self.compressor is not None:
                payload = self.compressor.decompress(payload)
        except Exception as error:  # ciphers and compressors raise what they like
            raise EventCorrupt(
                f"workflow {workflow_id} event {version} cannot be uncovered: {error}; check the store's cipher key"
            ) from error
        return _LINE.join((header, digests, payload))


def are_bytes(state: Any) -> bool:
    """Whether a state column holds what belongs there: SQLite takes a text or a number as well."""
    return isinstance(state, bytes | bytearray | memoryview)


def _with_key(change: Callable[[str, int, bytes, bytes], bytes], workflow_id: str, version: int, state: bytes) -> bytes:
    """The state with its payload changed; header and digests are what the change is about."""
    parts = state.split(_LINE, _PARTS_BEFORE_PAYLOAD)
    if len(parts) <= _PARTS_BEFORE_PAYLOAD:
        raise EventCorrupt(f"workflow {workflow_id} event {version} is no event; restore the store from a backup")
    about = parts[0] + _LINE + parts[1]
    return about + _LINE + change(workflow_id, version, about, parts[2])


def recorded_event(event: DomainEventProtocol[str]) -> RecordedEvent:
    """The event itself; raises StoreError where it is of another kind."""
    if not isinstance(event, RecordedEvent):
        raise StoreError(f"{type(event).__name__} is not an event of a workflow; record it first")
    return event


def event_mapper() -> EventMapper:
    """A mapper without compressor and cipher. The transcoder is the library's, and never used."""
    return EventMapper(JSONTranscoder())
