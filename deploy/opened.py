"""A home's store, for whoever only opens it: its file, and the tables of all rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from consumers.held_messages import MESSAGES_HELD_SCHEMA
from consumers.inbox import INBOX_SCHEMA
from consumers.limits import LIMITS_SCHEMA
from deploy.dead_acts import DEAD_ACTS_SCHEMA
from deploy.held_goals import GOALS_HELD_SCHEMA
from deploy.keyring import covers_of
from deploy.settings import Settings, load_settings
from deploy.tokens import TOKENS_SCHEMA
from domain.errors import StoreUnavailable
from domain.ports import Definitions
from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from producers.parked import PARKED_SCHEMA
from producers.reminders import REMINDERS_SCHEMA
from producers.signals import SIGNALS_SCHEMA
from producers.timers import TIMERS_SCHEMA
from projections.mismatches import MISMATCH_SCHEMA
from projections.schema import SCHEMA as VIEWS_SCHEMA

DATABASE_FILE: Final = "handrail.db"

SCHEMA: Final = (
    *INBOX_SCHEMA,
    *LIMITS_SCHEMA,
    *TIMERS_SCHEMA,
    *SIGNALS_SCHEMA,
    *PARKED_SCHEMA,
    *REMINDERS_SCHEMA,
    *TOKENS_SCHEMA,
    *DEAD_ACTS_SCHEMA,
    *GOALS_HELD_SCHEMA,
    *MESSAGES_HELD_SCHEMA,
    *VIEWS_SCHEMA,
    *MISMATCH_SCHEMA,
)
"""The tables of all rooms: the store creates them with its own."""


def open_store(
    home: Path,
    definitions: Definitions,
    *,
    workflows_held: int = 2_048,
    read_only: bool = False,
    restoring: bool = False,
    settings: Settings | None = None,
    enabling: bool = False,
) -> WorkflowStore:
    """The store of a home, made where it is missing; raises StoreUnavailable or StoreNewer.

    A home that is made can be entered by its owner alone; of one that is there, nothing is changed. The key ring
    is that of these settings, or else of this process's.
    """
    if not read_only:
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"home {home} cannot be made ({error.strerror}); make its folder writable, or use another --home"
            ) from error
    return open_sqlite_store(
        home / DATABASE_FILE,
        definitions=definitions,
        schema=SCHEMA,
        workflows_held=workflows_held,
        read_only=read_only,
        restoring=restoring,
        covers=covers_of(settings if settings is not None else load_settings()),
        enabling=enabling,
    )
