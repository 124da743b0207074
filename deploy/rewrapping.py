"""Wrapping workflows' keys: for the first time, in a store whose payloads were in clear, or with a newer key.

Pages of rows, each in a transaction of its own. Killed anywhere, it is run again and goes on with the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from domain.errors import StoreUnavailable
from domain.store.application import WorkflowStore
from domain.store.covers import ENABLING, KEY_BYTES, Covers, Mark, Rewrap, Wrapped, is_marked
from domain.store.erasing import clear_page, rewrap_pages
from domain.store.recorder import SNAPSHOTS
from projections.mending import tell_projector

PAGE: Final = 500
"""Rows of one transaction."""

_WRAP: Final = (
    "UPDATE workflow_keys SET key_id = ?, wrapped = ?, clear_upto = ? WHERE workflow_id = ? AND wrapped IS NULL"
)
_REWRAP: Final = "UPDATE workflow_keys SET key_id = ?, wrapped = ? WHERE workflow_id = ? AND key_id = ? AND wrapped = ?"

Progress = Callable[[int], None]
"""Hears after every page how many keys were wrapped."""


def enable(store: WorkflowStore, covers: Covers, progress: Progress) -> int:
    """Have payloads covered from now on, in a store that nobody else uses; how many keys were wrapped.

    What they have recorded so far stays as it is, for events never change; the views are built anew. Raises
    StoreUnavailable.
    """
    covers.query = store.query
    with store.reading() as cursor:
        marked = is_marked(cursor)
        unfinished = cursor.query("SELECT 1 FROM store_facts WHERE name = ?", (ENABLING,))
        wrapped = cursor.query("SELECT 1 FROM workflow_keys WHERE wrapped IS NOT NULL LIMIT 1")
    if marked and not unfinished:
        return 0
    if wrapped and not marked:
        raise StoreUnavailable(
            f"store {store.recorder.place} has encrypted workflows, and its mark was taken away: somebody changed the "
            "database; restore it from a backup"
        )
    store.run(Mark(covers, unfinished=True))
    done = 0
    while page := clear_page(store.query, PAGE):
        rows = []
        for workflow_id, version in page:
            row = covers.wrap(workflow_id, os.urandom(KEY_BYTES), version)
            rows.append((row.key_id, row.wrapped, row.clear_upto, workflow_id))
        with store.transaction() as cursor:
            cursor.executemany(_WRAP, rows)
            cursor.executemany(f"DELETE FROM {SNAPSHOTS} WHERE originator_id = ?", [(name,) for name, _ in page])  # noqa: S608 - ours
        done += len(page)
        progress(done)
    with store.transaction() as cursor:
        tell_projector(cursor, 0)
        cursor.execute("DELETE FROM store_facts WHERE name = ?", (ENABLING,))
    return done


def rewrap(store: WorkflowStore, covers: Covers, progress: Progress) -> int:
    """Have every key wrapped with the ring's current one, while workflows run; how many were wrapped anew."""
    store.run(Rewrap(covers))
    done = 0
    for page in rewrap_pages(store.query, covers.ring.current, PAGE):
        rows = []
        for workflow_id, key_id, wrapped, clear_upto in page:
            key = covers.unwrap(workflow_id, Wrapped(key_id, wrapped, clear_upto))
            new = covers.wrap(workflow_id, key, clear_upto)
            rows.append((new.key_id, new.wrapped, workflow_id, key_id, wrapped))
        with store.transaction() as cursor:
            cursor.executemany(_REWRAP, rows)
        done += len(page)
        progress(done)
    return done
