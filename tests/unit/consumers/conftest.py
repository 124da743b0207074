"""Processes that take messages in, for the tests of the intakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.consumers.intake_stage import Process, RecordingPublisher, Settled


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path / "store.db", RecordingPublisher(), Settled())
    yield made
    made.store.close()


@pytest.fixture
def other(tmp_path: Path, process: Process) -> Iterator[Process]:
    """Another process on the same store, with the same broker."""
    made = Process(tmp_path / "store.db", process.publisher, process.settled)
    yield made
    made.store.close()
