"""Migrations: how the tables of a PostgreSQL store come from one version of Handrail to the next.

Each has statements that add, which run before processes of the new version start and leave those of the old one
working, and statements that take away, which run after the last process of the old version has ended. What was run is
kept in a table; an advisory lock lets one at a time. All statements of one half run in one transaction, with the row
that says so: a migration that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import StoreNewer, StoreUnavailable
from domain.ports import Cursor
from domain.store.connection_postgres import Statements, StoreServer

MIGRATING: Final = int.from_bytes(b"Migrates", "big")
"""The advisory lock of who migrates."""

TABLE: Final = "handrail_migrations"
_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (number BIGINT PRIMARY KEY, name TEXT NOT NULL, "
    "added_at TIMESTAMPTZ NOT NULL, taken_away_at TIMESTAMPTZ)"
)
_EXISTS: Final = f"SELECT to_regclass('{TABLE}')::text"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: `additive` statements before the new version starts, `destructive` ones after the old one has ended."""

    number: int
    name: str
    additive: tuple[str, ...]
    destructive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Half:
    """One half of a migration, as it is shown and run."""

    migration: Migration
    destructive: bool

    @property
    def statements(self) -> tuple[str, ...]:
        """What it runs."""
        return self.migration.destructive if self.destructive else self.migration.additive


def migrate(
    url: str,
    migrations: Sequence[Migration],
    *,
    after: bool = False,
    dry_run: bool = False,
    began: Callable[[Half], None] = lambda _: None,
) -> list[Half]:
    """Run what was not run yet: what adds, or with `after` what takes away; the halves that were, or would be, run.

    `began` hears of each before it runs. Raises StoreUnavailable, or StoreNewer where the store is ahead.
    """
    server = StoreServer(url)
    try:
        with server.viewing() as wire:
            found = _missing(Statements(wire, server), migrations, after=after, place=server.place)
        if dry_run:
            return found
        done: list[Half] = []
        for half in found:
            began(half)
            with server.writing(point="schema") as wire:
                cursor = Statements(wire, server)
                cursor.query(f"SELECT pg_advisory_xact_lock({MIGRATING})::text")
                # Statements may take their time; locks may not: whoever waits for one holds up all others.
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute(_CREATE)
                if half not in _missing(cursor, migrations, after=after, place=server.place):
                    continue  # somebody else ran it meanwhile
                _run(cursor, half)
                done.append(half)
        return done
    finally:
        server.close()


def check_migrated(cursor: Cursor, version: int, place: str) -> None:
    """Raise StoreUnavailable unless the store has been migrated up to `version`; StoreNewer where it is too far on."""
    if not _there(cursor):
        raise StoreUnavailable(f"store {place} has no tables of Handrail yet; run `handrail migrate`")
    newest, taken_away = cursor.query(
        f"SELECT max(number), max(number) FILTER (WHERE taken_away_at IS NOT NULL) FROM {TABLE}"
    )[0]
    if (newest or 0) < version:
        raise StoreUnavailable(
            f"store {place} is at version {newest or 0}, and this Handrail needs {version}; run `handrail migrate`"
        )
    if (taken_away or 0) > version:
        raise StoreNewer(
            f"store {place} was migrated for a newer Handrail (version {taken_away}, this one knows {version}); "
            "use that version"
        )


def _there(cursor: Cursor) -> bool:
    return bool(cursor.query(_EXISTS)[0][0])


def _missing(cursor: Cursor, migrations: Sequence[Migration], *, after: bool, place: str) -> list[Half]:
    applied = {}
    if _there(cursor):
        applied = {row[0]: row[1] for row in cursor.query(f"SELECT number, taken_away_at IS NOT NULL FROM {TABLE}")}
    known = migrations[-1].number if migrations else 0
    if any(number > known for number in applied):
        raise StoreNewer(
            f"store {place} was migrated by a newer Handrail (version {max(applied)}, this one knows {known}); "
            "use that version"
        )
    if not after:
        return [Half(one, destructive=False) for one in migrations if one.number not in applied]
    waiting = [one.number for one in migrations if one.number not in applied]
    if waiting:
        raise StoreUnavailable(
            f"store {place} lacks what migration {waiting[0]} adds; run `handrail migrate`, start the new version "
            "everywhere, and then run `handrail migrate --after`"
        )
    return [Half(one, destructive=True) for one in migrations if one.destructive and not applied[one.number]]


def _run(cursor: Cursor, half: Half) -> None:
    for statement in half.statements:
        cursor.execute(statement)
    if half.destructive:
        cursor.execute(f"UPDATE {TABLE} SET taken_away_at = now() WHERE number = ?", (half.migration.number,))
        return
    # Of what only adds nothing was taken away, ever: processes of the version before go on, and may begin.
    cursor.execute(
        f"INSERT INTO {TABLE} (number, name, added_at) VALUES (?, ?, now())",
        (half.migration.number, half.migration.name),
    )
