"""A store's file with the views' tables, and ways to put histories into its log."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from eventsourcing.persistence import JSONTranscoder

from domain.recorded import RecordedEvent
from domain.store.mapper import EventMapper
from projections.log import LogReader
from projections.mismatches import MISMATCH_SCHEMA
from projections.schema import SCHEMA
from tests.databases import open_recorder


class Place:
    """One store file, opened by one process."""

    def __init__(self, path: Path) -> None:
        self.recorder = open_recorder(path)
        self.recorder.prepare((*SCHEMA, *MISMATCH_SCHEMA))
        self.mapper = EventMapper(JSONTranscoder())
        self.log = LogReader(self.recorder, self.mapper.read)

    def put(self, events: Iterable[RecordedEvent]) -> None:
        self.recorder.insert_events([self.mapper.to_stored_event(event) for event in events])

    def rows(self, table: str) -> list[tuple[object, ...]]:
        with self.recorder.reading() as cursor:
            return cursor.query(f"SELECT * FROM {table} ORDER BY 1, 2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def place(path: Path) -> Iterator[Place]:
    opened = Place(path)
    yield opened
    opened.recorder.close()
