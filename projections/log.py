"""The log as the views read it: an event that cannot be decoded is an entry too, so that it stops one workflow only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from domain.errors import PayloadWithheld, StoreError
from domain.ports import Notification
from domain.recorded import RecordedEvent
from projections.keeper import Entry, Unreadable
from projections.withheld import withheld_entry

Row = tuple[str, int, str, bytes]
"""One stored event: workflow, version, topic, state."""


class StoredLog(Protocol):
    """The part of the store's recorder that reads the log."""

    def select_log(self, after: int, limit: int) -> Sequence[tuple[int, Row]]:
        """Up to `limit` events behind the position `after`, in the order of the log."""
        ...


class LogReader:
    """Reads the log from the store, row by row."""

    def __init__(self, stored: StoredLog, decode: Callable[[str, int, str, bytes], RecordedEvent]) -> None:
        """Keep what to read and decode with: the store's recorder and its mapper's `read`."""
        self._stored: Final = stored
        self._decode: Final = decode

    def read(self, after: int, limit: int) -> list[Entry]:
        """Up to `limit` entries behind the position, oldest first."""
        entries: list[Entry] = []
        for position, row in self._stored.select_log(after, limit):
            try:
                entries.append(Notification(position, self._decode(*row)))
            except PayloadWithheld as error:
                entries.append(_withheld(position, row, error))
            except StoreError as error:
                entries.append(Unreadable(position, row[0], str(error)))
        return entries


def _withheld(position: int, row: Row, error: PayloadWithheld) -> Entry:
    try:
        return withheld_entry(position, row, error)
    except StoreError as damage:
        return Unreadable(position, row[0], str(damage))
