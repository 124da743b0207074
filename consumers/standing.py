"""How commands stand in the inbox, for whoever asks why a workflow does not go on. Only reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from consumers.inbox import in_chunks
from domain.ports import Queries


@dataclass(frozen=True, slots=True)
class CommandStanding:
    """A command's row: its state, how often it was issued again, until when it is claimed (seconds since 1970).

    `deferred` says that a limit over all processes holds it back, `version` is that of the event that scheduled it.
    """

    state: str
    issued: int
    lease_until: float | None
    deferred: bool
    version: int


def commands_standing(queries: Queries, message_ids: Collection[str]) -> dict[str, CommandStanding]:
    """How those of the commands stand that have a row."""
    found: dict[str, CommandStanding] = {}
    for chunk, places in in_chunks(message_ids):
        rows = queries.query(
            "SELECT message_id, state, issued, lease_until, due_at IS NOT NULL, coalesce(version, 0) FROM inbox "  # noqa: S608 - fixed parts
            f"WHERE message_id IN ({places})",
            chunk,
        )
        found.update((row[0], CommandStanding(row[1], row[2], row[3], bool(row[4]), row[5])) for row in rows)
    return found
