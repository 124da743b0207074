"""The library's event store, cut to what a turn needs: rows made straight from events, in one go.

The library would make three objects an event (stored event, notification, recording) for nobody to look at; on the hot
path they cost as much as writing the rows. Followers are told with the events themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import EventStore, Recording

from domain.ports import Notification
from domain.store.mapper import EventMapper, recorded_event
from domain.store.recorder import StoreRecorder

Told = Callable[[Sequence[Notification]], None]


class WorkflowEvents(EventStore[str]):
    """Puts events through the mapper into the recorder, and tells what is in the store now."""

    mapper: EventMapper
    recorder: StoreRecorder

    def __init__(self, mapper: EventMapper, recorder: StoreRecorder, told: Told) -> None:
        """`told` is called after a successful save, with the events and their positions in the log."""
        super().__init__(mapper, recorder)
        self._told = told

    def put(self, domain_events: Sequence[DomainEventProtocol[str]], **kwargs: Any) -> list[Recording[str]]:
        """Save events, with `along=[…]` in the same transaction. Makes no recordings of the library's."""
        events = [recorded_event(event) for event in domain_events]
        positions = self.recorder.insert_rows([self.mapper.to_row(event) for event in events], **kwargs)
        if events:
            self._told(list(map(Notification, positions, events)))
        return []
