"""Opening a store with its covers: what its mark says about payloads, and what is done on a store without one."""

from __future__ import annotations

from typing import Protocol

from domain.errors import StoreUnavailable
from domain.ports import Along
from domain.store.covers import Covers, Mark, Texts, is_marked, open_marked
from domain.store.imported import Imported
from domain.store.mapper import EventMapper
from domain.store.recorder import StoreRecorder


class CoveredStore(Protocol):
    """The part of the store that covering is about."""

    recorder: StoreRecorder
    mapper: EventMapper
    texts: Texts
    imported: Imported | None

    def run(self, *along: Along, point: str = "commit") -> None:
        """Run statements in a transaction of their own."""
        ...


def cover_store(store: CoveredStore, covers: Covers | None, *, enabling: bool) -> None:
    """Have payloads and texts covered as the store's mark says; a store without workflows is marked now.

    Raises StoreUnavailable where ring and store do not fit.
    """
    recorder = store.recorder
    if store.imported is not None:
        return  # it holds what an export held, and that is in clear
    if covers is not None:
        covers.query = recorder.query
    with recorder.reading() as cursor:
        if covers is None and not is_marked(cursor):
            return
        opened = open_marked(covers, cursor, recorder.place, enabling=enabling)
        marked = is_marked(cursor)
        begun = not marked and cursor.query("SELECT 1 FROM workflow_keys LIMIT 1")
    if not marked and not enabling:
        if begun:
            raise StoreUnavailable(
                f"store {recorder.place} has workflows in clear, and a key ring is named: run `handrail keys enable` "
                "once, or name no ring"
            )
        store.run(Mark(opened, unfinished=False))
        with recorder.reading() as cursor:
            open_marked(opened, cursor, recorder.place)
    if not marked and enabling:
        return
    recorder.covered = True
    store.mapper.covers = opened
    store.texts = opened.texts
