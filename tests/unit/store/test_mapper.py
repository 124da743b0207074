"""The mapper: the bytes that were decided are the bytes that are stored, whatever covers the payload."""

import zlib

import pytest
from eventsourcing.persistence import Cipher, Compressor, JSONTranscoder, StoredEvent
from eventsourcing.utils import Environment

from domain.chain import GENESIS
from domain.errors import EventCorrupt, EventUnknown, StoreError
from domain.events import StepSucceeded
from domain.recorded import RecordedEvent, record, stamp, to_state
from domain.store.mapper import EventMapper, event_mapper
from tests.contracts.stage import BEGINNING


class Reversed(Cipher):
    def __init__(self, environment: Environment) -> None:
        pass

    def encrypt(self, plaintext: bytes) -> bytes:
        return plaintext[::-1]

    def decrypt(self, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


class Squeezed(Compressor):
    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decompress(self, data: bytes) -> bytes:
        return zlib.decompress(data)


def covered() -> EventMapper:
    return EventMapper(JSONTranscoder(), compressor=Squeezed(), cipher=Reversed(Environment()))


@pytest.fixture
def event() -> RecordedEvent:
    output = {"text": "line\nline", "many": [1, 2.5, None, "ü"]}
    return record(
        StepSucceeded(step="s", attempt=1, output=output), stamp("wf_1", BEGINNING, "c", "ann", 1), 1, GENESIS
    )


def test_an_event_comes_back_as_it_was(event: RecordedEvent) -> None:
    mapper = event_mapper()
    stored = mapper.to_stored_event(event)
    assert (stored.originator_id, stored.originator_version, stored.topic) == ("wf_1", 1, "StepSucceeded")
    assert stored.state == to_state(event)
    assert mapper.to_domain_event(stored) == event
    assert mapper.read(*mapper.to_row(event)) == event


def test_only_the_payload_is_covered(event: RecordedEvent) -> None:
    mapper = covered()
    row = mapper.to_row(event)
    assert event.payload not in row.state
    assert row.state.startswith(event.header)
    assert event.payload_digest.encode() in row.state
    assert mapper.read(*row) == event


def test_what_cannot_be_uncovered_is_named(event: RecordedEvent) -> None:
    row = event_mapper().to_row(event)
    with pytest.raises(EventCorrupt, match="wf_1 event 1 cannot be uncovered"):
        covered().read(*row)


def test_a_row_of_an_unknown_name_is_refused(event: RecordedEvent) -> None:
    row = event_mapper().to_row(event)
    with pytest.raises(EventCorrupt, match="wf_1"):
        event_mapper().read(row.workflow_id, row.version, "os:system", row.state)
    header = event.header.replace(b'"StepSucceeded"', b'"SomethingNew"')
    state = row.state.replace(event.header, header)
    with pytest.raises(EventUnknown, match="SomethingNew"):
        event_mapper().read(row.workflow_id, row.version, "SomethingNew", state)


def test_nothing_but_events_of_workflows_is_stored() -> None:
    with pytest.raises(StoreError, match="StoredEvent"):
        event_mapper().to_stored_event(StoredEvent("a", 1, "T", b""))  # type: ignore[arg-type]
