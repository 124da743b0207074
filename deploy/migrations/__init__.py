"""The migrations of a PostgreSQL store, in their order: what `handrail migrate` runs.

Each is a file of SQL beside this one, written once and never edited: stores have it behind them, and would not hear of
a change. So none is put together from the tables of the rooms, which are what a new store is made of; each change of
those is a migration of its own here, and a test holds what all make together equal to what a new store is made of.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from domain.store.migrations_postgres import Migration


def statements_of(text: str) -> tuple[str, ...]:
    """The statements of a file: each ends with a semicolon and its line; lines that begin with `--` are words."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return tuple(one.strip() for one in "\n".join([*lines, ""]).split(";\n") if one.strip())


def _file(name: str) -> tuple[str, ...]:
    return statements_of(files(__package__).joinpath(name).read_text(encoding="utf-8"))


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(1, "the tables of events, inbox, timers, signals, tokens and views", _file("0001_tables.sql")),
    Migration(2, "messages that wait for a definition", _file("0002_messages_held.sql")),
    Migration(3, "views that tell why a workflow is stuck", _file("0003_why_stuck.sql")),
    Migration(4, "tombstones of workflows that were archived", _file("0004_tombstones.sql")),
    Migration(5, "keys that cover payloads, and what is left of erased workflows", _file("0005_covered_payloads.sql")),
)
